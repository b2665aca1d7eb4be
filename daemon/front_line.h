/*
 * MCP over lines of JSON (stdio framing) on a local connection: the daemon is
 * the Streamable HTTP client and owns session, streams and headers (WIRE,
 * column N; contract F4, G1, G2, K).  Bodies and ids go both ways as they are.
 */
#ifndef FRONT_LINE_H
#define FRONT_LINE_H

#include "failure.h"
#include "serve.h"
#include "upstream.h"

struct front;
struct line_client;

/*
 * A connection whose first byte was no HTTP.  `refusal`: every request gets
 * this error and the connection ends (static; NULL: it is served).  NULL
 * without memory.
 */
struct line_client *front_line_open(struct front *, struct upstream *, struct serve *, const struct failure *refusal);
/* As serve_handler.lines; n 0: the client sends no more. */
size_t	front_line_feed(struct line_client *, const char *, size_t n);
/* The client reads again. */
void	front_line_drained(struct line_client *);
/* The client has left: what it waits for is dropped, its session ends. */
void	front_line_gone(struct line_client *);
/* The connection is no more; the client's last duties go on without it. */
void	front_line_closed(struct line_client *);

/* As front_http's of the same name, for all line clients. */
void	front_line_drain(struct front *);
void	front_line_redirect(struct front *, const struct upstream *from, struct upstream *to);
void	front_line_close_all(struct front *);

#endif
