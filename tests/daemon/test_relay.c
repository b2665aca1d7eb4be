/*
 * The relay alone, against a call, an authorization and a loop that are told
 * what to do (link-time fakes of upstream.h, auth.h and loop.h): contract E1
 * to E4, F1 to F4, J, K, A2; held-body budget, redirects, back-pressure,
 * abandon in every state.
 */
#include <check.h>
#include <stdio.h>

#include "challenge.h"
#include "relay.h"

/* --- the fake loop: time moves only when told --- */

static struct {
	struct now now;
	struct timer *timers[64];
	struct { void (*fn)(void *); void *arg; } deferred[64];
	size_t ntimers, ndeferred;
} world = { .now = { .wall = 1700000000000, .boot = 1000000 } };

static struct loop *
the_loop(void)
{
	static char memory[sizeof(struct loop)];

	return (struct loop *)memory;
}

struct now
loop_now(struct loop *loop _unused_)
{
	return world.now;
}

void
loop_defer(struct loop *loop _unused_, void (*fn)(void *), void *arg)
{
	ck_assert_uint_lt(world.ndeferred, nitems(world.deferred));
	world.deferred[world.ndeferred].fn = fn;
	world.deferred[world.ndeferred++].arg = arg;
}

void
timer_init(struct timer *t, struct loop *loop, void (*fn)(void *), void *arg)
{
	memset(t, 0, sizeof(*t));
	t->loop = loop;
	t->fn = fn;
	t->arg = arg;
}

void
timer_set(struct timer *t, int64_t ms)
{
	if (t->at == 0)
		world.timers[world.ntimers++] = t;
	t->at = world.now.boot + MAX(ms, 0);
}

void
timer_clear(struct timer *t)
{
	for (size_t i = 0; i < world.ntimers; i++)
		if (world.timers[i] == t)
			world.timers[i] = world.timers[--world.ntimers];
	t->at = 0;
}

/* The turn ends. */
static void
settle(void)
{
	for (size_t i = 0; i < world.ndeferred; i++)
		world.deferred[i].fn(world.deferred[i].arg);
	world.ndeferred = 0;
}

static void
pass(int64_t ms)
{
	int64_t end = world.now.boot + ms;
	struct timer *t;

	for (;;) {
		t = NULL;
		for (size_t i = 0; i < world.ntimers; i++)
			if (world.timers[i]->at <= end && (t == NULL || world.timers[i]->at < t->at))
				t = world.timers[i];
		if (t == NULL)
			break;
		world.now.boot = MAX(t->at, world.now.boot);
		timer_clear(t);
		t->fn(t->arg);
		settle();
	}
	world.now.boot = end;
}

/* --- the fake authorization --- */

static struct {
	uint64_t generation;
	bool waiting;			/* the answer is WAIT */
	bool failing;			/* ... or FAIL */
	unsigned asked, answered, last_status, refreshes;
	bool last_retry, rejected_retry;
	bool may_hold;			/* of who asked last */
	int challenged;			/* status of the latest challenge, and what it said */
	char challenge[200];
	struct auth_waiter *waiters[16];
	size_t nwaiters;
} auth;

static void
auth_unqueue(struct auth_waiter *w)
{
	for (size_t i = 0; i < auth.nwaiters; i++)
		if (auth.waiters[i] == w)
			auth.waiters[i] = auth.waiters[--auth.nwaiters];
	w->queued = false;
}

enum auth_verdict
auth_ask(struct credential *c _unused_, struct auth_waiter *w, const char *method,
    const struct url *url, struct buf *out, uint64_t *ret_generation)
{
	ck_assert_ptr_nonnull(method);
	ck_assert_str_eq(url->host, "up.example");
	auth.asked++;
	auth.may_hold = w->may_hold;
	if (auth.failing) {
		w->failure = (struct failure){ .reason = REASON_LOGIN_REQUIRED };
		return AUTH_FAIL;
	}
	if (auth.waiting || w->after == auth.generation) {
		auth.refreshes += !auth.waiting;
		auth.waiting = true;
		if (!w->queued)
			auth.waiters[auth.nwaiters++] = w;
		w->queued = true;
		return AUTH_WAIT;
	}
	*ret_generation = auth.generation;
	if (out != NULL) {
		ck_assert(out->secret);
		ck_assert_int_eq(buf_addf(out, "Authorization: Bearer T%d\r\n",
		    (int)auth.generation), 0);
	}
	return AUTH_GO;
}

void
auth_answered(struct credential *c _unused_, uint64_t generation _unused_, int status, bool retry)
{
	auth.answered++;
	auth.last_status = status;
	auth.last_retry = retry;
}

bool
auth_rejected(struct credential *c _unused_, struct auth_waiter *w, uint64_t generation,
    bool retry, struct failure *ret)
{
	auth.rejected_retry = retry;
	if (retry) {
		*ret = (struct failure){ .reason = REASON_BEARER_REJECTED };
		return false;
	}
	w->after = generation;
	return true;
}

void
auth_challenged(struct credential *c _unused_, int status, const struct challenge *ch)
{
	auth.challenged = status;
	snprintf(auth.challenge, sizeof(auth.challenge), "%d %s %s %s", ch->bearer,
	    ch->error != NULL ? ch->error : "-", ch->scope != NULL ? ch->scope : "-",
	    ch->resource_metadata != NULL ? ch->resource_metadata : "-");
}

void
auth_leave(struct credential *c _unused_, struct auth_waiter *w)
{
	auth_unqueue(w);
}

/* The transaction ends: a new token, or none. */
static void
auth_wake(bool ok)
{
	struct auth_waiter *w;

	auth.waiting = false;
	auth.generation += ok;
	while (auth.nwaiters > 0) {
		w = auth.waiters[0];
		auth_unqueue(w);
		w->failed = !ok;
		w->failure.reason = ok ? REASON_NONE : REASON_LOGIN_REQUIRED;
		w->wake(w->arg);
	}
	settle();
}

/* --- the fake calls --- */

struct call {
	enum lane lane;
	uint64_t client;
	const struct call_ops *ops;
	void *arg;
	char *wire;
	size_t written, room;
	bool sent, paused, closed;
};

static struct call calls[32];
static size_t ncalls;
static size_t room_given = SIZE_MAX;	/* of the next call */

