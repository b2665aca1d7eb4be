/*
 * Socket activation, sd_listen_fds_with_names(3): "shared", "control", the
 * name of an upstream, and what the manager kept for us over a restart.
 */
#ifndef PASSED_H
#define PASSED_H

#include "entrance.h"

/*
 * Before any socket is opened: gives the runtime what was passed.  What has
 * another name, or is no listening Unix stream socket, is closed with a warning.
 */
void	passed_take(struct runtime *, const struct config *);

#endif
