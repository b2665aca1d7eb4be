/* `mcp-authctl status`: the daemon's JSON as words for people. */
#ifndef CTL_STATUS_H
#define CTL_STATUS_H

#include <stdio.h>

#include "ctl_client.h"

/*
 * Prints what GET /v1/status answered: a table for all, one block for `name`.
 * `wall` is epoch seconds.  CTL_OK, CTL_LOGIN (name given and its login is
 * required), CTL_FAILED (not what a daemon says).  out NULL: only the result.
 */
enum ctl_exit ctl_status_print(FILE *out, const char *json, size_t n, const char *name, int64_t wall);

#endif