struct call *
call_open(struct upstream *u _unused_, enum lane lane, uint64_t client, const char *method,
    const struct call_ops *ops, void *arg)
{
	struct call *c = &calls[ncalls++];

	ck_assert_uint_le(ncalls, nitems(calls));
	ck_assert_ptr_nonnull(method);
	free(c->wire);
	*c = (struct call){ .lane = lane, .client = client, .ops = ops, .arg = arg,
	    .room = room_given };
	return c;
}

ssize_t
call_write(struct call *c, const struct iovec *iov, int n)
{
	size_t took = 0, part;

	ck_assert(!c->closed);
	for (int i = 0; i < n && c->room > 0; i++) {
		part = MIN(iov[i].iov_len, c->room);
		c->wire = realloc(c->wire, c->written + part + 1);
		memcpy(c->wire + c->written, iov[i].iov_base, part);
		c->written += part;
		c->wire[c->written] = '\0';
		if (c->room != SIZE_MAX)
			c->room -= part;
		took += part;
	}
	return took;
}

void
call_sent(struct call *c)
{
	c->sent = true;
}

void
call_pause(struct call *c)
{
	c->paused = true;
}

void
call_resume(struct call *c)
{
	c->paused = false;
}

void
call_close(struct call *c)
{
	if (c != NULL)
		c->closed = true;
}

static struct call *
last_call(void)
{
	ck_assert_uint_gt(ncalls, 0);
	return &calls[ncalls - 1];
}

static void
ready(void)
{
	struct call *c = last_call();

	ck_assert(!c->closed);
	c->ops->ready(c->arg);
	settle();
}

static void
make_room(struct call *c, size_t n)
{
	c->room = n;
	c->ops->room(c->arg);
	settle();
}

/* An answer's head, with the fields given as text. */
static void
head(struct call *c, int status, const char *fields)
{
	static struct http1_head h;
	enum http1_error error;
	char text[4096];
	size_t scanned = 0;

	snprintf(text, sizeof(text), "HTTP/1.1 %d X\r\n%s\r\n", status, fields);
	ck_assert_int_eq(http1_response(text, strlen(text), &scanned, sizeof(text), "POST", &h,
	    &error), 1);
	c->ops->head(c->arg, &h);
}

static void
turn(struct call *c)
{
	if (!c->closed)
		c->ops->turn(c->arg);
	settle();
}

static void
end(struct call *c)
{
	ck_assert(!c->closed);
	c->ops->end(c->arg);
	ck_assert(c->closed);
	settle();
}

static void
data(struct call *c, const char *text)
{
	c->ops->data(c->arg, text, strlen(text));
}

static void
broke(struct call *c, enum reason reason)
{
	struct failure f = { .reason = reason, .detail = "broken" };

	(c->ops->fail)(c->arg, &f, c->written);	/* check has a macro of that name */
	settle();
}

/* A whole answer that is not relayed, or is. */
static void
answers(int status, const char *fields)
{
	struct call *c = last_call();

	head(c, status, fields);
	if (!c->closed)
		end(c);
	settle();
}

/* --- the sink --- */

struct sink {
	struct relay *relay;
	int status, heads, ends, fails, turns, mores;
	bool headed, full, abandon_in_head, abandon_in_data, abandon_in_more;
	enum reason reason;
	int64_t retry_ms;
	char detail[160], ids[256];
	struct buf data;
};

static struct sink sinks[16];

static void
sink_head(void *arg, const struct http1_head *h)
{
	struct sink *s = arg;

	s->status = h->status;
	s->heads++;
	if (s->abandon_in_head)
		relay_abandon(s->relay);
}

static bool
sink_data(void *arg, const char *p, size_t n)
{
	struct sink *s = arg;

	ck_assert_int_eq(buf_add(&s->data, p, n), 0);
	if (s->abandon_in_data)
		relay_abandon(s->relay);
	return s->full;
}

static void
sink_turn(void *arg)
{
	((struct sink *)arg)->turns++;
}

static void
sink_end(void *arg)
{
	((struct sink *)arg)->ends++;
}

static void
sink_fail(void *arg, const struct failure *f, const struct jsonrpc *rpc, bool headed)
{
	struct sink *s = arg;

	s->fails++;
	s->reason = f->reason;
	s->retry_ms = f->retry_ms;
	s->headed = headed;
	snprintf(s->detail, sizeof(s->detail), "%s", f->detail);
	snprintf(s->ids, sizeof(s->ids), "%.*s", rpc != NULL ? (int)rpc->ids.len : 0,
	    rpc != NULL && rpc->ids.p != NULL ? rpc->ids.p : "");
}

static void
sink_more(void *arg)
{
	struct sink *s = arg;

	s->mores++;
	if (s->abandon_in_more)
		relay_abandon(s->relay);
}

static const struct sink_ops sink_ops = {
	.head = sink_head,
	.data = sink_data,
	.turn = sink_turn,
	.end = sink_end,
	.fail = sink_fail,
	.more = sink_more,
};

/* --- set-up --- */

static struct config config;
static struct config_upstream upstream_config;
static struct upstream up;

#define CALL	"{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"tools/call\"}"
#define NOTE	"{\"jsonrpc\":\"2.0\",\"method\":\"notifications/x\"}"
#define ANSWER	"{\"jsonrpc\":\"2.0\",\"id\":3,\"result\":{}}"
#define LISTEN	"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"subscriptions/listen\"}"

static void
set_up(void)
{
	static const char url[] = "https://up.example/mcp?a=b";

	ck_assert_int_eq(url_parse(url, strlen(url), &upstream_config.url), 0);
	upstream_config.name = strdup("linear");
	upstream_config.recovery = RECOVERY;
	upstream_config.response = RESPONSE;
	config.limits.held_bytes = HELD_BYTES;
	up = (struct upstream){ .config = &upstream_config, .limits = &config,
	    .loop = the_loop() };
	auth.generation = 1;
}

/* Every exchange has had one last call or was abandoned, and left nothing behind. */
static void
tear_down(void)
{
	settle();
	ck_assert_uint_eq(up.active, 0);
	ck_assert_uint_eq(relay_held(), 0);
	ck_assert_uint_eq(auth.nwaiters, 0);
	for (size_t i = 0; i < ncalls; i++) {
		ck_assert(calls[i].closed);
		free(calls[i].wire);
		calls[i].wire = NULL;
	}
	for (size_t i = 0; i < nitems(sinks); i++)
		buf_free(&sinks[i].data);
	url_free(&upstream_config.url);
	free(upstream_config.name);
}

