/*
 * The wall: an MCP server behind an OAuth wall together with its
 * authorization server, in one single-threaded process, able to commit every
 * fault on command; and on a second port another authorization server, which
 * knows nothing of the first and commits no faults.
 *
 *   wall --port-file F [--secrets-file F] [--control PATH] [--tls CERT KEY]
 *
 * It listens on 127.0.0.1, two ports of the system's choosing that it writes
 * to F, a line each (by rename, so that F is never half there), and on the
 * Unix socket PATH, which always speaks plain HTTP.  Every secret that it ever
 * issues or sees (tokens, codes, verifiers, client secrets, assertions, device
 * codes ...) is appended to the secrets file, one a line; "url TEXT" is one
 * that the authorization URL or the device instructions hold, which the
 * control socket may show.  It ends on SIGTERM.
 *
 * What it serves: /mcp and every path that begins with it (MCP, legacy and
 * 2026-07-28; first port alone); /authorize (code grant: approves at once with
 * a 302), /register, /device_authorization, /token (refresh_token,
 * authorization_code with PKCE S256, client_credentials, device_code,
 * jwt-bearer), /revoke, /idp/token (RFC 8693, an ID-JAG; issuer ORIGIN/idp),
 * the metadata documents; and without any authorization, on the same ports,
 * its controls, in whose bodies %ORIGIN% and %OTHER% stand for the origins of
 * the first and second port:
 *
 * POST /_wall/issue?client_id=&client_secret=&scope=&resource=&lifetime=
 *	A new family of tokens.  Answers the document that `token import`
 *	takes; all parameters may be missing.  lifetime in seconds, for the
 *	first access token alone.  renewable=0: without a refresh token.
 * POST /_wall/expire	Every access token issued until now is answered 401
 *	from now on, though its expiry is far (an early 401).
 * POST /_wall/revoke-all	Refresh tokens too (invalid_grant).
 * POST /_wall/set {...}	Any of: "lifetime" seconds of access tokens (3600),
 *	"expires_in_raw" JSON text of expires_in as sent ("" = omitted, null =
 *	the lifetime), "rotate" (true), "revoke_on_replay" (true),
 *	"revoke_old" (false: the old access token lives on after a refresh),
 *	"omit_refresh" (false: no refresh_token in token answers),
 *	"retry_ms" (SSE retry: line, 0 = none), "prime" (true: a priming event
 *	opens each GET stream), "check_resource" (true), "keep_alive" (text of a Keep-Alive field),
 *	"set_cookie" (text of a Set-Cookie field on initialize answers).
 *	And for logins (absent by default; documents, challenges, registration
 *	and authorization of the first port alone):
 *	"challenge" [values of WWW-Authenticate, a field each] of 401s, "prm_url"
 *	  text of its resource_metadata ("" = none), "open_rpc" [JSON-RPC methods
 *	  that need no token];
 *	"prm_paths" [..], "as_paths" [..]: where the documents are served, and
 *	  nowhere else ([] = nowhere; default: every path that begins with
 *	  /.well-known/oauth-protected-resource; .../oauth-authorization-server
 *	  with "issuer_path" behind it), "issuer_path" (the issuer is ORIGIN and
 *	  this), "prm_members" {}, "as_members" {}: replace members, null deletes
 *	  one; "authorization_servers" [..];
 *	"register": "absent" (404, not in the metadata), "refuse" (400) or
 *	  "unscoped" (400 if it names scopes), "register_method" (whatever was
 *	  asked for; one with a secret brings one), "register_secret_expires"
 *	  seconds, "register_members" {};
 *	"exact_port" (a loopback redirect may not change its port);
 *	"deny" (access_denied), "authorize_error" CODE, "authorize_page" (HTML
 *	  instead of a redirect), "iss", "state": text in place of the right one,
 *	  null omits it; "redirect_extra" raw text behind the redirect,
 *	  "grant_scope" text, "require_resource";
 *	"description_bytes": n of error_description in every refusal;
 *	"offline_needed" (no refresh token without scope offline_access),
 *	"omit_scope" (no scope in token answers);
 *	"device_pending": n polls, then approved (default: never by itself),
 *	  "device_slow": n first polls get slow_down, "device_interval" (1),
 *	  "device_lifetime" (300), "device_members" {};
 *	"subject_token" (the only one that /idp/token takes), "jag_lifetime"
 *	  (300), "jag_opaque" (no JWT).
 * POST /_wall/client {"client_id", "client_secret", "method", "public_key" (PEM,
 *	for private_key_jwt), "redirect_uris" (default: any on loopback),
 *	"other": false}	A client that a person has set up.
 * POST /_wall/forget-clients	Every client of the first server is unknown from
 *	now on: invalid_client at /token, an error page at /authorize.
 * POST /_wall/device?do=approve|deny|expire	Every device code.
 * GET /_wall/latest	The latest request at each endpoint, decoded:
 *	{"authorize": {..}, "token", "register", "device", "revoke", "idp"}.
 * POST /_wall/fault {...}	Adds a fault, answers {"id": n}.  Below.
 * POST /_wall/clear	Forgets all faults; what they hold goes on normally.
 * POST /_wall/release[?fault=n]	Lets go what "hold", "gather", "stall_read"
 *	and the tool "hang" keep (a released `hang` is answered).  Answers {"released": n}.
 * POST /_wall/emit {"text": T, "n": 1, "bytes": 0, "stamp": false}	A notification to every GET
 *	stream and every subscriptions/listen; n of them, padded to `bytes`; with
 *	"stamp": "SESSION-EVENT", numbers from 1, where it goes to a session.  Answers {"streams": n}: how many open streams took it.
 * POST /_wall/ask	A server request on every open GET stream; answers
 *	{"id": "srv-1", "streams": n}.
 * POST /_wall/drop {"how": "cut", "one": K}	Ends all streams, or the Kth GET stream
 *	(modulo their number) alone: "cut" (the connection ends inside the
 *	chunked body), "torn" (inside an event), "reset" (RST), "end" (properly).
 *	Answers {"streams": n}.
 * POST /_wall/lose-sessions {"one": K, "requests": false}	Every session, or the
 *	Kth alone if it has a GET stream, is unknown from now on (404), and with
 *	"requests" the streams of its requests are cut.  Answers {"sessions": n}.
 * POST /_wall/reset	Counters, settings and faults as at the start; tokens
 *	and sessions stay.
 * GET /_wall/counts[?brief=1]	One JSON object; brief leaves "sends" and "executions" out:
 *	requests, methods{POST..}, status{"200"..}: of MCP requests and answers
 *	auth{ok,missing,unknown,expired,revoked}: what their tokens were worth
 *	token{requests,granted,replays,revoked_families,refused,revocations,
 *	  bad_client,bad_resource,with_scope}
 *	metadata{resource,server}
 *	authorize{requests,codes,denied,pages,code_replays,bad_pkce},
 *	register{requests,registered,refused}, device{requests,polls,too_fast},
 *	exchange{requests,granted}, grants{GRANT_TYPE: n}: granted ones,
 *	assertions{good,signature,audience,expiry,jti,subject,type,form}: client
 *	  assertions, and what was wrong with them
 *	paths{PATH: n}, other_paths{}: whatever but MCP and controls was asked for,
 *	  also in vain, at the first and the second port
 *	clients{ID: n}, other_clients{}: client ids seen there
 *	leaks, other{requests,leaks}: requests that held what belongs to the other
 *	  authorization server (tokens, codes, states, client ids and secrets)
 *	sends{NAME: n}, max_sends: how often each request reached the wall, also
 *	  those answered 401 or met by a fault.  NAME is the request's X-Test-Key
 *	  field; without one "SESSION/ID" with the raw JSON-RPC id (or the
 *	  method of a notification, "response ID" of a response, GET, DELETE);
 *	  without X-Test-Key notifications, GETs and what has no session do not
 *	  count into max_sends
 *	executions{KEY: n}, max_executions: tools run, by their argument "key",
 *	  else X-Test-Key; other calls are not in it.  executed: all of them
 *	violations{authorization,cookie,proxy_authorization,hop_by_hop,host,
 *	  origin,refresh_token,token_bearer}, all 0 in a good world
 *	cookies: cookies that came back as set
 *	connections{open,peak,accepted,abandoned}: open ones, the control's own
 *	  not counted; abandoned: the peer left while its answer was due
 *	streams{open,opened,left,dropped,replayed}, listens{open,opened,left}: GET
 *	  streams, subscriptions/listen; left = closed by the peer, replayed: events
 *	sessions{open,opened,deleted}
 *	responses{ID: n}, notifications{METHOD: n}
 *	held: waiting in faults "hold" and "gather"; hanging; stalled
 *	faults[{id,hits,left}]
 *
 * Faults.  {"mcp"|"token"|"metadata"|"authorize"|"register"|"device"|"revoke"|
 * "idp": {...}, "times": n (default: for ever),
 * "match": {"path","method","tool","rpc","key","auth","grant"}}.  The first that
 * matches and has times left is used up by one and applied.  rpc is the
 * JSON-RPC method, key the X-Test-Key, auth "ok" or "bad", grant a token
 * request's grant_type; path of metadata faults is that of the document.  Those of a group marked H act on the head,
 * before the body is read (tool, rpc, auth cannot match there).
 *   all groups:
 *	delay_ms		answer later
 *	hold			answer only after /_wall/release
 *	gather: n		hold until n requests wait, then answer all
 *	status, body, headers{}	answer this
 *	redirect {status,location}
 *	hang			never answer
 *	raw, raw_hex		these bytes are the answer; then the connection
 *				closes, with "keep": true it stays
 *	close_before	H	close at the head
 *	close_during	H	close after the first bytes of the body
 *	reset_before	H	RST at the head
 *	stall_read	H	read no further until /_wall/release
 *	close_after_read	read all, then close without an answer
 *	reset_after_read	the same with RST
 *	half_head		half of a response head, then close
 *	half_body		head and half of the body, then close
 *	half_chunked		the same in a chunked answer
 *   mcp:
 *	reject_all		401, however good the token
 *	at_head		H	with status or reject_all: answered before the body is read
 *	close_idle_ms: n	answered normally; then the idle connection
 *				closes after n ms
 *	not_executed		close_after_read and its like do not count as executed
 *   token:
 *	close: "before" | "during" | "after" = close_before, close_during, close_after_read;
 *	reset = reset_after_read
 *	rotate: true		the refresh token is used up, whatever the answer
 *	rotate_then_cut		rotate and half_body
 *	expires_in_raw		once, as in settings
 *   metadata:
 *	authorization_servers [..], resource: in place of the real ones
 * For clients of lines: settings "record" (true: /_wall/latest has the header
 * fields of the latest MCP request of each kind, "mcp tools/call", "mcp GET"),
 * "tools_pages" (true: tools/list in two pages, with the tool "region" in the
 * second and one with an invalid x-mcp-header in the first), "region_header"
 * (what x-mcp-header "region" has, "Region"), "post_retry_ms" (for "resumable").
 * The tool region {region, where {limit}, flag} answers -32020 if its
 * Mcp-Param headers differ from its arguments; the tool resumable {n, cut_after,
 * how} is a stream with event ids that ends ("cut" or "end") after cut_after
 * events and is gone on with by GET, which is cut as often.
 *
 * What fails after reading counts as executed if the token was good.
 *
 * Tools: echo {text} sleep {ms,text} count {key} digest {data} (length and
 * SHA-256 of it) big {bytes, chunked} (an answer of exactly n bytes, letters
 * a-z in turn inside) sse {n, delay_ms, cut_after, bytes, ids} (n progress
 * notifications, then the result; the stream cut after some) hang always401
 * scope403 {need, challenge} (403 insufficient_scope with that challenge, or
 * with `need`, unless the token has the scope `need`; without it always)
 * plain403 ask (sends a server request on its own SSE answer and
 * ends when the response came).
 */
