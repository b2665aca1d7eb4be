/*
 * What integration tests stand on: a world (directories, a wall, daemons),
 * local HTTP clients, volleys of concurrent requests, control of the wall.
 * See tests/wall/wall.h for faults and counts.
 *
 *	struct world *w = world_new(0);
 *	struct authd *a = authd_start(w, NULL);		// config: one upstream "wall"
 *	world_login(w, a, "wall", "lifetime=2");	// tokens from the wall, imported
 *	struct ask ask = { .socket = authd_socket(a, "wall"), .key = "k1" };
 *	struct reply r = { 0 };
 *	ck_assert_int_eq(rpc(&ask, "{...}", &r, 5000), 0);
 *	ck_assert_int_eq(r.status, 200);
 *	ck_assert_int_eq(wall_count(w, "token.requests"), 0);
 *	reply_free(&r);
 *	world_free(w);
 *
 * What cannot be set up ends the process with give_up(), which shows the
 * logs.  A test that fails before world_free() leaves its directory in /tmp.  All times in ms; every wait has a deadline.  Children die with the
 * process.  One thread only.
 */
#ifndef SUPPORT_H
#define SUPPORT_H

#include <cjson/cJSON.h>

#include "buf.h"
#include "http1.h"

/* ---- world.c ---- */

#define PATH_SIZE	108		/* as sun_path */

enum { WORLD_TLS = 1, WORLD_NO_WALL = 2, WORLD_EXPIRED = 4 };	/* EXPIRED: with TLS, the certificate is */

struct authd;

struct world {
	char		 dir[64];
	char		 state[PATH_SIZE];	/* STATE_DIRECTORY is state/mcp-authd; credentials in it */
	char		 config[PATH_SIZE];	/* the config file */
	char		 secrets[PATH_SIZE];	/* every secret that the wall ever issued or saw, one a line */
	char		 control[PATH_SIZE];	/* the wall's Unix socket, plain HTTP, controls and all else */
	char		 ca[PATH_SIZE];		/* WORLD_TLS: the CA of the wall's certificate */
	pid_t		 wall;
	int		 port, other_port;
	char		 origin[64];		/* http[s]://127.0.0.1:PORT */
	char		 other[64];		/* the second authorization server's */
	struct buf	 upstreams, top, text;	/* of the config */
	struct authd	*daemons;
};

struct world *world_new(int flags);
/* Ends everything that runs, removes the directory.  With $KEEP_WORLD set the directory stays. */
void	world_free(struct world *);
/*
 * The config, written at each authd_start().  Without any call: one upstream
 * "wall".  members: JSON members without braces, or NULL, e.g.
 * "\"timeouts\": {\"recovery\": 1}".  TLS worlds add caFile by themselves
 * unless members mention "tls".
 */
void	world_upstream(struct world *, const char *name, const char *members);	/* url = the wall's /mcp */
void	world_upstream_at(struct world *, const char *name, const char *url, const char *members);
void	world_top(struct world *, const char *members);		/* beside mcpServers */
void	world_config(struct world *, const char *text);		/* the whole file instead */
void	world_config_clear(struct world *);			/* forget upstreams, top and text */
/* Issues tokens at the wall (query as of /_wall/issue, or NULL) and imports them. */
void	world_login(struct world *, struct authd *, const char *upstream, const char *query);

/* Descriptors passed as systemd does it, sd_listen_fds(3); the caller keeps his. */
struct passed {
	const int	*fds;
	int		 n;
	const char	*names;		/* joined by colons */
};

/* A daemon. */
struct authd_options {
	const char	*runtime;	/* directory below the world's, default "run"; another one: a second daemon on the same store */
	const char	*log_level;	/* default "debug"; "" = as configured */
	const char *const *wrap;	/* words before the program: {"strace", "-f", ..., NULL} */
	const char *const *env;		/* more NAME=VALUE, NULL at the end */
	const struct passed *pass;	/* sockets of a service manager; NULL: none */
	bool		 no_wait;	/* do not wait until it is ready */
};