static struct relay *
begin_with(struct sink *s, const char *method, const char *fields)
{
	static struct http1_head h;
	struct relay_request q = { .head = &h, .method = method, .client = 42 };
	enum http1_error error;
	char text[4096];
	size_t scanned = 0;

	snprintf(text, sizeof(text), "%s /local HTTP/1.1\r\nHost: localhost\r\n%s\r\n", method,
	    fields);
	ck_assert_int_eq(http1_request(text, strlen(text), &scanned, sizeof(text), &h, &error), 1);
	s->relay = relay_begin(&up, &q, &sink_ops, s);
	ck_assert_ptr_nonnull(s->relay);
	return s->relay;
}

static struct relay *
begin_length(struct sink *s, size_t n)
{
	char fields[64];

	snprintf(fields, sizeof(fields), "Content-Length: %zu\r\n", n);
	return begin_with(s, "POST", fields);
}

/* A whole POST, as far as asking for a link. */
static struct relay *
post(struct sink *s, const char *body)
{
	struct relay *r = begin_length(s, strlen(body));

	relay_body(r, body, strlen(body));
	relay_body_end(r);
	settle();
	return r;
}

static struct relay *
get(struct sink *s)
{
	struct relay *r = begin_with(s, "GET", "Accept: text/event-stream\r\n");

	settle();
	return r;
}

static void
has(const struct call *c, const char *text)
{
	ck_assert_msg(strstr(c->wire, text) != NULL, "no \"%s\" in\n%s", text, c->wire);
}

static void
failed_as(const struct sink *s, enum reason reason)
{
	ck_assert_int_eq(s->fails, 1);
	ck_assert_int_eq(s->ends, 0);
	ck_assert_str_eq(reason_name(s->reason), reason_name(reason));
}

static void
relayed_as(const struct sink *s, int status)
{
	ck_assert_int_eq(s->heads, 1);
	ck_assert_int_eq(s->ends, 1);
	ck_assert_int_eq(s->fails, 0);
	ck_assert_int_eq(s->status, status);
}

/* --- sending --- */

START_TEST(a1_a2_head)
{
	struct sink *s = &sinks[0];
	struct relay *r;

	r = begin_with(s, "POST", "Authorization: Bearer stolen\r\nCookie: a=b\r\n"
	    "Accept: text/event-stream\r\nMcp-Param-X: 1\r\nContent-Length: 2\r\n");
	relay_body(r, "{}", 2);
	relay_body_end(r);
	auth.generation = 9;		/* between asking for a link and having it */
	ready();
	ck_assert_str_eq(last_call()->wire, "POST /mcp?a=b HTTP/1.1\r\nHost: up.example\r\n"
	    "Accept: text/event-stream\r\nMcp-Param-X: 1\r\nContent-Length: 2\r\n"
	    "Authorization: Bearer T9\r\n\r\n{}");
	ck_assert(last_call()->sent);
	answers(200, "Content-Length: 0\r\n");
	relayed_as(s, 200);
	ck_assert_uint_eq(auth.answered, 1);
}
END_TEST

/* The whole head, lead and body in pieces of every size. */
START_TEST(short_writes)
{
	struct sink *s = &sinks[0];

	room_given = 0;
	post(s, CALL);
	ready();
	for (int i = 0; !last_call()->sent; i++) {
		ck_assert_int_lt(i, 1000);
		make_room(last_call(), 1 + i % 7);
	}
	ck_assert_str_eq(last_call()->wire, "POST /mcp?a=b HTTP/1.1\r\nHost: up.example\r\n"
	    "Content-Length: 46\r\nAuthorization: Bearer T1\r\n\r\n" CALL);
	answers(200, "Content-Length: 0\r\n");
	relayed_as(s, 200);
}
END_TEST

/* A chunked body that is complete before it is sent goes with its length, a long one in chunks. */
START_TEST(chunked_bodies)
{
	struct sink *s = &sinks[0];
	struct relay *r;
	char *block = calloc(1, WINDOW);

	r = begin_with(s, "POST", "Transfer-Encoding: chunked\r\n");
	relay_body(r, "{", 1);
	ck_assert_uint_eq(ncalls, 0);
	relay_body(r, "}", 1);
	relay_body_end(r);
	ready();
	has(last_call(), "Content-Length: 2\r\n");
	answers(202, "Content-Length: 0\r\n");

	memset(block, ' ', WINDOW);
	r = begin_with(s = &sinks[1], "POST", "Transfer-Encoding: chunked\r\n");
	relay_body(r, block, WINDOW);
	ready();
	has(last_call(), "Transfer-Encoding: chunked\r\n");
	has(last_call(), "\r\n\r\n40000\r\n  ");
	relay_body(r, "abc", 3);
	relay_body_end(r);
	ck_assert_str_eq(last_call()->wire + last_call()->written - 17, "  \r\n3\r\nabc\r\n0\r\n\r\n");
	ck_assert(last_call()->sent);
	answers(202, "Content-Length: 0\r\n");
	relayed_as(s, 202);
	free(block);
}
END_TEST

START_TEST(design3_lanes)
{
	static const struct { const char *body; enum lane lane; } t[] = {
		{ CALL, LANE_REQUEST }, { NOTE, LANE_RESERVED }, { ANSWER, LANE_RESERVED },
		{ LISTEN, LANE_STREAM }, { "[" CALL "," NOTE "]", LANE_REQUEST },
		{ "[" NOTE "]", LANE_RESERVED }, { "nonsense", LANE_REQUEST },
	};

	for (size_t i = 0; i < nitems(t); i++) {
		post(&sinks[i], t[i].body);
		ck_assert_int_eq(last_call()->lane, t[i].lane);
		ck_assert_uint_eq(last_call()->client, 42);
		relay_abandon(sinks[i].relay);
	}
	get(&sinks[8]);
	ck_assert_int_eq(last_call()->lane, LANE_STREAM);
	relay_abandon(sinks[8].relay);
	begin_with(&sinks[9], "DELETE", "");
	ck_assert_int_eq(last_call()->lane, LANE_RESERVED);
	relay_abandon(sinks[9].relay);
}
END_TEST

/* A2: what auth says with a link in hand counts, not what it said before. */
START_TEST(a2_wait_with_a_link)
{
	struct sink *s = &sinks[0];

	post(s, CALL);
	auth.waiting = true;
	ready();
	ck_assert(calls[0].closed);
	ck_assert_uint_eq(calls[0].written, 0);
	auth_wake(true);
	ck_assert_uint_eq(ncalls, 2);
	ready();
	has(last_call(), "Bearer T2");
	answers(200, "Content-Length: 0\r\n");
	relayed_as(s, 200);
}
END_TEST

