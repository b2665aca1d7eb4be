/*
 * Where MCP clients come in: one listening socket for each upstream and the
 * shared one, and which upstream each leads to.  A reload changes the set in
 * two steps: all that may fail, then all that may not.
 */
#ifndef ENTRANCE_H
#define ENTRANCE_H

#include "front_http.h"
#include "generation.h"
#include "listen.h"

struct entrance;

/* Where that upstream's own socket belongs, as listener_open() takes it, in out (NAME_MAX bytes) or the config; NULL: it has none. */
const char *entrance_path(const struct config_upstream *, char *out);

/* Zero it, set the first two. */
struct entrances {
	struct front	*front;
	struct runtime	*runtime;
	/* private to entrance.c */
	LIST_HEAD(, entrance) list;
};

/*
 * Opens the sockets that this config wants and that are not open yet, and
 * gives the others the mode and group it wants.  false with words: everything
 * is as it was before.
 */
bool	entrances_prepare(struct entrances *, const struct generation *, char *why, size_t size);
/*
 * After it, and after front->upstreams was changed: closes the sockets that
 * the config no longer wants; the others lead to the upstreams of now.  One
 * whose path and mode are the same stays open all the time.
 */
void	entrances_settle(struct entrances *);
/* Before contract K: sockets that outlive us leave new clients to our successor.  false: none does. */
bool	entrances_drain(struct entrances *);
void	entrances_close(struct entrances *);

#endif
