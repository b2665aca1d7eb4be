/* What the parts of the control socket share: control.c, control_login.c and control_doctor.c. */
#ifndef CONTROL_IMPL_H
#define CONTROL_IMPL_H

#include "control.h"
#include "credential.h"
#include "doctor.h"
#include "login.h"

struct logouts;

/* The body is there; c->body is emptied after it.  u is NULL if a reload has removed the upstream, or if it is about none. */
typedef void (*control_take)(struct control_client *, struct upstream *u);

/* One connection, and the one request that it has under way. */
struct control_client {
	LIST_ENTRY(control_client) entry;
	struct control	*control;
	struct serve	*serve;
	control_take	 take;		/* NULL: the request's body is nothing to us */
	char		*name;		/* of the upstream that it is about */
	struct buf	 body;
	struct credential *busy;	/* will call done() */
	bool		 reloading;
	bool		 moving;	/* the store's entries */
	struct login	*login;		/* is watched: the answer is its events */
	struct login_watcher watcher;
	struct logouts	*logouts;
	struct doctor	*doctor;	/* the answer is what it tells */
};

/* Answers; *json is freed. */
void	control_answer(struct control_client *, int status, struct buf *json);
void	control_error(struct control_client *, int status, const char *word, const char *message);
void	control_word(struct control_client *, int status, const char *word);

struct upstream *control_find(const struct control *, struct slice name);
/* The request's body goes to `take` once it is there; at once if none follows the head.  The upstream may be NULL. */
void	control_expect(struct control_client *, const struct http1_head *, const struct upstream *, control_take);
/* Has this upstream OAuth tokens that we keep?  Else that was answered; u may be NULL. */
bool	control_takes_tokens(struct control_client *, const struct upstream *);

/* 200, and lines of JSON as they come: serve_write(), serve_turn(), in the end serve_end(). */
void	control_begin_lines(struct control_client *);

/* --- control_store.c --- */

/* `rest` of the path stands behind /v1/store/. */
void	control_route_store(struct control_client *, const struct http1_head *, struct slice rest);
/* The client has left. */
void	control_store_gone(struct control_client *);

/* --- control_doctor.c --- */

/* `rest` of the path stands behind /v1/doctor/. */
void	control_route_doctor(struct control_client *, const struct http1_head *, struct slice rest);
/* The client has left. */
void	control_doctor_gone(struct control_client *);

/* --- control_login.c --- */

/* `rest` of the path stands behind /v1/login/ or /v1/logout[/]. */
void	control_route_login(struct control_client *, const struct http1_head *, struct slice rest);
void	control_route_logout(struct control_client *, const struct http1_head *, struct slice rest);
/* The client has left. */
void	control_login_gone(struct control_client *);

#endif