struct authd {
	struct authd	*next;
	pid_t		 pid;		/* 0: ended */
	char		 runtime[PATH_SIZE];	/* XDG_RUNTIME_DIR/mcp-authd */
	char		 control[PATH_SIZE], shared[PATH_SIZE], log[PATH_SIZE];
};

/* NULL options are fine.  The struct belongs to the world. */
struct authd *authd_start(struct world *, const struct authd_options *);
bool	authd_ready(struct authd *, int ms);		/* answers /healthz; false: ended or not in time */
int	authd_stop(struct authd *);			/* SIGTERM; exit status as of waitpid; SIGKILL after 60 s (-1) */
void	authd_kill(struct authd *);			/* SIGKILL, reaped */
int	authd_wait(struct authd *, int ms);		/* until it ends by itself: status as of waitpid, or -1 */
const char *authd_socket(const struct authd *, const char *upstream);	/* NAME/mcp.sock; one of eight static buffers */
char	*authd_log(const struct authd *);		/* the whole log so far; free() it */
cJSON	*authd_status(const struct authd *);		/* /v1/status */
int	authd_import(const struct authd *, const char *upstream, const char *json);	/* HTTP status of POST /v1/token/NAME */
int	authd_remove(const struct authd *, const char *upstream);
int64_t	authd_memory(const struct authd *);		/* RssAnon in bytes */
int	authd_fds(const struct authd *);		/* open descriptors */

void	give_up(const char *fmt, ...) _printf_(1, 2) __attribute__((noreturn));
int64_t	now_ms(void);					/* monotonic */
void	pause_ms(int ms);				/* between two polls, nothing else */
char	*file_read(const char *path, size_t *ret_n);	/* NUL-terminated; NULL if there is none */
void	file_write(const char *path, const char *text);
pid_t	child_fork(void);				/* 0 in the child, which dies with the parent */
void	child_environment(const char *const *env);	/* in the child: NAME=VALUE added to a clean environment */
pid_t	child_start(const char *const *argv, const char *const *env, const char *log);	/* env: NAME=VALUE added to a clean environment */
pid_t	child_start_passing(const struct passed *, const char *const *argv, const char *const *env, const char *log);
/*
 * PEM files in dir: ca.pem; cert.pem (a server's, for localhost and
 * 127.0.0.1), expired.pem (the same, an hour too old), other.pem (for another
 * name), client.pem (a client's), all four with key.pem.
 */
void	certs_make(const char *dir);

/* ---- proxy.c: an HTTP proxy that knows CONNECT alone ---- */

enum proxy_mode {
	PROXY_RELAY,
	PROXY_HANG,		/* never answers */
	PROXY_CLOSE,		/* closes instead of an answer */
	PROXY_FORBID,		/* 403 */
	PROXY_GARBAGE,
	PROXY_CUT		/* 200, and closes at the first byte of the tunnel */
};

/* Shared with its process; set mode at any time. */
struct proxy {
	pid_t		 pid;
	int		 port;
	_Atomic int	 mode;
	_Atomic int	 asked, unauthorized, tunnels;	/* requests, 407s, tunnels that came about */
	_Atomic int	 leaks;		/* requests that brought an Authorization, or were no CONNECT */
	char		 credentials[64];	/* user:password, "" = none are wanted */
};

struct proxy *proxy_start(const char *credentials);
void	proxy_stop(struct proxy *);

/* ---- browser.c: the person ---- */

struct reply;

/* GET of a URL on loopback, following up to `hops` redirects; the last answer.  0, -ECONNREFUSED, or as client_head(). */
int	browse(const struct world *, const char *url, int hops, struct reply *, int ms);
/* Where the first redirect leads (free() it), for who pastes it. */
char	*browse_location(const struct world *, const char *url, int ms);

/* ---- ctl.c: mcp-authctl beside the test ---- */

struct ctl;

