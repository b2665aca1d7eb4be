/*
 * One local HTTP/1.1 connection over a Unix socket, or over TCP on loopback
 * (callback alone): requests in, answers out, in order; keep-alive,
 * pipelining, 100-continue, half-close, hang-up, idle time, malformed
 * requests.  Knows neither MCP nor control: a handler does.
 */
#ifndef SERVE_H
#define SERVE_H

#include "http1.h"
#include "loop.h"

struct serve;

struct serve_peer { uid_t uid; pid_t pid; };	/* over TCP (uid_t)-1 and 0: nobody knows */

struct serve_limits {
	size_t	 header_bytes;
	uint64_t body_bytes;		/* more: 413 */
	int64_t	 idle_ms;		/* between requests and before the first, and within a request that stalls; 0 = none */
	bool	 secret;		/* requests hold secrets: what was read is wiped once it was handed on */
};

struct serve_handler {
	/* A complete head (body framing in it).  Answer now or later; slices valid during the call only.  Next request is not parsed before this one is answered. */
	void	(*request)(struct serve *, const struct http1_head *);
	/* Body payload; after serve_pause() no more until serve_resume().  None after the answer has ended. */
	void	(*body)(struct serve *, const char *, size_t);
	/* The body is complete; only if one follows the head (framing not HTTP1_NONE; Content-Length: 0 counts as one). */
	void	(*body_end)(struct serve *);
	/* What was refused by serve_write() as full fits again. */
	void	(*drained)(struct serve *);
	/*
	 * The request will not be answered by the handler any more: stop
	 * working on it, do not answer.  The client left (F4), stalled within
	 * its body, or its body is malformed or too large (then serve answers).
	 */
	void	(*gone)(struct serve *);
	/* The connection is closing for good (after everything else, once): drop serve_data. */
	void	(*closed)(struct serve *);
	/*
	 * First byte was '{', '[' or blank: not HTTP but lines of JSON, from now
	 * on.  NULL: the connection is closed.  Returns how many bytes were
	 * taken: all, or fewer after serve_pause(), then the rest comes again
	 * after serve_resume().  n 0, once: the client sends no more.  What is
	 * written with serve_line() has no framing; serve_close() ends it, and
	 * gone() says that the client left.
	 */
	size_t	(*lines)(struct serve *, const char *, size_t n);
};

/*
 * Takes the descriptor (non-blocking).  NULL without memory (fd closed; no
 * closed()).  Limits are copied; the handler must live on.  All connections
 * live on one loop.
 */
struct serve *serve_open(struct loop *, int fd, const struct serve_limits *, const struct serve_handler *, void *data);
void	*serve_data(const struct serve *);
uint64_t serve_id(const struct serve *);	/* unique for the life of the process, from 1 */
const struct serve_peer *serve_peer(const struct serve *);

/*
 * The answer: begin, any fields, begin_body, data, end.  Everything is
 * gathered and written at serve_turn() at the latest, or when 16 KiB are
 * there.  framing: HTTP1_LENGTH with length, HTTP1_CHUNKED or HTTP1_EOF
 * (chunked, or close-delimited for a 1.0 client), HTTP1_NONE.  Fewer bytes
 * than promised close the connection abortively; more are dropped.  All of
 * these may be called at any time, also inside every callback; after gone()
 * they do nothing.
 */
void	serve_head(struct serve *, int status);
void	serve_field(struct serve *, struct slice name, struct slice value);	/* drops what is not a valid field */
void	serve_head_end(struct serve *, enum http1_framing, uint64_t length);
/* true: the client is slow, stop until drained().  What is given is taken all the same. */
bool	serve_write(struct serve *, const char *, size_t);
void	serve_turn(struct serve *);		/* flush now */
void	serve_end(struct serve *);		/* answer complete; the next pipelined request may begin in a later turn (or, inside request(), body() and body_end(), right after them) */
void	serve_abort(struct serve *);		/* abortive close: the answer cannot be completed; no gone(), but closed() in a later settling */
/* A whole small answer with a JSON body; `close` closes the connection after it. */
void	serve_json(struct serve *, int status, const char *, size_t, bool close);
/* Lines of JSON: the text and a newline.  true: as serve_write(). */
bool	serve_line(struct serve *, const char *, size_t);
/* Hands on what the client has sent so far, paused or not: the last that lines() gets before serve_close(). */
void	serve_rest(struct serve *);
void	serve_close(struct serve *);		/* ... nothing more follows: closed when all is written; closed() without gone() */
/* Body back-pressure. */
void	serve_pause(struct serve *);
void	serve_resume(struct serve *);
/* Closing down: no new request is taken; idle connections close at once. */
void	serve_drain(struct serve *);
/* Was the current request fully read (body end given)? */
bool	serve_request_complete(const struct serve *);

#endif
