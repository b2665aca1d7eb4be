/*
 * A static bearer (contract A4): a token that somebody else keeps fresh, read
 * from a file, a systemd credential or a command's output.
 */
#ifndef BEARER_H
#define BEARER_H

#include "config.h"
#include "loop.h"
#include "record.h"
#include "worker.h"

struct bearer;

/* rec NULL: why says what is wrong.  The receiver takes rec. */
typedef void (*bearer_done)(void *arg, struct record *rec, const char *why);

/*
 * changed(arg) whenever the file may hold another token (never for a
 * command).  NULL without memory.
 */
struct bearer *bearer_new(struct loop *, struct worker *, const struct config_upstream *, void (*changed)(void *arg), void *arg);
void	bearer_free(struct bearer *);	/* no completion any more */
/*
 * Reads it now: a file on the worker; a command at most every 30 s, else what
 * it printed last.  done() exactly once, in a later turn.  One at a time.
 */
void	bearer_read(struct bearer *, bearer_done, void *arg);
/* The completion that is due is dropped. */
void	bearer_forget(struct bearer *);

#endif