/* args: without the program; env: more NAME=VALUE, or NULL; both with NULL at the end. */
struct ctl *ctl_start(const struct authd *, const char *const *args, const char *const *env);
void	ctl_say(struct ctl *, const char *text);	/* to its stdin */
void	ctl_close_stdin(struct ctl *);
void	ctl_signal(struct ctl *, int sig);
bool	ctl_until(struct ctl *, const char *text, int ms);	/* until it has said that; false: not in time, or it ended */
int	ctl_end(struct ctl *, int ms);			/* its exit code (128 + signal); -1: not in time */
const char *ctl_out(const struct ctl *);		/* all of stdout so far */
const char *ctl_err(const struct ctl *);
void	ctl_free(struct ctl *);				/* ends it, too; NULL is fine */

/* ---- flow.c: POST /v1/login/NAME, and what is told there ---- */

struct flow;

struct flow *flow_begin(const struct authd *, const char *upstream, const char *wish);	/* wish: JSON, or NULL */
int	flow_status(const struct flow *);		/* HTTP status */
const cJSON *flow_next(struct flow *, int ms);		/* the next event, valid until the next call; NULL: none came */
const cJSON *flow_until(struct flow *, const char *event, int ms);	/* until that one; NULL: the flow ended otherwise */
const char *flow_said(const struct flow *);		/* all events so far, as text */
void	flow_free(struct flow *);			/* leaves; NULL is fine */

/* ---- secrets.c: what must be nowhere ---- */

void	overheard(const char *where, const char *, size_t n);	/* bytes that a daemon answered (sockets below .../run*) */
void	secrets_check(const struct world *);	/* gives up if a secret stands in them or in a daemon's log; world_free() calls it */

/* ---- client.c: one connection, blocking with deadlines ---- */

/* Initialise with { 0 }; may be used again. */
struct reply {
	int		 status;
	struct buf	 head;		/* raw */
	struct buf	 body;		/* payload, unchunked */
	bool		 complete;	/* the body ended as it should */
};

void	reply_free(struct reply *);
struct slice reply_field(const struct reply *, const char *name);	/* {NULL, 0} if absent */
cJSON	*reply_json(const struct reply *);				/* of the body; of its last SSE data line if it is a stream */
/* error.data.reason of a JSON-RPC error, "" if it is none.  Static buffer. */
const char *reply_reason(const struct reply *);

struct client;

/* `where`: a Unix socket path, or "tcp:PORT". */
struct client *client_open(const char *where);
struct client *client_try(const char *where);	/* NULL: nobody listens there */
int	client_fd(const struct client *);
void	client_close(struct client *);			/* NULL is fine */
void	client_shutdown(struct client *);		/* half-close */
/* All results below: >= 0, or -ETIMEDOUT, -ECONNRESET (closed or broken too early), -EBADMSG (not HTTP). */
int	client_send(struct client *, const char *, size_t n, int ms);	/* all of it: 0 */
ssize_t	client_read(struct client *, char *, size_t n, int ms);	/* raw; 0 = the end */
bool	client_ended(struct client *, int ms);			/* the daemon closed it; bytes before are dropped */
/* The next final head (1xx skipped); then body pieces or events. */
int	client_head(struct client *, const char *method, struct reply *, int ms);
/* More body into r->body: 1 = more came, 0 = complete. */
int	client_body(struct client *, struct reply *, int ms);
int	client_reply(struct client *, const char *method, struct reply *, int ms);	/* head and whole body: 0 */
/* The next SSE event as raw text without its blank line: 1; 0 = the stream ended properly. */
int	client_event(struct client *, struct buf *event, int ms);

/* Whole requests as bytes. */
struct ask {
	const char	*socket;
	const char	*session;	/* NULL: none */
	const char	*key;		/* X-Test-Key, NULL: none */
	const char	*path;		/* NULL: /mcp */
	const char	*version;	/* MCP-Protocol-Version; NULL: 2025-11-25 if there is a session */
	const char	*fields;	/* more lines, each with CRLF; NULL: none */
};