#ifndef WALL_H
#define WALL_H

#include <sys/queue.h>

#include <cjson/cJSON.h>
#include <event2/event.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

#include "buf.h"
#include "http1.h"

/* ---- wall_map.c: text to number and pointer ---- */

struct entry {
	struct entry	*next;
	uint64_t	 hash;
	int64_t		 n;
	void		*p;
	char		 key[];
};

struct map {
	struct entry	**slots;
	size_t		 nslots, n;
};

struct entry *map_find(const struct map *, const char *key);
struct entry *map_make(struct map *, const char *key);	/* finds or adds with n = 0 and p = NULL */
void	map_drop(struct map *, const char *key);
void	map_clear(struct map *, void (*free_p)(void *));
cJSON	*map_json(const struct map *);		/* {key: n} */

/* ---- wall.c ---- */

struct settings {
	int64_t	 lifetime;		/* ms */
	char	*expires_in_raw;	/* NULL: the lifetime */
	bool	 rotate, revoke_on_replay, revoke_old, omit_refresh, prime, check_resource;
	int64_t	 retry_ms;
	char	*keep_alive, *set_cookie;
};

struct wall {
	struct event_base *base;
	SSL_CTX		*tls;
	FILE		*secrets;
	int		 port, other_port;
	char		 authority[32], origin[64], other_authority[32], other_origin[64];
	struct settings	 set;
};
extern struct wall wall;