/* --- E: 401 --- */

START_TEST(e1_adopts_what_is_newer)
{
	struct sink *s = &sinks[0];

	post(s, CALL);
	ready();
	auth.generation = 2;
	answers(401, "Content-Length: 0\r\n");
	ck_assert_uint_eq(auth.refreshes, 0);
	ready();
	has(last_call(), "Bearer T2");
	ck_assert(!auth.last_retry);
	answers(200, "Content-Length: 0\r\n");
	ck_assert(auth.last_retry);
	relayed_as(s, 200);
}
END_TEST

/* E2 for a POST, a GET and a DELETE at once: one refresh, each once more, the same bytes. */
START_TEST(e2_waits_and_retries)
{
	struct sink *s = &sinks[0];

	post(&s[0], CALL);
	get(&s[1]);
	begin_with(&s[2], "DELETE", "");
	for (size_t i = 0; i < 3; i++)
		calls[i].ops->ready(calls[i].arg);
	for (size_t i = 0; i < 3; i++) {
		head(&calls[i], 401, "Content-Length: 4\r\nWWW-Authenticate: Bearer\r\n");
		data(&calls[i], "nope");
		end(&calls[i]);
	}
	ck_assert_uint_eq(auth.refreshes, 1);
	ck_assert_uint_eq(auth.nwaiters, 3);
	auth_wake(true);
	ck_assert_uint_eq(ncalls, 6);
	for (size_t i = 3; i < 6; i++) {
		calls[i].ops->ready(calls[i].arg);
		has(&calls[i], "Bearer T2");
		head(&calls[i], 200, "Content-Length: 0\r\n");
		end(&calls[i]);
	}
	for (size_t i = 0; i < 3; i++) {
		relayed_as(&s[i], 200);
		ck_assert_uint_eq(s[i].data.len, 0);
	}
	for (size_t i = 3; i < 6; i++)
		if (strstr(calls[i].wire, "POST") != NULL)
			has(&calls[i], "\r\n\r\n" CALL);
}
END_TEST

START_TEST(e3_second_401_is_final)
{
	struct sink *s = &sinks[0];

	post(s, CALL);
	ready();
	auth.generation = 2;
	answers(401, "Content-Length: 0\r\n");
	ready();
	answers(401, "Content-Length: 0\r\n");
	ck_assert_uint_eq(ncalls, 2);
	ck_assert(auth.rejected_retry);
	failed_as(s, REASON_BEARER_REJECTED);
	ck_assert(!s->headed);
	ck_assert_str_eq(s->ids, "7\n");
}
END_TEST

/* The refresh fails: everyone who waited is answered with its reason. */
START_TEST(e2_refresh_fails)
{
	post(&sinks[0], CALL);
	ready();
	answers(401, "Content-Length: 0\r\n");
	auth_wake(false);
	failed_as(&sinks[0], REASON_LOGIN_REQUIRED);
}
END_TEST

/* A 401's body delays nothing: what is not there in the turn is not awaited. */
START_TEST(e2_unfinished_401_body)
{
	post(&sinks[0], CALL);
	ready();
	auth.generation = 2;
	head(last_call(), 401, "Content-Length: 100\r\n");
	data(last_call(), "part");
	ck_assert(!calls[0].closed);
	turn(last_call());
	ck_assert(calls[0].closed);
	ck_assert_uint_eq(ncalls, 2);
	ready();
	answers(200, "Content-Length: 0\r\n");
	relayed_as(&sinks[0], 200);
}
END_TEST

START_TEST(e4_broken_link_is_never_replayed)
{
	struct sink *s = &sinks[0];

	post(s, CALL);
	ready();
	broke(last_call(), REASON_UPSTREAM_UNREACHABLE);
	ck_assert_uint_eq(ncalls, 1);
	failed_as(s, REASON_UPSTREAM_UNREACHABLE);

	/* One byte is enough. */
	room_given = 1;
	post(s = &sinks[1], CALL);
	ready();
	broke(last_call(), REASON_UPSTREAM_UNREACHABLE);
	ck_assert_uint_eq(ncalls, 2);
	failed_as(s, REASON_UPSTREAM_UNREACHABLE);
}
END_TEST

START_TEST(e4_stale_link_took_nothing)
{
	struct sink *s = &sinks[0];

	room_given = 0;
	post(s, CALL);
	ready();
	broke(last_call(), REASON_UPSTREAM_UNREACHABLE);
	ck_assert_uint_eq(ncalls, 2);
	room_given = SIZE_MAX;
	last_call()->room = SIZE_MAX;
	ready();
	answers(200, "Content-Length: 0\r\n");
	relayed_as(s, 200);

	/* Not for ever, and not if the other side is malformed. */
	room_given = 0;
	post(s = &sinks[1], CALL);
	for (int i = 0; i < 3; i++) {
		ready();
		broke(last_call(), REASON_UPSTREAM_UNREACHABLE);
	}
	ck_assert_uint_eq(ncalls, 5);
	failed_as(s, REASON_UPSTREAM_UNREACHABLE);
	post(s = &sinks[2], CALL);
	ready();
	broke(last_call(), REASON_UPSTREAM_MALFORMED);
	failed_as(s, REASON_UPSTREAM_MALFORMED);
}
END_TEST

/* A connection that cannot be made. */
START_TEST(unreachable)
{
	post(&sinks[0], CALL);
	broke(last_call(), REASON_UPSTREAM_UNREACHABLE);
	failed_as(&sinks[0], REASON_UPSTREAM_UNREACHABLE);
	ck_assert_str_eq(sinks[0].detail, "broken");
}
END_TEST

START_TEST(e4_f4_nothing_after_a_head)
{
	struct sink *s = &sinks[0];

	post(s, CALL);
	ready();
	head(last_call(), 200, "Content-Length: 10\r\n");
	data(last_call(), "half");
	broke(last_call(), REASON_UPSTREAM_UNREACHABLE);
	ck_assert_uint_eq(ncalls, 1);
	failed_as(s, REASON_UPSTREAM_UNREACHABLE);
	ck_assert(s->headed);
}
END_TEST