void	request_post(struct buf *out, const struct ask *, const char *body);
void	request_get(struct buf *out, const struct ask *, const char *last_event);	/* last_event may be NULL */
void	request_delete(struct buf *out, const struct ask *);
/* A JSON-RPC tools/call; args: JSON object text or NULL. */
void	tool_json(struct buf *out, int id, const char *tool, const char *args);
/* tools/call of 2026-07-28 with its _meta. */
void	tool_json_modern(struct buf *out, int id, const char *tool, const char *args);

/* One-shots on a connection of their own. */
int	roundtrip(const char *socket, const char *method, const char *bytes, size_t n, struct reply *, int ms);
int	rpc(const struct ask *, const char *body, struct reply *, int ms);
int	tool(const struct ask *, int id, const char *name, const char *args, struct reply *, int ms);
int	http(const char *socket, const char *method, const char *path, const char *body, struct reply *, int ms);
/* initialize and notifications/initialized; the session id (free() it).  Sent without session and X-Test-Key. */
char	*session_open(const struct ask *);
/* An open GET stream whose head was read (200, else give_up). */
struct client *stream_open(const struct ask *, const char *last_event);

/* ---- lineclient.c: one connection of lines of JSON ---- */

struct liner;

struct liner *liner_open(const char *where);
void	liner_close(struct liner *);				/* NULL is fine */
struct client *liner_client(struct liner *);			/* to half-close it, or to send pieces */
void	liner_say(struct liner *, const char *text);		/* and a newline */
bool	liner_try(struct liner *, const char *text);		/* the same; false: the daemon has closed it */
/* The first line, of those that came or come, that holds the text; taken out.  NULL: not in time.  Valid until the next call. */
const char *liner_hear(struct liner *, const char *holds, int ms);
/* Waits ms, or for the end: how many lines came that were not asked for. */
size_t	liner_kept(struct liner *, int ms);
bool	liner_ended(struct liner *, int ms);			/* the daemon closed it */
/* initialize (id "init", answered) and notifications/initialized (on its way); version NULL: 2025-11-25. */
void	liner_begin(struct liner *, const char *version);

/* ---- volley.c: many at once, without blocking ---- */

struct shot {
	/* to be set */
	const char	*socket;
	const char	*method;	/* "POST" .. */
	struct buf	 request;	/* bytes; freed by shots_free() */
	const char	*until;		/* done as soon as the body holds this (streams); NULL: when it is complete */
	/* results */
	struct reply	 reply;
	bool		 done;		/* answered, until met, or failed */
	int		 error;		/* 0, -ECONNRESET, -EBADMSG; -ETIMEDOUT: unanswered at the end */
	int64_t		 done_ms;	/* after the start */
};

struct volley;

struct volley *volley_start(struct shot *, size_t n);	/* connects and begins to send */
size_t	volley_run(struct volley *, int ms);		/* until all are done or ms passed: how many are done */
/* Runs until the wall's count is at least n; false: not in time. */
bool	volley_until(struct volley *, struct world *, const char *count, int64_t n, int ms);
size_t	volley_open(const struct volley *);		/* not done yet */
void	volley_free(struct volley *);			/* closes connections; shots and replies stay: shots_free() */
void	shots_free(struct shot *, size_t n);
/* start, run, free: how many were answered properly (error 0). */
size_t	volley(struct shot *, size_t n, int ms);
size_t	shots_status(const struct shot *, size_t n, int status);	/* how many have it */

/* ---- steer.c: the wall's controls ---- */

cJSON	*wall_post(struct world *, const char *control, const char *json);	/* "fault", "issue?lifetime=2"; answer, cJSON_Delete() it */
void	wall_do(struct world *, const char *control, const char *json);		/* the same, answer dropped; json may be NULL */
int64_t	wall_fault(struct world *, const char *json);				/* its id */
cJSON	*wall_counts(struct world *);
int64_t	wall_count(struct world *, const char *path);	/* "token.requests", "sends.k1"; 0 if absent */
bool	wall_wait(struct world *, const char *path, int64_t at_least, int ms);
bool	wall_wait_is(struct world *, const char *path, int64_t exactly, int ms);
int64_t	wall_violations(struct world *);		/* sum; prints those that are not 0 */

#endif
