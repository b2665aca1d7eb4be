/* Sessions with their GET streams and event buffers, and subscriptions/listen. */
#include <stdio.h>
#include <sys/random.h>

#include "wall.h"

#define RING	1024

struct session {
	LIST_ENTRY(session) entry;
	char		 id[40];
	unsigned	 serial;
	struct conns	 streams;
	int64_t		 last;			/* number of the newest event */
	char		*ring[RING];		/* event n at n % RING */
};

static LIST_HEAD(, session) all = LIST_HEAD_INITIALIZER(all);
static struct map	by_id;
static struct conns	listens = LIST_HEAD_INITIALIZER(listens);
static unsigned		asked, serials;

struct session *
session_new(void)
{
	struct session	*s = calloc(1, sizeof(*s));
	unsigned char	 r[16];
	size_t		 i;

	if (s == NULL || getrandom(r, sizeof(r), 0) != sizeof(r))
		die("no session");
	for (i = 0; i < sizeof(r); i++)
		snprintf(s->id + 2 * i, 3, "%02x", r[i]);
	s->serial = ++serials;
	LIST_INIT(&s->streams);
	LIST_INSERT_HEAD(&all, s, entry);
	map_make(&by_id, s->id)->p = s;
	counts.sessions_opened++;
	counts.sessions_open++;
	return s;
}

const char *
session_id(const struct session *s)
{
	return s->id;
}

struct session *
session_find(const char *id)
{
	struct entry	*e = map_find(&by_id, id);

	return e != NULL ? e->p : NULL;
}

static void
session_free(struct session *s)
{
	struct conn	*c;
	int		 i;

	while ((c = LIST_FIRST(&s->streams)) != NULL)
		stream_end(c);
	map_drop(&by_id, s->id);
	LIST_REMOVE(s, entry);
	for (i = 0; i < RING; i++)
		free(s->ring[i]);
	free(s);
	counts.sessions_open--;
}

void
session_delete(struct session *s)
{
	counts.sessions_deleted++;
	session_free(s);
}

/* What a server that loses a session forgets with it. */
static void
cut_requests(const struct session *s)
{
	struct conn	*c, *next;

	for (c = LIST_FIRST(&conns); c != NULL; c = next) {
		next = LIST_NEXT(c, all);
		if (c->stream == STREAM_POST && strcmp(c->req.session, s->id) == 0) {
			c->cut_body = true;
			conn_kill(c, false);
		}
	}
}

int
session_lose(bool requests)
{
	struct session	*s;
	int		 n = 0;

	for (; (s = LIST_FIRST(&all)) != NULL; n++) {
		if (requests)
			cut_requests(s);
		session_free(s);
	}
	return n;
}

int
session_lose_one(unsigned which, bool requests)
{
	struct session	*s;

	if (counts.sessions_open == 0)
		return 0;
	s = LIST_FIRST(&all);
	for (which %= (unsigned)counts.sessions_open; which > 0; which--)
		s = LIST_NEXT(s, entry);
	if (LIST_EMPTY(&s->streams))
		return 0;
	if (requests)
		cut_requests(s);
	session_free(s);
	return 1;
}

/* Unlinks a stream whose connection ends or goes on to other things. */
void
stream_left(struct conn *c)
{
	if (c->stream == STREAM_GET)
		counts.streams_open--;
	else if (c->stream == STREAM_LISTEN)
		counts.listens_open--;
	else
		return;
	LIST_REMOVE(c, streaming);
	c->stream = STREAM_NONE;
	c->session = NULL;
}

static void
replay(struct conn *c, struct session *s)
{
	int64_t	n = strtoll(c->req.last_event, NULL, 10) + 1;

	if (c->req.last_event[0] == '\0')
		return;
	for (n = MAX(n, MAX(1, s->last - RING + 1)); n <= s->last; n++) {
		stream_event(c, n, s->ring[n % RING]);
		counts.streams_replayed++;
	}
}

void
session_stream(struct conn *c, struct session *s)
{
	char	first[96];
	int	n = 0;

	counts.streams_opened++;
	counts.streams_open++;
	c->session = s;
	LIST_INSERT_HEAD(&s->streams, c, streaming);
	stream_begin(c, STREAM_GET, NULL);
	if (c->state == CONN_DEAD)
		return;
	if (wall.set.retry_ms > 0)
		n += snprintf(first, sizeof(first), "retry: %lld\n", (long long)wall.set.retry_ms);
	if (wall.set.prime)
		n += snprintf(first + n, sizeof(first) - (size_t)n, "id: %lld\ndata:\n",
		    c->req.last_event[0] != '\0' ? strtoll(c->req.last_event, NULL, 10) :
		    (long long)s->last);
	if (n > 0) {
		n += snprintf(first + n, sizeof(first) - (size_t)n, "\n");
		stream_send(c, first, (size_t)n);
	}
	replay(c, s);
}