/* A body too large to hold has no right to a retry, but its 401 still asks for a refresh. */
START_TEST(e4_unheld_body)
{
	struct sink *s = &sinks[0];
	char *block = calloc(1, WINDOW);
	struct relay *r;

	r = begin_length(s, HELD_EACH + 1);
	relay_body(r, block, WINDOW);
	ready();
	answers(401, "Content-Length: 0\r\n");
	ck_assert_int_eq(s->fails, 0);	/* the rest of the body is read for its ids */
	ck_assert(!relay_body(r, block, WINDOW));
	relay_body_end(r);
	settle();
	failed_as(s, REASON_LIMIT);
	ck_assert_int_gt(s->retry_ms, 0);
	ck_assert_uint_eq(auth.refreshes, 1);
	ck_assert_uint_eq(ncalls, 1);
	free(block);
}
END_TEST

/* --- F: time --- */

START_TEST(f1_f2_recovery_bounds_waiting)
{
	struct sink *s = &sinks[0];

	auth.waiting = true;
	post(&s[0], CALL);		/* waits for auth */
	auth.waiting = false;
	post(&s[1], CALL);		/* waits for a link */
	pass(RECOVERY - 1);
	ck_assert_int_eq(s[0].fails + s[1].fails, 0);
	pass(1);
	failed_as(&s[0], REASON_RECOVERY_TIMEOUT);
	failed_as(&s[1], REASON_RECOVERY_TIMEOUT);
	ck_assert_str_eq(s[0].ids, "7\n");
	ck_assert_uint_eq(auth.nwaiters, 0);
	auth_wake(true);		/* the late one is not sent */
	ck_assert_uint_eq(ncalls, 1);
	ck_assert_uint_eq(calls[0].written, 0);
}
END_TEST

/* Different upstreams' times in one list, and a new one after an idle time. */
START_TEST(f1_order_of_deadlines)
{
	static const int64_t times[] = { 50 * SEC, 5 * SEC, 20 * SEC, 60 * SEC };

	auth.waiting = true;
	for (int i = 0; i < 4; i++) {
		upstream_config.recovery = times[i];
		post(&sinks[i], CALL);
	}
	for (int64_t t = 0; t <= 60; t += 5) {
		for (int i = 0; i < 4; i++)
			ck_assert_int_eq(sinks[i].fails, t * SEC >= times[i]);
		pass(5 * SEC);
	}
	pass(HOUR_MS);
	auth.waiting = false;
	upstream_config.recovery = 1 * SEC;
	post(&sinks[5], CALL);
	pass(1 * SEC);
	failed_as(&sinks[5], REASON_RECOVERY_TIMEOUT);
}
END_TEST

START_TEST(f1_response_bounds_requests_alone)
{
	post(&sinks[0], CALL);
	ready();
	pass(RECOVERY);			/* sent: recovery is over */
	post(&sinks[1], LISTEN);
	ready();
	get(&sinks[2]);
	ready();
	post(&sinks[3], CALL);
	ready();
	head(last_call(), 200, "Transfer-Encoding: chunked\r\n");
	pass(RESPONSE - RECOVERY - 1);
	ck_assert_int_eq(sinks[0].fails, 0);
	pass(1);
	failed_as(&sinks[0], REASON_UPSTREAM_UNREACHABLE);
	pass(100 * HOUR_MS);
	for (int i = 1; i < 4; i++) {
		ck_assert_int_eq(sinks[i].fails, 0);
		relay_abandon(sinks[i].relay);
	}
}
END_TEST

START_TEST(f1_response_zero_is_none)
{
	upstream_config.response = 0;
	post(&sinks[0], CALL);
	ready();
	pass(100 * HOUR_MS);
	answers(200, "Content-Length: 0\r\n");
	relayed_as(&sinks[0], 200);
}
END_TEST

/* The time is over before the timer says so (a late turn, a suspend): a link comes too late. */
START_TEST(f3_no_send_without_time)
{
	post(&sinks[0], CALL);
	world.now.boot += RECOVERY;
	ready();
	ck_assert_uint_eq(last_call()->written, 0);
	failed_as(&sinks[0], REASON_RECOVERY_TIMEOUT);
}
END_TEST

/* A 401 that comes too late is not retried; the refresh that it needs begins all the same (F2). */
START_TEST(f3_no_retry_without_time)
{
	post(&sinks[0], CALL);
	pass(RECOVERY - 1);
	ready();
	answers(401, "Content-Length: 0\r\n");
	auth_wake(true);
	ck_assert_uint_eq(ncalls, 2);
	pass(1);
	failed_as(&sinks[0], REASON_RECOVERY_TIMEOUT);
	ck_assert_ptr_null(last_call()->wire);
	ck_assert_uint_eq(auth.refreshes, 1);
}
END_TEST

/* The time that the server took to say 401 is not what the daemon added. */
START_TEST(f1_the_servers_time_does_not_count)
{
	post(&sinks[0], CALL);
	ready();
	pass(RECOVERY);
	answers(401, "Content-Length: 0\r\n");
	auth_wake(true);
	ck_assert_uint_eq(ncalls, 2);
	pass(RECOVERY - 1);
	ready();
	answers(200, "Content-Length: 0\r\n");
	relayed_as(&sinks[0], 200);
}
END_TEST

/* F4: the id stands at the end of a body that comes after the failure. */
START_TEST(f4_failure_waits_for_the_id)
{
	static const char first[] = "{\"jsonrpc\":\"2.0\",\"method\":\"x\",\"params\":\"", last[] =
	    "\",\"id\":\"z\"}";
	struct sink *s = &sinks[0];
	char *block = malloc(WINDOW);
	struct relay *r;

	memset(block, 'x', WINDOW);
	auth.failing = true;
	r = begin_length(s, WINDOW + strlen(first) + strlen(last));
	relay_body(r, first, strlen(first));
	relay_body(r, block, WINDOW);
	settle();
	ck_assert_int_eq(s->fails, 0);
	relay_body(r, last, strlen(last));
	relay_body_end(r);
	settle();
	failed_as(s, REASON_LOGIN_REQUIRED);
	ck_assert_str_eq(s->ids, "\"z\"\n");
	free(block);
}
END_TEST

/* The sink is never called inside relay_begin(). */
START_TEST(begin_never_calls_back)
{
	auth.failing = true;
	begin_with(&sinks[0], "GET", "");
	ck_assert_int_eq(sinks[0].fails, 0);
	settle();
	failed_as(&sinks[0], REASON_LOGIN_REQUIRED);
}
END_TEST

