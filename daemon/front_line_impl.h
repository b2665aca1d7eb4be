/* What front_line's files share; nobody else includes it. */
#ifndef FRONT_LINE_IMPL_H
#define FRONT_LINE_IMPL_H

#include "exchange.h"
#include "front_http.h"
#include "front_line.h"
#include "lines.h"
#include "mcp.h"
#include "session.h"
#include "sse.h"

/* What a message or request of ours is for. */
enum line_kind {
	LINE_REQUEST,		/* of the client: an answer for each of its ids */
	LINE_INITIALIZE,	/* ... that begins a session */
	LINE_NOTIFICATION,	/* of the client, and its responses: nothing is answered */
	LINE_INITIALIZED,	/* ... that completes the session's beginning */
	LINE_OWN_INITIALIZE,	/* G1: the client's own, once more */
	LINE_OWN_INITIALIZED,
	LINE_OWN_REPEAT,	/* G1: setLevel or subscribe, once more */
	LINE_OWN_TOOLS,		/* M4: one page of tools/list */
	LINE_STREAM,		/* L9: the GET stream */
	LINE_DELETE,		/* L8 */
	LINE_KINDS
};

enum line_state {
	LINE_WAITING,		/* for the tools' schemas */
	LINE_JOINED,		/* for a new session */
	LINE_SENT,		/* a relay carries it */
	LINE_RESTING,		/* its timer runs: then a GET, or the same once more */
	LINE_LINGERING,		/* answered; its stream may end properly */
	LINE_OVER		/* freed when the turn has settled */
};

enum line_media { LINE_NOTHING, LINE_JSON, LINE_EVENTS, LINE_FOREIGN };

/* One message of the client, or one request of ours, until it is dealt with. */
struct line_exchange {
	TAILQ_ENTRY(line_exchange) entry;
	struct line_client *client;
	enum line_kind	 kind;
	enum line_state	 state;
	bool		 modern;
	bool		 owned;		/* this send carried the session's id */
	bool		 resumed;	/* this send is a GET that goes on with the stream (L10) */
	bool		 counted;	/* among the client's requests or others */
	bool		 opened_once;	/* LINE_STREAM: in this session */
	bool		 failed_body;	/* what was gathered is of no use */
	bool		 warned;
	unsigned	 epoch;		/* of the session when it was sent */
	struct buf	 text;
	struct jsonrpc	 rpc;		/* ids: those that are not answered yet */
	char		 version[32];	/* modern: of its _meta */
	struct buf	 cancels;	/* raw id of what it cancels; empty: it does not */
	struct buf	 meta;		/* LINE_OWN_TOOLS: raw _meta */
	unsigned	 pages;
	/* the request */
	struct relay	*relay;
	size_t		 fed;		/* of text */
	struct exchange	 before;	/* used up by earlier sends ... */
	bool		 again;		/* ... if there were any, and why: */
	enum exchange_verdict why;
	/* the answer */
	int		 status;
	enum line_media	 media;
	struct buf	 body;
	struct sse	 sse;
	size_t		 charged;
	char		*session_id;	/* given with the answer to an initialize; secret */
	struct timer	 timer;
	unsigned	 tries;		/* L12 */
	int64_t		 opened;	/* boot ms: the stream's head; 0 = not open */
	int64_t		 until;		/* boot ms: tries, or pages, end then; 0 = not failing */
};

TAILQ_HEAD(line_exchanges, line_exchange);

/* A request of the server that the client has not answered (L14). */
struct line_asked {
	TAILQ_ENTRY(line_asked) entry;
	unsigned	 epoch;
	bool		 modern;
	size_t		 n;
	char		 id[];
};

/* What a new session must be told again (G1). */
struct line_repeat {
	TAILQ_ENTRY(line_repeat) entry;
	struct buf	 text;
	struct slice	 uri;		/* in text; {NULL, 0}: logging/setLevel */
};

struct line_client {
	LIST_ENTRY(line_client) entry;
	struct front	*front;
	struct upstream	*up;
	struct loop	*loop;
	struct serve	*serve;		/* NULL: the connection is closed */
	const struct failure *refusal;
	uid_t		 uid;
	uint64_t	 number;	/* whose turn it is */
	struct lines	 lines;
	size_t		 charged;	/* for them */
	unsigned	 barriers;	/* what comes next must not overtake these */
	bool		 full;		/* the client is slow */
	bool		 paused;
	bool		 ended;		/* the client sends no more */
	bool		 draining;
	bool		 leaving;	/* only the last duties are left */
	bool		 dead;		/* ... and not even those */
	bool		 closing;	/* the connection, when what the client has sent is answered: */
	bool		 refusing;	/* ... by this, as is done now */
	struct failure	 last;		/* REASON_NONE: the client has sent all that it will */
	bool		 settling;	/* settle() is deferred */
	bool		 unflushed;
	struct line_exchanges exchanges, over;
	unsigned	 requests, others;	/* of the client, not dealt with */
	struct timer	 drain;
	/* its session (lib/session) */
	struct session	 session;
	char		*session_id;	/* secret; NULL: the server gives none */
	struct buf	 initialize;	/* the client's own */
	bool		 initialized;	/* ... and so was its notification */
	int64_t		 begin_until;	/* boot ms: a lost session must be begun anew by then */
	int64_t		 begin_after;	/* ... and not be tried again before */
	unsigned	 begin_tries;	/* in vain so far */
	TAILQ_HEAD(, line_asked) asked;
	unsigned	 nasked;
	TAILQ_HEAD(, line_repeat) repeats;
	unsigned	 nrepeats;
	size_t		 repeat_bytes;
	struct line_exchange *stream;	/* NULL: none is wanted */
	unsigned	 stream_tries;
	int64_t		 stream_since;	/* boot ms: polls without a failure began (L12); 0 = none */
	/* modern */
	char		 version[32];	/* the latest; "" = never */
	struct line_exchange *tools;	/* our own tools/list, while it runs */
};

