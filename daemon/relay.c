#include <assert.h>
#include <stdarg.h>
#include <stdio.h>

#include "log.h"
#include "relay_impl.h"

#ifdef __SANITIZE_ADDRESS__
#define SPARES		0		/* a freed one shall be seen as freed */
#else
#define SPARES		64		/* relays kept for the next exchange ... */
#endif
#define SPARE_BYTES	(8 * KIB)	/* ... with buffers up to this size each */

static const char *const state_names[] = {
	[RELAY_GATHERING] = "gathering",
	[RELAY_PARKED] = "parked",
	[RELAY_QUEUED] = "queued",
	[RELAY_SENDING] = "sending",
	[RELAY_AWAITING] = "awaiting",
	[RELAY_DISCARDING] = "discarding",
	[RELAY_ANSWERING] = "answering",
	[RELAY_FAILING] = "failing",
	[RELAY_ENDED] = "ended",
};
static_assert(nitems(state_names) == RELAY_STATES, "a name for each state");

TAILQ_HEAD(relay_list, relay);

/* Those who wait for a time, in its order; the timer stays set when its cause is gone. */
struct waits {
	struct relay_list list;
	struct timer	timer;
};

/* Of the whole process. */
static struct {
	struct relay_list all, spare;
	unsigned	nspare;
	struct waits	recovery, response;	/* F1 */
	struct timer	drain;
	size_t		held;
	uint64_t	number;
} relays = {
	.all = TAILQ_HEAD_INITIALIZER(relays.all),
	.spare = TAILQ_HEAD_INITIALIZER(relays.spare),
	.recovery.list = TAILQ_HEAD_INITIALIZER(relays.recovery.list),
	.response.list = TAILQ_HEAD_INITIALIZER(relays.response.list),
};

void
relay_fails(struct relay *r, enum reason reason, const char *fmt, ...)
{
	struct failure f = { .reason = reason };
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(f.detail, sizeof(f.detail), fmt, ap);
	va_end(ap);
	relay_fail(r, &f);
}

/* --- the two times of F1 --- */

static void
wait_over(struct relay *r)
{
	if (r->waiting == NULL)
		return;
	TAILQ_REMOVE(&r->waiting->list, r, waits);
	r->waiting = NULL;
}

static void
sweep(void *arg)
{
	struct waits *w = arg;
	struct relay *r;
	int64_t now;

	while ((r = TAILQ_FIRST(&w->list)) != NULL) {
		now = loop_now(r->up->loop).boot;
		if (r->due > now) {
			timer_set(&w->timer, r->due - now);
			return;
		}
		if (w == &relays.recovery)
			relay_fails(r, REASON_RECOVERY_TIMEOUT, "waited %lld s",
			    (long long)(r->up->config->recovery / SEC));
		else
			relay_fails(r, REASON_UPSTREAM_UNREACHABLE, "no answer in %lld s",
			    (long long)(r->up->config->response / SEC));
	}
}

static void
wait_until(struct relay *r, struct waits *w, int64_t due)
{
	struct relay *before;

	r->due = due;
	TAILQ_FOREACH_REVERSE(before, &w->list, relay_list, waits)
		if (before->due <= due)
			break;
	if (before != NULL)
		TAILQ_INSERT_AFTER(&w->list, before, r, waits);
	else
		TAILQ_INSERT_HEAD(&w->list, r, waits);
	r->waiting = w;
	if (w->timer.loop != r->up->loop)
		timer_init(&w->timer, r->up->loop, sweep, w);
	if (w->timer.at == 0 || due < w->timer.at)
		timer_set(&w->timer, due - loop_now(r->up->loop).boot);
}

/* --- the held budget (design 3) --- */

/* Makes the share of r n bytes.  False if the budget does not allow it: nothing changed. */
static bool
charge(struct relay *r, size_t n)
{
	if (n > r->charged && relays.held + (n - r->charged) > r->up->limits->limits.held_bytes)
		return false;
	relays.held += n - r->charged;
	r->charged = n;
	return true;
}

/* Gives up the right to another send. */
void
relay_unhold(struct relay *r)
{
	outgoing_unhold(&r->out);
	charge(r, r->out.complete && outgoing_unsent(&r->out) == 0 ? 0 :
	    MIN(r->charged, (size_t)WINDOW));
}

bool
relay_is_sending(const struct relay *r)
{
	return r->state == RELAY_SENDING || r->state == RELAY_ANSWERING;
}

/* Must the client wait?  A declared length is within the budget or passes through a window. */
static bool
is_full(const struct relay *r)
{
	if (r->out.complete || r->state == RELAY_FAILING || r->state == RELAY_ENDED)
		return false;
	if (r->out.held)
		return r->out.framing == HTTP1_CHUNKED && r->out.body.len >= HELD_EACH;
	return outgoing_unsent(&r->out) > WINDOW;
}