static void
reach(int state, struct sink *s)
{
	switch (state) {
	case 0:		/* gathering */
		begin_length(s, 10);
		break;
	case 1:		/* parked */
		auth.waiting = true;
		post(s, CALL);
		auth.waiting = false;
		break;
	case 2:		/* queued */
		post(s, CALL);
		break;
	case 3:		/* sending */
		room_given = 10;
		post(s, CALL);
		ready();
		room_given = SIZE_MAX;
		break;
	case 4:		/* awaiting */
		post(s, CALL);
		ready();
		break;
	case 5:		/* discarding */
		post(s, CALL);
		ready();
		head(last_call(), 401, "Content-Length: 5\r\n");
		break;
	case 6:		/* answering */
		post(s, CALL);
		ready();
		head(last_call(), 200, "Content-Length: 5\r\n");
		break;
	case 7:		/* failing */
		auth.failing = true;
		begin_with(s, "GET", "");
		auth.failing = false;
		break;
	}
}

/* F4, M7: the client leaves; tear_down() sees that nothing stays. */
START_TEST(f4_abandon)
{
	struct sink *s = &sinks[0];
	int heads;

	reach(_i, s);
	heads = s->heads;
	relay_abandon(s->relay);
	if (ncalls > 0)
		ck_assert(last_call()->closed);
	settle();
	pass(2 * RESPONSE);
	auth_wake(true);
	ck_assert_int_eq(s->ends + s->fails, 0);
	ck_assert_int_eq(s->heads, heads);
}
END_TEST

/* ... inside a call of the sink. */
START_TEST(f4_abandon_inside)
{
	struct sink *s = &sinks[0];

	s->abandon_in_head = true;
	post(s, CALL);
	ready();
	head(last_call(), 200, "Content-Length: 5\r\n");
	ck_assert(last_call()->closed);
	settle();

	s = &sinks[1];
	s->abandon_in_data = s->full = true;
	post(s, CALL);
	ready();
	head(last_call(), 200, "Content-Length: 5\r\n");
	data(last_call(), "abc");
	ck_assert(last_call()->closed);
	ck_assert(!last_call()->paused);
	settle();

	s = &sinks[2];
	s->abandon_in_more = true;
	auth.waiting = true;
	begin_with(s, "POST", "Transfer-Encoding: chunked\r\n");
	char *block = calloc(1, WINDOW);
	while (!relay_body(s->relay, block, WINDOW))
		;
	free(block);
	auth_wake(false);
	ck_assert_int_eq(s->mores, 1);
	ck_assert_int_eq(s->fails, 0);
}
END_TEST

/* --- J --- */

START_TEST(j_insufficient_scope)
{
	post(&sinks[0], CALL);
	ready();
	answers(403, "WWW-Authenticate: Negotiate, Bearer realm=\"x\"\r\n"
	    "WWW-Authenticate: Basic realm=\"y\", bearer scope=\"a b\", "
	    "error=\"insufficient_scope\"\r\nContent-Length: 0\r\n");
	failed_as(&sinks[0], REASON_INSUFFICIENT_SCOPE);
	ck_assert_uint_eq(ncalls, 1);
	ck_assert_uint_eq(auth.refreshes, 0);
	ck_assert_uint_eq(auth.last_status, 403);

	post(&sinks[1], CALL);
	ready();
	answers(403, "WWW-Authenticate: Bearer error=\"invalid_token\"\r\nContent-Length: 0\r\n");
	relayed_as(&sinks[1], 403);
}
END_TEST

/* What a 401 or 403 asks for is handed on, of all its field values; of no other answer. */
START_TEST(a1_a11_challenges)
{
	post(&sinks[0], CALL);
	ready();
	answers(401, "WWW-Authenticate: Basic realm=\"y\"\r\n"
	    "WWW-Authenticate: Bearer resource_metadata=\"https://up.example/m\"\r\n"
	    "WWW-Authenticate: Bearer scope=\"a b\"\r\nContent-Length: 0\r\n");
	ck_assert_int_eq(auth.challenged, 401);
	ck_assert_str_eq(auth.challenge, "1 - a b https://up.example/m");
	relay_abandon(sinks[0].relay);
	auth_wake(true);

	post(&sinks[1], CALL);
	ready();
	answers(403, "WWW-Authenticate: Bearer error=\"invalid_token\", scope=\"x\"\r\n"
	    "WWW-Authenticate: Bearer error=\"insufficient_scope\", scope=\"c\"\r\n"
	    "Content-Length: 0\r\n");
	failed_as(&sinks[1], REASON_INSUFFICIENT_SCOPE);
	ck_assert_str_eq(auth.challenge, "1 insufficient_scope c -");

	auth.challenged = 0;
	post(&sinks[2], CALL);
	ready();
	answers(404, "WWW-Authenticate: Bearer scope=\"a\"\r\nContent-Length: 0\r\n");
	ck_assert_int_eq(auth.challenged, 0);
}
END_TEST

/* Request POSTs alone may be held for a login. */
START_TEST(h6_who_may_be_held)
{
	static const struct { const char *body; bool may; } t[] = {
		{ CALL, true }, { NOTE, false }, { ANSWER, false }, { LISTEN, true },
		{ "[" CALL "," NOTE "]", true }, { "[" NOTE "]", false },
	};

	for (size_t i = 0; i < nitems(t); i++) {
		post(&sinks[i], t[i].body);
		ck_assert_int_eq(auth.may_hold, t[i].may);
		relay_abandon(sinks[i].relay);
	}
	get(&sinks[8]);
	ck_assert(!auth.may_hold);
	relay_abandon(sinks[8].relay);
	begin_with(&sinks[9], "DELETE", "");
	ck_assert(!auth.may_hold);
	relay_abandon(sinks[9].relay);
}
END_TEST

/* G3, M10: other answers go through as they are. */
START_TEST(g3_m10_other_answers)
{
	static const int statuses[] = { 200, 202, 204, 300, 304, 400, 404, 405, 410, 429, 500, 503 };

	for (size_t i = 0; i < nitems(statuses); i++) {
		post(&sinks[i], CALL);
		ready();
		answers(statuses[i], "Content-Length: 0\r\n");
		relayed_as(&sinks[i], statuses[i]);
	}
}
END_TEST

/* --- redirects --- */