int64_t	now_ms(void);
void	settings_default(struct settings *);	/* frees what was there */
void	die(const char *fmt, ...) _printf_(1, 2) __attribute__((noreturn));

/* ---- wall_http.c: connections ---- */

struct conn;
struct fault;
struct session;

enum conn_state {
	CONN_IDLE,		/* between requests, or in a head */
	CONN_BODY,
	CONN_BUSY,		/* an answer is due */
	CONN_STREAM,		/* an SSE answer that stays open */
	CONN_DEAD
};

/* What auth says of a request's token. */
enum verdict { AUTH_OK, AUTH_MISSING, AUTH_UNKNOWN, AUTH_EXPIRED, AUTH_REVOKED, AUTH_MAX };

struct request {
	char		 method[16], path[256], query[4096];
	char		 key[128], session[64], version[32], token[128], last_event[64];
	char		 authorization[512];	/* whole value, for client authentication */
	char		 grant[96];		/* of a token request */
	bool		 counted, early;	/* early: answered before its body was read */
	enum verdict	 verdict;
	struct buf	 body;
	struct buf	 answer;	/* what faults cut in half */
	/* of an MCP POST */
	struct buf	 ids;			/* raw ids, each with a newline */
	int		 kind;			/* enum jsonrpc_kind */
	cJSON		*json;
	cJSON		*fields;		/* header fields, lower case names; with "record" set */
	const char	*rpc;			/* method, "" if none */
	const char	*tool;			/* "" if none */
	const cJSON	*args;			/* may be NULL */
};

