/*
 * One reading of the config.  It lives as long as somebody runs under it: a
 * reload makes the next one, and what was begun before finishes under its own.
 */
#ifndef GENERATION_H
#define GENERATION_H

#include "config_file.h"

struct generation {
	struct config	 config;
	gid_t		 group;		/* of socket.group; (gid_t)-1: none */
	uid_t		*users;		/* of socket.allowUsers, each once */
	size_t		 nusers;
	unsigned	 refs;
};

/*
 * Reads it, with one reference.  Blocking: at the start and on the worker
 * only.  Arguments and errors are those of config_load(); NULL with
 * *ret_error.
 */
struct generation *generation_read(const char *file, const char *runtime_dir, char *ret_file, config_warn, void *arg, struct config_error *ret_error);
struct generation *generation_hold(struct generation *);
void	generation_drop(struct generation *);	/* NULL is fine */

#endif