START_TEST(redirect_same_origin)
{
	struct sink *s = &sinks[0];

	post(s, CALL);
	ready();
	auth.generation = 5;
	answers(_i == 0 ? 307 : 308, "Location: /v2/mcp?c=d\r\nContent-Length: 0\r\n");
	ready();
	ck_assert_str_eq(last_call()->wire, "POST /v2/mcp?c=d HTTP/1.1\r\nHost: up.example\r\n"
	    "Content-Length: 46\r\nAuthorization: Bearer T5\r\n\r\n" CALL);
	auth.generation = 6;		/* a 401 there is retried there */
	answers(401, "Content-Length: 0\r\n");
	ready();
	has(last_call(), "POST /v2/mcp?c=d HTTP/1.1\r\n");
	has(last_call(), "Bearer T6");
	answers(200, "Content-Length: 0\r\n");
	relayed_as(s, 200);
}
END_TEST

START_TEST(redirect_loop)
{
	struct sink *s = &sinks[0];

	post(s, CALL);
	for (int i = 0; i <= REDIRECTS_MAX; i++) {
		ready();
		answers(307, "Location: /mcp\r\nContent-Length: 0\r\n");
	}
	failed_as(s, REASON_UPSTREAM_MALFORMED);
	ck_assert_uint_eq(ncalls, REDIRECTS_MAX + 1);
}
END_TEST

/* No credential follows a redirect, and the error names nothing but the origin. */
START_TEST(redirect_refused)
{
	static const struct { int status; const char *to, *named; } t[] = {
		{ 307, "https://evil.example:8443/x?secret=1", "https://evil.example:8443:" },
		{ 307, "http://up.example/mcp", "http://up.example:" },
		{ 308, "https://up.example:444/mcp", "https://up.example:444:" },
		{ 302, "/login", "https://up.example:" },
		{ 303, "/mcp", "https://up.example:" },
		{ 301, "ftp://x/", "no http URL" },
		{ 300, "https://user@evil.example/", "no http URL" },
	};
	char fields[256];

	for (size_t i = 0; i < nitems(t); i++) {
		post(&sinks[i], CALL);
		ready();
		snprintf(fields, sizeof(fields), "Location: %s\r\nContent-Length: 0\r\n", t[i].to);
		answers(t[i].status, fields);
		ck_assert_uint_eq(ncalls, i + 1);
		failed_as(&sinks[i], REASON_UPSTREAM_MALFORMED);
		ck_assert_msg(strstr(sinks[i].detail, t[i].named) != NULL, "%s", sinks[i].detail);
		ck_assert_ptr_null(strstr(sinks[i].detail, "secret"));
	}
	post(&sinks[8], CALL);
	ready();
	answers(304, "Location: /x\r\n");
	relayed_as(&sinks[8], 304);
}
END_TEST

/* --- bodies --- */

/* Design 3: reserved from Content-Length, exhausted is `limit` with the right id. */
START_TEST(held_budget)
{
	struct sink *s = &sinks[0];
	struct relay *r;

	config.limits.held_bytes = 2 * HELD_EACH;
	begin_length(&s[0], HELD_EACH);
	begin_length(&s[1], HELD_EACH);
	ck_assert_uint_eq(relay_held(), 2 * HELD_EACH);
	r = post(&s[2], CALL);
	failed_as(&s[2], REASON_LIMIT);
	ck_assert_int_gt(s[2].retry_ms, 0);
	ck_assert_str_eq(s[2].ids, "7\n");
	r = begin_with(&s[3], "POST", "Transfer-Encoding: chunked\r\n");
	relay_body(r, CALL, strlen(CALL));
	relay_body_end(r);
	settle();
	failed_as(&s[3], REASON_LIMIT);
	get(&s[4]);			/* nothing to hold */
	ready();
	relay_abandon(s[4].relay);
	relay_abandon(s[0].relay);
	ck_assert_uint_eq(relay_held(), HELD_EACH);
	post(&s[5], CALL);
	ready();
	ck_assert_uint_eq(relay_held(), HELD_EACH + strlen(CALL));
	head(last_call(), 200, "Content-Length: 1\r\n");
	ck_assert_uint_eq(relay_held(), HELD_EACH);	/* relayed: no retry any more */
	data(last_call(), "x");
	end(last_call());
	relay_abandon(s[1].relay);
}
END_TEST

/* A large body passes through a window, from the start and while auth is awaited. */
START_TEST(up_backpressure)
{
	struct sink *s = &sinks[0];
	size_t total = 0, length = 3 * HELD_EACH;
	char *block = malloc(READ_BUFFER);
	struct relay *r;

	memset(block, 'x', READ_BUFFER);
	auth.waiting = true;
	room_given = 0;
	r = begin_length(s, length);
	while (!relay_body(r, block, READ_BUFFER))
		total += READ_BUFFER;
	total += READ_BUFFER;
	ck_assert_uint_le(total, WINDOW + READ_BUFFER);
	auth_wake(true);
	ready();
	ck_assert_int_eq(s->mores, 0);
	while (total < length) {
		int mores = s->mores;
		make_room(last_call(), 100000);
		if (s->mores == mores)
			continue;
		while (total < length) {
			total += READ_BUFFER;
			if (relay_body(r, block, READ_BUFFER))
				break;
		}
	}
	relay_body_end(r);
	ck_assert_uint_le(relay_held(), WINDOW);
	make_room(last_call(), SIZE_MAX);
	ck_assert(last_call()->sent);
	has(last_call(), "Content-Length: 12582912\r\n");
	ck_assert_ptr_eq(strstr(last_call()->wire, "\r\n\r\n") + 4 + length,
	    last_call()->wire + last_call()->written);
	answers(200, "Content-Length: 0\r\n");
	relayed_as(s, 200);
	free(block);
}
END_TEST

/* A chunked body is held as it grows, and then passes through a window. */
START_TEST(up_chunked_grows_unheld)
{
	struct sink *s = &sinks[0];
	char *block = malloc(READ_BUFFER);
	struct relay *r;
	size_t total = 0;

	memset(block, 'x', READ_BUFFER);
	auth.waiting = true;
	r = begin_with(s, "POST", "Transfer-Encoding: chunked\r\n");
	do
		total += READ_BUFFER;
	while (!relay_body(r, block, READ_BUFFER));
	ck_assert_uint_eq(total, HELD_EACH);
	ck_assert_uint_eq(relay_held(), HELD_EACH);
	auth_wake(true);
	ready();
	ck_assert_int_eq(s->mores, 1);
	ck_assert_uint_le(relay_held(), WINDOW);
	relay_body(r, block, READ_BUFFER);
	relay_body_end(r);
	ck_assert(last_call()->sent);
	answers(401, "Content-Length: 0\r\n");
	failed_as(s, REASON_LIMIT);
	free(block);
}
END_TEST