enum stream_kind { STREAM_NONE, STREAM_GET, STREAM_LISTEN, STREAM_POST };

struct conn {
	LIST_ENTRY(conn) all;
	TAILQ_ENTRY(conn) waiting;	/* in held, while `held` */
	LIST_ENTRY(conn) streaming;	/* in the session's or the listens' list, while `stream` is GET or LISTEN */
	enum conn_state	 state;
	int		 fd;
	SSL		*ssl;
	struct event	*rd, *wr, *timer;
	void		(*later)(struct conn *);
	struct buf	 in, out;
	size_t		 out_off, scanned;
	struct http1_body body;
	bool		 local;		/* came over the control socket */
	bool		 other;		/* came to the second authorization server */
	bool		 reading, processing, keep, stalled, held, hanging, cut_body;
	enum { END_NONE, END_FIN, END_RST } end;	/* when everything is written */
	struct request	 req;
	struct fault	*fault;
	int64_t		 idle_ms;
	/* a generated body: letters, then `tail` */
	uint64_t	 fill, filled;
	bool		 filling, fill_chunked;
	struct buf	 tail;
	/* SSE */
	enum stream_kind stream;
	struct session	*session;
	int64_t		 steps, step, step_ms, cut_after, pad;
	char		 asked[32];	/* the server request that the tool `ask` waits for */
};