void
relay_more(struct relay *r)
{
	if (!r->full || is_full(r))
		return;
	r->full = false;
	r->sink->more(r->arg);
}

static int
keep(struct relay *r, const char *p, size_t n)
{
	size_t want = r->out.body.len + n;

	if (r->out.held && r->out.framing == HTTP1_CHUNKED) {
		if (relay_is_sending(r) && (want > HELD_EACH || !charge(r, want)))
			relay_unhold(r);
		else if (!relay_is_sending(r) && !charge(r, want))
			return -EMSGSIZE;
	}
	return outgoing_add(&r->out, p, n);
}

/* --- states --- */

void
relay_free(void *arg)
{
	struct relay *r = arg;

	TAILQ_REMOVE(&relays.all, r, entry);
	url_free(&r->moved);
	secret_free(r->session);
	jsonrpc_free(&r->rpc);
	if (relays.nspare + 1 > SPARES || r->out.head.cap > (size_t)SPARE_BYTES ||
	    r->out.body.cap > (size_t)SPARE_BYTES) {
		outgoing_free(&r->out);
		free(r);
		return;
	}
	relays.nspare++;
	TAILQ_INSERT_HEAD(&relays.spare, r, entry);
}

void
relay_drop_call(struct relay *r)
{
	struct call *call = r->call;

	r->call = NULL;
	call_close(call);
}

/* Whatever it holds of others. */
static void
let_go(struct relay *r)
{
	relay_drop_call(r);
	buf_free(&r->out.lead);
	auth_leave(r->up->credential, &r->waiter);
	charge(r, 0);
}

/* One that a reload replaced is freed when its last exchange has settled. */
static void
inactive(struct upstream *up)
{
	if (--up->active == 0 && up->left != NULL)
		loop_defer(up->loop, up->left, up->left_arg);
}

static void
deliver(void *arg)
{
	struct relay *r = arg;

	if (r->state == RELAY_ENDED)
		return;
	r->state = RELAY_ENDED;
	inactive(r->up);
	log_debug(r->up->config->name, "exchange", "%llu: failed: %s",
	    (unsigned long long)r->number, reason_name(r->failure.reason));
	r->sink->fail(r->arg, &r->failure, r->post && r->out.complete ? &r->rpc : NULL, r->headed);
	relay_free(r);
}

/* The last call is never made inside a call of the sink's owner. */
static void
deliver_if_due(struct relay *r)
{
	if (r->delivering || !(r->headed || r->forced || r->out.complete))
		return;
	r->delivering = true;
	loop_defer(r->up->loop, deliver, r);
}

/* The only writer of `state` but for the end of deliver(). */
void
relay_enter(struct relay *r, enum relay_state state)
{
	log_debug(r->up->config->name, "exchange", "%llu: %s -> %s",
	    (unsigned long long)r->number, state_names[r->state], state_names[state]);
	wait_over(r);
	r->state = state;
	switch (state) {
	case RELAY_PARKED:
	case RELAY_QUEUED:
		wait_until(r, &relays.recovery, r->x.deadline);
		break;
	case RELAY_AWAITING:
		if (r->lane != LANE_STREAM && r->up->config->response > 0)
			wait_until(r, &relays.response,
			    loop_now(r->up->loop).boot + r->up->config->response);
		break;
	case RELAY_ANSWERING:
		r->x.relayed = true;
		relay_unhold(r);
		if (outgoing_done(&r->out) && (r->lane == LANE_STREAM ||
		    r->out.body.cap > (size_t)SPARE_BYTES))
			outgoing_free(&r->out);
		break;
	case RELAY_FAILING:
		let_go(r);
		deliver_if_due(r);
		relay_more(r);
		break;
	case RELAY_ENDED:
		let_go(r);
		inactive(r->up);
		break;
	case RELAY_GATHERING:
	case RELAY_SENDING:
	case RELAY_DISCARDING:
	case RELAY_STATES:
		break;
	}
}

void
relay_fail(struct relay *r, const struct failure *f)
{
	if (r->state == RELAY_FAILING || r->state == RELAY_ENDED)
		return;
	if (f != &r->failure)
		r->failure = *f;
	if (r->failure.reason == REASON_LIMIT && r->failure.retry_ms == 0)
		r->failure.retry_ms = BACKOFF_MIN;
	relay_enter(r, RELAY_FAILING);
}

/* --- towards the client --- */

static struct relay *
relay_new(void)
{
	struct relay *r = TAILQ_FIRST(&relays.spare);
	struct outgoing out;

	if (r == NULL) {
		r = calloc(1, sizeof(*r));
		if (r != NULL)
			outgoing_init(&r->out);
		return r;
	}
	TAILQ_REMOVE(&relays.spare, r, entry);
	relays.nspare--;
	out = r->out;
	memset(r, 0, sizeof(*r));
	r->out = out;
	return r;
}