/* --- front_line.c --- */
/* Writes one message to the client; what would end the line becomes a blank. */
void	line_write(struct line_client *, struct slice);
/* The daemon's own error for what is left of the exchange's ids. */
void	line_write_failure(struct line_client *, const struct failure *, const struct jsonrpc *);
/* Something has changed: reading, flushing, the end and the dead are looked after when the turn has settled. */
void	line_poke(struct line_client *);
/* Leaves if there is nothing more to wait for.  At once: the upstream may be about to go. */
void	line_look(struct line_client *);
/* Only a session that cannot go on (G1): everybody gets an error, and the connection ends. */
void	line_break(struct line_client *, const char *detail);
const char *line_name(const struct line_client *);

/* --- front_line_exchange.c --- */
struct line_exchange *line_new(struct line_client *, enum line_kind);
/* The same with a body of our own.  NULL without memory. */
struct line_exchange *line_new_own(struct line_client *, enum line_kind, struct slice text);
/* Is it the client's, and an answer due? */
bool	line_is_request(const struct line_exchange *);
bool	line_is_own(const struct line_exchange *);
/* Sends it, the first time or again. */
void	line_send(struct line_exchange *);
/* It fails: whoever waits for it is told; over. */
void	line_fail(struct line_exchange *, const struct failure *);
void	line_fails(struct line_exchange *, enum reason, const char *detail);
/* All its ids are answered. */
void	line_answered(struct line_exchange *);
/* Drops it, with whatever it still does. */
void	line_over(struct line_exchange *);
void	line_free(struct line_exchange *);
/* What a server may do as often as it likes is said once for each exchange. */
void	line_warn(struct line_exchange *, const char *words);
/* Bytes of lines and answers that all clients hold now. */
size_t	line_held_by_all(void);
/* Somebody holds n bytes now; *charged is what of them counts. */
void	line_hold(size_t *charged, size_t n);

/* --- front_line_answer.c: what upstream says --- */
/* One message out of an answer or a stream. */
void	line_message(struct line_exchange *, struct slice);
/* An answer with its whole body is there. */
void	line_judge(struct line_exchange *);
/* The exchange that waits for this id, from `first` on; NULL: nobody. */
struct line_exchange *line_find(struct line_client *, struct line_exchange *first, struct slice id);
/* The client answers a server's request: true if that is due, and forgotten now. */
bool	line_asked_take(struct line_client *, struct slice id);
void	line_asked_clear(struct line_client *);

/* --- front_line_session.c --- */
/* The client's own initialize was answered. */
void	line_session_opened(struct line_exchange *, struct slice answer);
/*
 * The session that x (NULL: nobody) was sent on in `epoch` is lost.  join: x
 * wants to be sent on the new one.  true: x is taken care of.
 */
bool	line_session_lost(struct line_client *, struct line_exchange *x, bool join, unsigned epoch);
/* Sends x on its session, when there is one again if it was lost. */
void	line_session_send(struct line_exchange *x);
/* Own initialize, initialized and repeats: answered (`answer` may be empty) or failed. */
void	line_session_own(struct line_exchange *, struct slice answer, const struct failure *);
bool	line_session_starting(const struct line_client *);
/* An answered setLevel, subscribe or unsubscribe: what will have to be repeated. */
void	line_session_learn(struct line_client *, const struct line_exchange *);
void	line_session_delete(struct line_client *);
/* The session that the answer to this initialize gave is nobody's. */
void	line_session_discard(struct line_exchange *);
void	line_session_free(struct line_client *);

/* --- front_line_stream.c --- */
void	line_stream_open(struct line_client *);
void	line_stream_close(struct line_client *);
/* Its answer has ended; f NULL: properly. */
void	line_stream_ended(struct line_exchange *, const struct failure *f);
/* A request's stream, or a GET that went on with it, ended before the answer; f as above. */
void	line_stream_broke(struct line_exchange *, const struct failure *f);

/* --- front_line_tools.c --- */
/* M1: what version its _meta says; false: it is no modern message. */
bool	line_modern(struct line_exchange *);
/* M2, M4: appends header lines.  0, -ENOMEM, -EMSGSIZE. */
int	line_modern_fields(struct line_exchange *, struct buf *out);
/* Sends a call as soon as the schemas that it needs are there. */
void	line_tools_send(struct line_exchange *);
/* M5a: the same after our headers were refused. */
void	line_tools_mend(struct line_exchange *);
void	line_tools_own(struct line_exchange *, struct slice answer);
/* M5: an answer to the client's tools/list; what is to be written instead, or `out` stays empty. */
void	line_tools_filter(struct line_exchange *, struct slice answer, struct buf *out);

#endif
