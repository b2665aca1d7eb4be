/*
 * What the service manager is told (sd_notify(3)): datagrams of our own, as
 * libsystemd's may wait.  What finds no room is told later, in order.  One for
 * the process, as the log is; without NOTIFY_SOCKET nothing is told.
 */
#ifndef NOTIFY_H
#define NOTIFY_H

#include "loop.h"

#define NOTIFY_WORDS	256

/*
 * Before any other.  words() writes the state as a person would say it; its
 * out has NOTIFY_WORDS bytes.  Starts the watchdog's beat, a timer of the loop.
 */
void	notify_open(struct loop *, void (*words)(void *arg, char *out), void *arg);
void	notify_close(void);		/* before the loop's end; without notify_open: fine */
void	notify_ready(void);
void	notify_reloading(void);
/* The end of that; why NULL: it went well, else why not, shown until one goes well. */
void	notify_reloaded(const char *why);
void	notify_stopping(const char *words);
/* The words may have changed: asked for and told at most once a second. */
void	notify_changed(void);
/*
 * A listening socket that is to outlive a restart (FDSTORE), and one that is
 * not any more.  notify_keep() is false where nobody is told; a name that
 * systemd would not take counts as that.
 */
bool	notify_keep(const char *name, int fd);
void	notify_drop(const char *name);

#endif