/* A 401 that comes while a held body is still arriving: sent again from its first byte. */
START_TEST(early_401_resends_what_is_held)
{
	struct sink *s = &sinks[0];
	char *block = malloc(WINDOW);
	struct relay *r;

	memset(block, 'a', WINDOW);
	r = begin_length(s, WINDOW + 3);
	relay_body(r, block, WINDOW);
	ready();
	auth.generation = 2;
	head(last_call(), 401, "Content-Length: 0\r\n");
	end(last_call());
	relay_body(r, "end", 3);
	relay_body_end(r);
	ready();
	ck_assert(last_call()->sent);
	ck_assert_str_eq(last_call()->wire + last_call()->written - 5, "aaend");
	ck_assert_ptr_eq(strstr(last_call()->wire, "\r\n\r\n") + 4 + WINDOW + 3,
	    last_call()->wire + last_call()->written);
	answers(200, "Content-Length: 0\r\n");
	relayed_as(s, 200);
	free(block);
}
END_TEST

/* The answer may come before the body is out, and end the exchange. */
START_TEST(early_answer)
{
	struct sink *s = &sinks[0];
	char *block = calloc(1, WINDOW);
	struct relay *r;

	room_given = 1000;
	r = begin_length(s, WINDOW * 2);
	relay_body(r, block, WINDOW);
	ready();
	answers(413, "Content-Length: 0\r\n");
	relayed_as(s, 413);
	ck_assert(!calls[0].sent);
	free(block);
}
END_TEST

START_TEST(down_backpressure)
{
	struct sink *s = &sinks[0];

	post(s, CALL);
	ready();
	head(last_call(), 200, "Transfer-Encoding: chunked\r\n");
	data(last_call(), "one ");
	turn(last_call());
	ck_assert_int_eq(s->turns, 1);
	ck_assert(!last_call()->paused);
	s->full = true;
	data(last_call(), "two ");
	ck_assert(last_call()->paused);
	s->full = false;
	relay_drained(s->relay);
	ck_assert(!last_call()->paused);
	data(last_call(), "three");
	end(last_call());
	ck_assert_str_eq(s->data.p, "one two three");
	relayed_as(s, 200);
}
END_TEST

/* --- K --- */

START_TEST(k_drain)
{
	static const struct failure draining = { .reason = REASON_DRAINING };
	struct relay_request q = { .method = "POST" };
	struct http1_head h = { .framing = HTTP1_LENGTH, .length = strlen(CALL) };
	struct sink *s = &sinks[0];

	post(&s[0], CALL);
	ready();
	post(&s[1], CALL);
	ready();
	head(last_call(), 200, "Transfer-Encoding: chunked\r\n");
	begin_length(&s[2], 100);	/* never complete */
	post(&s[3], CALL);
	ready();
	relay_drain(&up);
	answers(200, "Content-Length: 0\r\n");
	pass(DRAIN - 1);
	ck_assert_int_eq(s[0].fails + s[1].fails + s[2].fails, 0);
	q.head = &h;
	s[4].relay = relay_refuse(&up, &q, &draining, &sink_ops, &s[4]);
	relay_body(s[4].relay, CALL, strlen(CALL));
	relay_body_end(s[4].relay);
	settle();
	pass(1);
	failed_as(&s[0], REASON_DRAINING);
	failed_as(&s[1], REASON_DRAINING);
	ck_assert(s[1].headed);
	failed_as(&s[2], REASON_DRAINING);
	relayed_as(&s[3], 200);
	failed_as(&s[4], REASON_DRAINING);
	ck_assert_str_eq(s[4].ids, "7\n");
}
END_TEST

int
main(void)
{
	TCase *tc = tcase_create("relay");
	Suite *suite = suite_create("relay");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, a1_a2_head);
	tcase_add_test(tc, short_writes);
	tcase_add_test(tc, chunked_bodies);
	tcase_add_test(tc, design3_lanes);
	tcase_add_test(tc, a2_wait_with_a_link);
	tcase_add_test(tc, e1_adopts_what_is_newer);
	tcase_add_test(tc, e2_waits_and_retries);
	tcase_add_test(tc, e2_refresh_fails);
	tcase_add_test(tc, e2_unfinished_401_body);
	tcase_add_test(tc, e3_second_401_is_final);
	tcase_add_test(tc, e4_broken_link_is_never_replayed);
	tcase_add_test(tc, e4_stale_link_took_nothing);
	tcase_add_test(tc, unreachable);
	tcase_add_test(tc, e4_f4_nothing_after_a_head);
	tcase_add_test(tc, e4_unheld_body);
	tcase_add_test(tc, f1_f2_recovery_bounds_waiting);
	tcase_add_test(tc, f1_order_of_deadlines);
	tcase_add_test(tc, f1_response_bounds_requests_alone);
	tcase_add_test(tc, f1_response_zero_is_none);
	tcase_add_test(tc, f3_no_send_without_time);
	tcase_add_test(tc, f3_no_retry_without_time);
	tcase_add_test(tc, f1_the_servers_time_does_not_count);
	tcase_add_test(tc, f4_failure_waits_for_the_id);
	tcase_add_test(tc, begin_never_calls_back);
	tcase_add_loop_test(tc, f4_abandon, 0, 8);
	tcase_add_test(tc, f4_abandon_inside);
	tcase_add_test(tc, j_insufficient_scope);
	tcase_add_test(tc, a1_a11_challenges);
	tcase_add_test(tc, h6_who_may_be_held);
	tcase_add_test(tc, g3_m10_other_answers);
	tcase_add_loop_test(tc, redirect_same_origin, 0, 2);
	tcase_add_test(tc, redirect_loop);
	tcase_add_test(tc, redirect_refused);
	tcase_add_test(tc, held_budget);
	tcase_add_test(tc, up_backpressure);
	tcase_add_test(tc, up_chunked_grows_unheld);
	tcase_add_test(tc, early_401_resends_what_is_held);
	tcase_add_test(tc, early_answer);
	tcase_add_test(tc, down_backpressure);
	tcase_add_test(tc, k_drain);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