static struct relay *
create(struct upstream *up, const struct relay_request *q, const struct sink_ops *sink, void *arg)
{
	struct relay *r = relay_new();

	if (r == NULL)
		return NULL;
	r->up = up;
	r->sink = sink;
	r->arg = arg;
	r->method = q->method;
	r->client = q->client;
	r->number = ++relays.number;
	r->post = strcmp(q->method, "POST") == 0;
	r->waiter.wake = relay_woken;
	r->waiter.arg = r;
	if (q->before != NULL) {
		r->x = *q->before;
		r->x.relayed = false;
		r->why = q->why;
	}
	jsonrpc_init(&r->rpc);
	TAILQ_INSERT_TAIL(&relays.all, r, entry);
	if (relay_session_begin(r, q) < 0 ||
	    outgoing_begin(&r->out, q->method, &up->config->url, q->head,
	    up->config->header_lines) < 0) {
		relay_free(r);
		return NULL;
	}
	up->exchanges++;
	up->active++;
	if (r->out.complete && r->post)
		jsonrpc_end(&r->rpc);
	return r;
}

struct relay *
relay_begin(struct upstream *up, const struct relay_request *q, const struct sink_ops *sink,
    void *arg)
{
	struct relay *r = create(up, q, sink, arg);

	if (r == NULL)
		return NULL;
	if (r->out.length > (uint64_t)HELD_EACH)
		r->out.held = false;
	if (!charge(r, r->out.held ? r->out.length : (uint64_t)WINDOW))
		relay_fails(r, REASON_LIMIT, "too much is being held for other requests");
	else if (r->out.complete)
		relay_ask(r);
	return r;
}

struct relay *
relay_refuse(struct upstream *up, const struct relay_request *q, const struct failure *f,
    const struct sink_ops *sink, void *arg)
{
	struct relay *r = create(up, q, sink, arg);

	if (r != NULL)
		relay_fail(r, f);
	return r;
}

bool
relay_body(struct relay *r, const char *p, size_t n)
{
	if (r->state == RELAY_ENDED)
		return false;
	if (r->post && jsonrpc_feed(&r->rpc, p, n) < 0)
		relay_fails(r, REASON_LIMIT, "out of memory");
	if (r->state == RELAY_FAILING)
		return false;
	if (keep(r, p, n) < 0)
		relay_fails(r, REASON_LIMIT, "too much is being held for other requests");
	else if (r->state == RELAY_GATHERING && r->out.body.len >= (size_t)WINDOW)
		relay_ask(r);
	else if (relay_is_sending(r))
		relay_flush(r);
	r->full = is_full(r);
	return r->full;
}

void
relay_body_end(struct relay *r)
{
	if (r->out.complete)
		return;
	r->out.complete = true;
	if (r->post)
		jsonrpc_end(&r->rpc);
	switch (r->state) {
	case RELAY_GATHERING:
		relay_ask(r);
		break;
	case RELAY_SENDING:
	case RELAY_ANSWERING:
		relay_flush(r);
		break;
	case RELAY_FAILING:
		deliver_if_due(r);
		break;
	case RELAY_PARKED:
	case RELAY_QUEUED:
	case RELAY_AWAITING:
	case RELAY_DISCARDING:
	case RELAY_ENDED:
	case RELAY_STATES:
		break;
	}
}

void
relay_drained(struct relay *r)
{
	if (r->state != RELAY_ANSWERING || !r->paused)
		return;
	r->paused = false;
	call_resume(r->call);
}

const struct exchange *
relay_exchange(const struct relay *r)
{
	return &r->x;
}

void
relay_abandon(struct relay *r)
{
	if (r->state == RELAY_ENDED)
		return;
	relay_enter(r, RELAY_ENDED);
	loop_defer(r->up->loop, relay_free, r);
}

static void
drain_over(void *arg _unused_)
{
	static const struct failure f = { .reason = REASON_DRAINING };
	struct relay *r;

	TAILQ_FOREACH(r, &relays.all, entry) {
		if (!r->draining || r->state == RELAY_ENDED)
			continue;
		r->forced = true;
		if (r->state == RELAY_FAILING)
			deliver_if_due(r);
		else
			relay_fail(r, &f);
	}
}

void
relay_drain(struct upstream *up)
{
	struct relay *r;

	TAILQ_FOREACH(r, &relays.all, entry)
		if (r->up == up)
			r->draining = true;
	if (relays.drain.loop != up->loop)
		timer_init(&relays.drain, up->loop, drain_over, NULL);
	if (relays.drain.at == 0)
		timer_set(&relays.drain, DRAIN);
}

size_t
relay_held(void)
{
	return relays.held;
}