LIST_HEAD(conns, conn);
extern struct conns conns;

void	conn_open(int fd, bool tls, bool local, bool other);
void	conn_reap(void);			/* frees the dead; once a turn */
void	conn_kill(struct conn *, bool reset);	/* at once, unwritten bytes are lost */
void	conn_end(struct conn *, bool reset);	/* when everything is written */
void	conn_raw(struct conn *, const char *, size_t);
void	conn_after(struct conn *, int64_t ms, void (*fn)(struct conn *));
void	conn_stall(struct conn *);
void	conn_unstall(struct conn *);
/* Whole answers.  `fields` are complete lines with CRLF, or NULL. */
void	answer(struct conn *, int status, const char *type, const char *fields, const char *body, size_t n);
void	answer_text(struct conn *, int status, const char *type, const char *body);
void	answer_json(struct conn *, int status, cJSON *);	/* takes it */
/* Appends the head that answer() would send; chunked if n < 0. */
void	answer_head(struct buf *, struct conn *, int status, const char *type, const char *fields, ssize_t n);
/* head bytes, then `letters` of a-z, then the tail. */
void	answer_fill(struct conn *, const char *fields, struct buf *head, uint64_t letters, struct buf *tail, bool chunked);
/* An SSE answer; stream_end() finishes it properly. */
void	stream_begin(struct conn *, enum stream_kind, const char *fields);
void	stream_send(struct conn *, const char *, size_t);
void	stream_event(struct conn *, int64_t id, const char *data);	/* id < 0: none */
void	stream_end(struct conn *);

/* ---- wall.c: where a request goes ---- */

void	route_head(struct conn *, const struct http1_head *);	/* the head was read */
void	route_request(struct conn *);				/* the whole request was read */

/* ---- wall_count.c ---- */

struct counts {
	int64_t	requests, auth[AUTH_MAX];
	int64_t	token_requests, granted, replays, revoked_families, refused, revocations;
	int64_t	bad_client, bad_resource, with_scope;
	int64_t	metadata_resource, metadata_server;
	int64_t	authorize_requests, authorize_denied, authorize_pages, codes, code_replays, bad_pkce;
	int64_t	register_requests, registered, register_refused;
	int64_t	device_requests, device_polls, device_fast, exchange_requests, exchanged;
	int64_t	max_sends, max_executions, executed, cookies;
	int64_t	open, peak, accepted, abandoned;
	int64_t	streams_open, streams_opened, streams_left, streams_dropped, streams_replayed;
	int64_t	listens_open, listens_opened, listens_left;
	int64_t	sessions_open, sessions_opened, sessions_deleted;
	int64_t	held, hanging, stalled;
};
extern struct counts counts;

void	count_status(int status);
void	count_method(const char *);
void	count_send(struct conn *, const char *name, bool unique);
void	count_execution(const char *key);	/* NULL or "": only in `executed` */
void	count_violation(const char *what);
void	count_response(const char *id);
void	count_notification(const char *method);
void	count_fields(struct conn *, const struct http1_head *);	/* header violations */
cJSON	*count_json(bool brief);
void	count_reset(void);

/* ---- wall_faults.c ---- */

enum fault_group {
	FAULT_MCP, FAULT_TOKEN, FAULT_METADATA, FAULT_AUTHORIZE, FAULT_REGISTER, FAULT_DEVICE,
	FAULT_REVOKE, FAULT_IDP, FAULT_MAX
};

