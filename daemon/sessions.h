/*
 * Sessions of one upstream that clients own (MCP-Session-Id): whose each is,
 * and the cookies that belong to it (WIRE L17).  The longest unused makes room.
 */
#ifndef SESSIONS_H
#define SESSIONS_H

#include "cookie.h"

#define SESSION_ID_BYTES	1024	/* one longer than that is nobody's */

struct sessions;

struct sessions *sessions_new(void);
void	sessions_free(struct sessions *);	/* NULL is fine */
/* May this uid use it?  An unknown one, yes: who is served with it first owns it. */
bool	sessions_may(struct sessions *, struct slice id, uid_t);
/* The upstream served this uid with it; `anew`: it was just given out, whoever had it before. */
void	sessions_bind(struct sessions *, struct slice id, uid_t, bool anew);
/* Its cookies; NULL if it is unknown. */
struct cookie_jar *sessions_jar(struct sessions *, struct slice id);
unsigned sessions_count(const struct sessions *);	/* known ones; NULL is fine */
void	sessions_drop(struct sessions *, struct slice id);

#endif
