/* A world with one daemon and a login, for clients that speak lines of JSON. */
#ifndef LINESCENE_H
#define LINESCENE_H

#include "support.h"

#define PATIENCE	10000
#define QUIET		150		/* long enough for what must not come */

struct linescene {
	struct world	*w;
	struct authd	*a;
	const char	*socket;
};

/* members: of the upstream "wall", NULL = none; top: beside mcpServers, NULL = none. */
struct linescene linescene_begin(const char *members, const char *top);
/* Nothing of a client is left at the wall, and nothing was done wrong; the world ends. */
void	linescene_end(struct linescene *);

/* A client with a session whose GET stream is open. */
struct liner *liner_ready(const struct linescene *);
/* It comes, in time; as liner_hear(). */
const char *heard(struct liner *, const char *holds);
/* A tools/call; args JSON or NULL. */
void	call(struct liner *, const char *id, const char *tool, const char *args);
void	call_modern(struct liner *, const char *id, const char *tool, const char *args);
/* The header field of the latest request of this kind ("mcp ping"); "" if absent.  Static buffer.  "record" must be set. */
const char *latest(const struct linescene *, const char *kind, const char *field);
/* The log holds it, by now. */
void	is_logged(const struct linescene *, const char *text);

#endif