int64_t	fault_add(const cJSON *);	/* id, or -1 */
void	fault_clear(void);
cJSON	*fault_json(void);
int	fault_release(int64_t id);	/* 0: all */
void	fault_forget(struct conn *);	/* a held connection dies */
/* true if a fault took the request over at its head. */
bool	fault_at_head(struct conn *, enum fault_group);
/*
 * Finds the fault of a request that was read; then goes on with act(c),
 * now or later, with c->fault set or NULL.
 */
void	fault_meet(struct conn *, enum fault_group, void (*act)(struct conn *));
bool	fault_is(const struct fault *, const char *what);	/* there and not false */
const cJSON *fault_get(const struct fault *, const char *what);
int64_t	fault_number(const struct fault *, const char *what, int64_t otherwise);
/* Commits what ends in no regular answer, or an answer of its own; true if it did. */
bool	fault_commit(struct conn *);
/* The same kind of question without doing it: will fault_commit() act? */
bool	fault_commits(const struct fault *);
/* Adds the fault's headers as lines. */
void	fault_fields(const struct fault *, struct buf *);

/* ---- wall_form.c ---- */

/* One parameter of a form or query, decoded; NULL if absent. free() it. */
char	*form_get(const char *form, size_t n, const char *name);
char	*form_decode(const char *, size_t n);
void	form_add(struct buf *, const char *name, const char *value);	/* value NULL: nothing */
cJSON	*form_json(const char *form, size_t n);
bool	scope_has(const char *scope, const char *word);

/* ---- wall_option.c ---- */

bool	option_set(const cJSON *item);		/* false: no such setting */
void	options_clear(void);
const cJSON *option_get(const char *name);
bool	option_is(const char *name);		/* true was set */
const char *option_text(const char *name);
int64_t	option_number(const char *name, int64_t otherwise);
bool	option_lists(const char *name, const char *text);	/* an array that holds it */
void	option_merge(cJSON *into, const char *name);		/* its members replace; null deletes */

/* ---- wall_seen.c ---- */

void	random_text(char *out, size_t size, const char *prefix);	/* prefix and 32 hex digits */
/* Goes to the secrets file; with a connection it belongs to that server. */
void	seen_secret(const struct conn *, const char *);
void	seen_shown(const char *);		/* a secret that control.sock may show: "url TEXT" in the file */
void	seen_owned(bool other, const char *);	/* not a secret, but nothing that the other server may see */
void	seen_client(const struct conn *, const char *id);
void	seen_request(const struct conn *);	/* the whole request was read */
void	seen_latest(const char *endpoint, cJSON *what);		/* takes it */
cJSON	*seen_latest_json(void);
void	seen_count(cJSON *into);
void	seen_reset(void);

/* ---- wall_jwt.c ---- */

void	base64url(struct buf *, const void *, size_t n);
cJSON	*jwt_claims(const char *jwt);		/* unverified; NULL if it is none */
bool	jwt_signed_by(const char *jwt, const char *pem);	/* RS256 or ES256, by that public key */
char	*jwt_make(const cJSON *claims);		/* with a signature of chance */

/* ---- wall_client.c ---- */

struct client {
	char	*id, *secret, *method, *key;	/* key: PEM, public */
	cJSON	*redirects;			/* NULL: any on loopback */
	int64_t	 expires;			/* of the secret, boot ms; 0 = never */
	bool	 forgotten;
};

/* What a request says who it is. */
struct credentials { char *id, *secret, *assertion, *type; const char *method; };

void	credentials_read(const struct conn *, struct credentials *);
void	credentials_free(struct credentials *);
bool	client_configure(const cJSON *);
void	clients_forget(void);
struct client *client_find(const struct conn *, const char *id);	/* NULL: unknown or forgotten */
bool	client_was(const struct conn *, const char *id);	/* known now or once */
bool	client_authentic(const struct conn *, const struct credentials *, const struct client *);
bool	client_redirects(const struct client *, const char *uri);
void	client_register(struct conn *);
cJSON	*assertions_json(void);
void	assertions_reset(void);

/* ---- wall_oauth.c ---- */

