/*
 * A server for tests: on 127.0.0.1, any port, a thread for each connection,
 * which runs a script with blocking calls.  And a loop that is run until
 * something happened, with a deadline.
 */
#ifndef SCRIPTED_H
#define SCRIPTED_H

#include "loop.h"

enum server_kind { PLAIN, TLS, TLS_OTHER_NAME, TLS_EXPIRED, TLS_NO_TICKETS };

struct peer;
struct server;

/* nth: 0 for the first connection.  The peer is closed in order after it. */
typedef void (*script_fn)(struct peer *, int nth);

struct server *server_start(enum server_kind, script_fn);
/* The same on another IPv4 address of this machine; the certificates are for 127.0.0.1 alone. */
struct server *server_start_at(const char *address, enum server_kind, script_fn);
/* "http://127.0.0.1:PORT" + path, static. */
const char *server_url(const struct server *, const char *path);
/* File with the certificate, which is its own CA. */
const char *server_ca(const struct server *);
int	server_connections(const struct server *);
void	server_stop(struct server *);

/* Reads until the text has come; false if the connection ended before.  What follows it stays. */
bool	peer_expect(struct peer *, const char *text);
/* Reads one whole request, its Content-Length included, as text; false if it does not come or does not fit. */
bool	peer_request(struct peer *, char *out, size_t size);
/* Reads and drops n bytes; false if there were fewer. */
bool	peer_skip(struct peer *, size_t n);
/* Waits for the other side's close (true) or reset (false). */
bool	peer_wait_end(struct peer *);
void	peer_say(struct peer *, const char *text);
void	peer_write(struct peer *, const char *, size_t n);
bool	peer_resumed(const struct peer *);	/* TLS session resumption */
void	peer_ticket(struct peer *);		/* sends a session ticket now */
void	peer_cut(struct peer *);		/* closes without close_notify */
void	peer_reset(struct peer *);		/* RST */

/* This machine's name and the private IPv4 address that it leads to; false (a test says SKIP) if it leads to none. */
bool	own_name(char name[64], char address[16]);
/* A port of 127.0.0.1 where nobody listens. */
int	closed_port(void);

/* Runs the loop until *done; fails the test after 10 s.  Callbacks that set it call loop_stop(). */
void	run_until(struct loop *, const bool *done);
/* Runs the loop for so long. */
void	run_for(struct loop *, int64_t ms);

#endif