void
session_listen(struct conn *c)
{
	struct buf	 b = BUF_INIT(0);

	counts.listens_opened++;
	counts.listens_open++;
	LIST_INSERT_HEAD(&listens, c, streaming);
	stream_begin(c, STREAM_LISTEN, NULL);
	buf_adds(&b, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/subscriptions/acknowledged\","
	    "\"params\":{\"_meta\":{\"io.modelcontextprotocol/subscriptionId\":");
	mcp_id(&b, c);
	buf_adds(&b, "},\"notifications\":{}}}");
	stream_event(c, -1, b.p);
	buf_free(&b);
}

/* To all streams of a session, and into its buffer. */
static int
session_emit(struct session *s, const char *json)
{
	struct conn	*c, *next;
	int		 n = 0;

	s->last++;
	free(s->ring[s->last % RING]);
	s->ring[s->last % RING] = strdup(json);
	for (c = LIST_FIRST(&s->streams); c != NULL; c = next) {
		next = LIST_NEXT(c, streaming);
		stream_event(c, s->last, json);
		n++;
	}
	return n;
}

/* stamp: "SERIAL-NUMBER" of the session and of the event in it. */
int
stream_emit(const char *text, size_t bytes, bool stamp)
{
	struct buf	 b = BUF_INIT(0);
	struct session	*s;
	struct conn	*c, *next;
	size_t		 len = strlen(text), common;
	int		 n = 0;

	buf_adds(&b, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/message\","
	    "\"params\":{\"level\":\"info\",\"data\":");
	buf_addjson(&b, text, len);
	if (bytes > len) {
		buf_adds(&b, ",\"pad\":\"");
		buf_reserve(&b, bytes - len);
		memset(b.p + b.len, 'x', bytes - len);
		b.len += bytes - len;
		buf_adds(&b, "\"");
	}
	common = b.len;
	LIST_FOREACH(s, &all, entry) {
		b.len = common;
		if (stamp)
			buf_addf(&b, ",\"stamp\":\"%u-%lld\"", s->serial, (long long)s->last + 1);
		buf_adds(&b, "}}");
		n += session_emit(s, b.p);
	}
	b.len = common;
	buf_adds(&b, "}}");
	for (c = LIST_FIRST(&listens); c != NULL; c = next) {
		next = LIST_NEXT(c, streaming);
		stream_event(c, -1, b.p);
		n++;
	}
	buf_free(&b);
	return n;
}

void
ask_id(char *id, size_t size)
{
	snprintf(id, size, "srv-%u", ++asked);
}

int
stream_ask(char *id, size_t size)
{
	char		 json[256];
	struct session	*s;
	int		 n = 0;

	ask_id(id, size);
	snprintf(json, sizeof(json), "{\"jsonrpc\":\"2.0\",\"id\":\"%s\","
	    "\"method\":\"sampling/createMessage\",\"params\":{\"messages\":[],\"maxTokens\":1}}",
	    id);
	LIST_FOREACH(s, &all, entry) {
		if (!LIST_EMPTY(&s->streams))
			n += session_emit(s, json);
	}
	return n;
}

static void
drop(struct conn *c, const char *how)
{
	static const char	half[] = "id: 999999\ndata: {\"jsonrpc\":\"2.0\",\"met";

	counts.streams_dropped++;
	if (strcmp(how, "end") == 0) {
		stream_end(c);
		return;
	}
	c->cut_body = true;
	if (strcmp(how, "torn") == 0) {
		stream_send(c, half, sizeof(half) - 1);
		conn_end(c, false);
		return;
	}
	conn_kill(c, strcmp(how, "reset") == 0);
}

int
stream_drop(const char *how)
{
	struct conn	*c, *next;
	int		 n = 0;

	for (c = LIST_FIRST(&conns); c != NULL; c = next) {
		next = LIST_NEXT(c, all);
		if (c->stream == STREAM_GET || c->stream == STREAM_LISTEN) {
			drop(c, how);
			n++;
		}
	}
	return n;
}

int
stream_drop_one(const char *how, unsigned which)
{
	struct conn	*c;

	if (counts.streams_open == 0)
		return 0;
	which %= (unsigned)counts.streams_open;
	LIST_FOREACH(c, &conns, all) {
		if (c->stream == STREAM_GET && which-- == 0) {
			drop(c, how);
			return 1;
		}
	}
	return 0;
}