struct issue { const char *client_id, *client_secret, *scope, *resource; int64_t lifetime; bool renewable; };
struct family;

cJSON	*oauth_issue(const struct issue *);
void	oauth_expire(void);
void	oauth_revoke_all(void);
enum verdict oauth_judge(const char *token);
bool	oauth_scoped(const char *token, const char *scope);
struct family *family_new(bool other, const struct issue *);
void	family_revoke(struct family *);
/* An access token, and a refresh token if renewable, as a token answer. */
void	tokens_grant(struct conn *, struct buf *out, struct family *, bool renewable);
int	refresh_grant(struct conn *, const struct client *, struct buf *out);
void	oauth_revoke(struct conn *);

/* ---- wall_token.c ---- */

#define GRANT_URN_DEVICE	"urn:ietf:params:oauth:grant-type:device_code"
#define GRANT_URN_JWT		"urn:ietf:params:oauth:grant-type:jwt-bearer"

struct code_wish { const char *client_id, *redirect, *challenge, *resource, *scope; };

void	oauth_token(struct conn *);
void	idp_token(struct conn *);
void	code_issue(const struct conn *, char *text, size_t size, const struct code_wish *);
char	*description(void);				/* error_description, or NULL */
int	refuse(struct buf *out, int status, const char *error);	/* an error answer's body; returns status */
void	refuse_json(struct conn *, int status, const char *error);
cJSON	*grants_json(void);
void	grants_reset(void);

/* ---- wall_authorize.c, wall_device.c, wall_metadata.c ---- */

void	authorize_request(struct conn *);
void	device_request(struct conn *);
int	device_grant(struct conn *, const struct client *, struct buf *out);
bool	device_control(const char *what);	/* approve, deny, expire: all that are open */
const char *origin_of(const struct conn *);
void	issuer_of(const struct conn *, char *out, size_t size);
bool	metadata_asked(const struct conn *);	/* is its path one of a document? */
void	metadata_answer(struct conn *);

/* ---- wall_mcp.c, wall_tools.c, wall_stream.c ---- */

void	mcp_request(struct conn *);
void	mcp_unauthorized(struct conn *);
bool	mcp_modern(const struct conn *);
void	mcp_result(struct conn *, const char *result, size_t n);	/* a JSON-RPC answer */
void	mcp_error(struct conn *, int status, int code, const char *message);
void	mcp_result_json(struct buf *, const struct conn *, const char *result, size_t n);
void	mcp_id(struct buf *, const struct conn *);
void	tool_call(struct conn *);
void	tool_list(struct conn *);
void	tool_executed(const struct conn *);	/* counts it */
void	tool_answered(const char *id);		/* a response came */
int	tool_release(void);			/* hanging ones are answered */

/* ---- wall_line.c: what clients of column N of WIRE are tried with ---- */

void	line_record(struct conn *, const struct http1_head *);	/* keeps the fields */
void	line_recorded(struct conn *);		/* the whole request was read: for /_wall/latest */
void	line_tools(struct conn *);		/* tools/list in pages */
void	line_region(struct conn *);		/* the tool "region" */
void	line_resumable(struct conn *);		/* the tool "resumable" */
bool	line_resume(struct conn *);		/* a GET that goes on with its stream; false: it does not */

struct session *session_new(void);
const char *session_id(const struct session *);
struct session *session_find(const char *id);
void	session_delete(struct session *);
int	session_lose(bool requests);			/* how many */
int	session_lose_one(unsigned which, bool requests);
void	session_stream(struct conn *, struct session *);	/* GET */
void	session_listen(struct conn *);				/* subscriptions/listen */
void	stream_left(struct conn *);		/* the connection of a stream is gone: unlink */
int	stream_emit(const char *text, size_t n, bool stamp);
int	stream_ask(char *id, size_t size);
int	stream_drop(const char *how);
int	stream_drop_one(const char *how, unsigned which);
void	ask_id(char *id, size_t size);		/* a new id for a server request */

/* ---- wall_control.c ---- */

void	control_request(struct conn *);

#endif
