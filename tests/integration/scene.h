/*
 * A world with one daemon, a login and a session; and beside everything that
 * a test does an open stream of somebody else, which must go on.
 */
#ifndef SCENE_H
#define SCENE_H

#include "support.h"

struct scene {
	struct world	*w;
	struct authd	*a;
	struct ask	 ask;		/* socket and session are set */
	char		*session;
	struct client	*bystander;
};

enum { SCENE_NO_LOGIN = 1, SCENE_TLS = 2 };

/* members: of the upstream "wall", NULL = none; top: beside mcpServers, NULL = none.  Without a login there is no session either. */
struct scene scene_begin(int flags, const char *members, const char *top);
/* The bystander and everybody else are served as ever; the world ends. */
void	scene_end(struct scene *);

/* All of it goes out in one piece. */
void	say(struct client *, const char *text);
/* The answer comes whole and has this status. */
void	hear(struct client *, const char *method, struct reply *, int status);
/* The next event holds the text. */
void	hear_event(struct client *, const char *text);
/* One POST of `body` on a connection of its own. */
void	ask_rpc(const struct ask *, const char *body, struct reply *, int status);
/* The same for a tool call; its reason, "" = it was answered by the wall.  Static buffer. */
const char *ask_tool(const struct ask *, const char *name, const char *args);
/* A connection with that request sent and not yet answered. */
struct client *begin_rpc(const struct ask *, const char *body);
struct client *begin_tool(const struct ask *, const char *name, const char *args);
/* The daemon's own count: "links.queued" of the upstream "wall" reaches n. */
bool	wait_queued(const struct scene *, int n, int ms);
/* {"error": WORD, "message": TEXT}, short, as JSON. */
void	is_refusal(const struct reply *, const char *word);

#endif
