#include <assert.h>
#include <stdio.h>

#include "challenge.h"
#include "relay_impl.h"

#define STALE_TRIES	2		/* links that die before they take a byte: the next one is new */
#define DISCARD_MAX	(64 * KIB)	/* of an answer that is not relayed, to keep its link */

/* Memory for the lead of whoever sends; empty between sends. */
static struct buf lead_memory = { .secret = true };

static const struct call_ops call_ops;

static const struct url *
url_now(const struct relay *r)
{
	return r->moved.text != NULL ? &r->moved : &r->up->config->url;
}

static bool
may_send(struct relay *r)
{
	struct now now = loop_now(r->up->loop);

	r->x.held = r->out.held;
	return exchange_may_send(&r->x, &now);
}

/* --- towards the upstream --- */

static enum lane
lane_of(const struct relay *r)
{
	if (!r->post)
		return strcmp(r->method, "GET") == 0 ? LANE_STREAM : LANE_RESERVED;
	if (strcmp(r->rpc.method, "subscriptions/listen") == 0)
		return LANE_STREAM;
	switch (r->rpc.kind) {
	case JSONRPC_NOTIFICATION:
	case JSONRPC_RESPONSE:
		return LANE_RESERVED;
	case JSONRPC_BATCH:
		return r->rpc.batch_requests || !r->out.complete ? LANE_REQUEST : LANE_RESERVED;
	case JSONRPC_UNKNOWN:
	case JSONRPC_REQUEST:
	case JSONRPC_NOT_JSON:
	case JSONRPC_INVALID:
		break;
	}
	return LANE_REQUEST;
}

static void
open_call(struct relay *r)
{
	r->lane = lane_of(r);
	r->call = call_open(r->up, r->lane, r->client, r->method, &call_ops, r);
	if (r->call == NULL)
		relay_fails(r, REASON_LIMIT, "out of memory");
	else
		relay_enter(r, RELAY_QUEUED);
}

/* Begins a send, the first or another: is there an authorization, at least for now? */
void
relay_ask(struct relay *r)
{
	uint64_t generation;

	if (r->x.deadline == 0)
		r->x.deadline = loop_now(r->up->loop).boot + r->up->config->recovery;
	r->counted = false;
	r->waiter.may_hold = r->post && lane_of(r) != LANE_RESERVED;
	buf_free(&r->out.lead);
	switch (auth_ask(r->up->credential, &r->waiter, r->method, url_now(r), NULL,
	    &generation)) {
	case AUTH_GO:
		open_call(r);
		break;
	case AUTH_WAIT:
		relay_enter(r, RELAY_PARKED);
		break;
	case AUTH_FAIL:
		relay_fail(r, &r->waiter.failure);
		break;
	}
}

void
relay_woken(void *arg)
{
	struct relay *r = arg;

	if (r->state != RELAY_PARKED)
		return;
	if (r->waiter.failed)
		relay_fail(r, &r->waiter.failure);
	else
		relay_ask(r);
}

/* The lead's memory belongs to whoever sends; a token does not stay behind in it. */
static void
return_lead(struct relay *r)
{
	buf_reset(&r->out.lead);
	if (lead_memory.p == NULL) {
		lead_memory = r->out.lead;
		r->out.lead = BUF_SECRET(0);
	} else {
		buf_free(&r->out.lead);
	}
}

static void
count_send(struct relay *r)
{
	if (r->counted)
		return;
	r->counted = true;
	exchange_sent(&r->x, r->why);
}

/* Writes what the link takes.  The fault of a broken one comes by on_fail(). */
static void
write_out(struct relay *r)
{
	struct iovec iov[OUTGOING_IOV];
	size_t want;
	ssize_t took;
	int n;

	while ((n = outgoing_iov(&r->out, iov)) > 0) {
		want = 0;
		for (int i = 0; i < n; i++)
			want += iov[i].iov_len;
		took = call_write(r->call, iov, n);
		if (took <= 0)
			return;
		count_send(r);
		outgoing_wrote(&r->out, took);
		if ((size_t)took < want)
			return;
	}
	if (n < 0)
		relay_fails(r, REASON_LIMIT, "out of memory");
}

void
relay_flush(struct relay *r)
{
	write_out(r);
	if (!relay_is_sending(r))
		return;
	if (outgoing_lead_out(&r->out) && r->out.lead.p != NULL)
		return_lead(r);
	if (r->out.held && !r->out.complete && r->out.framing == HTTP1_CHUNKED &&
	    r->out.body.len >= HELD_EACH)
		relay_unhold(r);
	if (outgoing_done(&r->out)) {
		call_sent(r->call);
		if (r->state == RELAY_SENDING)
			relay_enter(r, RELAY_AWAITING);
	}
	relay_more(r);
}

/* The config's headers; the URL is of the configured origin, always. */
static int
add_own_lines(struct relay *r)
{
	const char *lines = r->up->config->header_lines;

	return lines != NULL ? buf_adds(&r->out.lead, lines) : 0;
}

/* A2: the authorization is taken here, at the moment of sending, and nowhere else. */
static void
on_ready(void *arg)
{
	struct relay *r = arg;
	enum auth_verdict verdict;

	if (!may_send(r)) {
		relay_fails(r, REASON_RECOVERY_TIMEOUT, "no connection in time");
		return;
	}
	r->out.lead = lead_memory;
	lead_memory = BUF_SECRET(0);
	if (outgoing_rewind(&r->out) < 0) {
		relay_fails(r, REASON_LIMIT, "out of memory");
		return;
	}
	verdict = auth_ask(r->up->credential, &r->waiter, r->method, url_now(r), &r->out.lead,
	    &r->generation);
	if (verdict == AUTH_GO) {
		if (add_own_lines(r) < 0 || relay_session_lead(r, url_now(r)) < 0 ||
		    buf_add(&r->out.lead, "\r\n", 2) < 0) {
			relay_fails(r, REASON_LIMIT, "out of memory");
			return;
		}
		r->sent_at = loop_now(r->up->loop).boot;
		relay_enter(r, RELAY_SENDING);
		relay_flush(r);
		return;
	}
	return_lead(r);
	relay_drop_call(r);
	if (verdict == AUTH_WAIT)
		relay_enter(r, RELAY_PARKED);
	else
		relay_fail(r, &r->waiter.failure);
}

static void
on_room(void *arg)
{
	struct relay *r = arg;

	if (relay_is_sending(r))
		relay_flush(r);
}

/* --- the answer --- */

/*
 * What a 401 or 403 asks for, of all its field values.  true: more scope; one
 * value alone may say so, whatever the others say (J).
 */
static bool
read_challenge(const struct http1_head *h, struct challenge *ret)
{
	const struct http1_field *f;
	size_t i = 0;

	while ((f = http1_next(h, "WWW-Authenticate", &i)) != NULL) {
		struct challenge one = { 0 };

		if (challenge_add(&one, f->value.p, f->value.n) == 0 && one.bearer &&
		    one.error != NULL && strcmp(one.error, "insufficient_scope") == 0) {
			challenge_free(ret);
			*ret = one;
			return true;
		}
		challenge_free(&one);
		(void)challenge_add(ret, f->value.p, f->value.n);
	}
	return false;
}

/* Where a 3xx leads; left alone if it cannot be told. */
static void
read_location(struct relay *r, const struct http1_head *h, struct exchange_answer *a,
    struct url *ret)
{
	struct slice v = http1_get(h, "Location");

	if (v.p == NULL)
		return;
	a->location = true;
	if (url_resolve(url_now(r), v.p, v.n, ret) == 0)
		a->same_origin = url_same_origin(ret, &r->up->config->url);
}

/* The answer is not relayed: what follows it is `why`, or the failure that was set. */
static void
discard(struct relay *r, enum exchange_verdict why, bool doomed)
{
	r->why = why;
	r->doomed = doomed;
	r->discarded = 0;
	relay_enter(r, RELAY_DISCARDING);
}

static void
doom(struct relay *r, enum exchange_verdict why, enum reason reason, const char *detail)
{
	r->failure = (struct failure){ .reason = reason };
	snprintf(r->failure.detail, sizeof(r->failure.detail), "%s", detail);
	discard(r, why, true);
}

static void
discarded(struct relay *r)
{
	relay_drop_call(r);
	if (r->doomed)
		relay_fail(r, &r->failure);
	else
		relay_ask(r);
}

/*
 * A 401 (E1 to E4).  If auth would try again but this exchange may not, the
 * question is asked all the same: the transaction that it starts serves the
 * next exchange (F2).
 */
static void
rejected(struct relay *r, enum exchange_verdict verdict)
{
	struct now now = loop_now(r->up->loop);
	uint64_t generation;
	enum reason spent;

	if (!auth_rejected(r->up->credential, &r->waiter, r->generation, r->x.used_401,
	    &r->failure)) {
		discard(r, EXCHANGE_FINAL_401, true);
		return;
	}
	if (verdict == EXCHANGE_REAUTHORIZE) {
		discard(r, verdict, false);
		return;
	}
	(void)auth_ask(r->up->credential, &r->waiter, r->method, url_now(r), NULL, &generation);
	spent = exchange_spent(&r->x, &now);
	doom(r, verdict, spent != REASON_NONE ? spent : REASON_BEARER_REJECTED,
	    spent == REASON_LIMIT ? "the body is too large to be sent again after a 401" : "");
}

static void
redirected(struct relay *r, struct url *moved)
{
	if (outgoing_target(&r->out, r->method, moved) < 0) {
		doom(r, EXCHANGE_REDIRECT, REASON_LIMIT, "out of memory");
		return;
	}
	url_free(&r->moved);
	r->moved = *moved;
	*moved = (struct url){ 0 };
	discard(r, EXCHANGE_REDIRECT, false);
}

/* The origin alone, canonical, is the one remote text that an error may hold. */
static void
badly_redirected(struct relay *r, const struct url *moved)
{
	_cleanup_(buf_free) struct buf origin = BUF_INIT(0);
	char detail[sizeof(r->failure.detail)];

	if (moved->text == NULL || url_origin(moved, &origin) < 0)
		snprintf(detail, sizeof(detail), "redirected to something that is no http URL");
	else
		snprintf(detail, sizeof(detail), "redirected to %s: configure that URL if it is right",
		    origin.p);
	doom(r, EXCHANGE_BAD_REDIRECT, REASON_UPSTREAM_MALFORMED, detail);
}

static void
answer(struct relay *r, const struct http1_head *h)
{
	relay_enter(r, RELAY_ANSWERING);
	r->headed = true;
	r->sink->head(r->arg, h);
}

static void
on_head(void *arg, const struct http1_head *h)
{
	_cleanup_(challenge_free) struct challenge challenge = { 0 };
	_cleanup_(url_free) struct url moved = { 0 };
	struct exchange_answer a = { .status = h->status };
	struct relay *r = arg;
	struct now now = loop_now(r->up->loop);
	enum exchange_verdict verdict;

	/* F1: the time that the server took is not what the daemon adds. */
	r->x.deadline += now.boot - r->sent_at;
	auth_answered(r->up->credential, r->generation, h->status, r->x.used_401);
	relay_session_head(r, url_now(r), h);
	if (h->status == 401 || h->status == 403) {
		a.insufficient_scope = read_challenge(h, &challenge) && h->status == 403;
		auth_challenged(r->up->credential, h->status, &challenge);
	} else if (h->status >= 300 && h->status < 400)
		read_location(r, h, &a, &moved);
	r->x.held = r->out.held;
	verdict = exchange_answered(&r->x, &a, &now);
	switch (verdict) {
	case EXCHANGE_REAUTHORIZE:
	case EXCHANGE_FINAL_401:
		rejected(r, verdict);
		break;
	case EXCHANGE_SCOPE:
		doom(r, verdict, REASON_INSUFFICIENT_SCOPE, "");
		break;
	case EXCHANGE_REDIRECT:
		redirected(r, &moved);
		break;
	case EXCHANGE_BAD_REDIRECT:
		badly_redirected(r, &moved);
		break;
	case EXCHANGE_RELAY:
	case EXCHANGE_RESESSION:	/* the client owns the session (G3) ... */
	case EXCHANGE_REHEADER:		/* ... and its headers */
		answer(r, h);
		break;
	}
}

static void
on_data(void *arg, const char *p, size_t n)
{
	struct relay *r = arg;

	if (r->state == RELAY_DISCARDING) {
		r->discarded += n;
		if (r->discarded > (size_t)DISCARD_MAX)
			discarded(r);
		return;
	}
	assert(r->state == RELAY_ANSWERING);
	if (r->sink->data(r->arg, p, n) && r->state == RELAY_ANSWERING && !r->paused) {
		r->paused = true;
		call_pause(r->call);
	}
}

static void
on_turn(void *arg)
{
	struct relay *r = arg;

	if (r->state == RELAY_DISCARDING)
		discarded(r);
	else if (r->state == RELAY_ANSWERING)
		r->sink->turn(r->arg);
}

static void
on_end(void *arg)
{
	struct relay *r = arg;
	const struct sink_ops *sink = r->sink;
	void *sink_arg = r->arg;

	if (r->state == RELAY_DISCARDING) {
		discarded(r);
		return;
	}
	assert(r->state == RELAY_ANSWERING);
	relay_enter(r, RELAY_ENDED);
	relay_free(r);
	sink->end(sink_arg);
}

/* E4: a link that broke after it took a byte is never a reason to send again. */
static void
on_fail(void *arg, const struct failure *f, uint64_t written)
{
	struct relay *r = arg;

	relay_drop_call(r);
	if (r->state == RELAY_DISCARDING)
		discarded(r);
	else if (r->state == RELAY_SENDING && written == 0 && f->reason == REASON_UPSTREAM_UNREACHABLE &&
	    r->tries++ < STALE_TRIES && may_send(r))
		relay_ask(r);
	else
		relay_fail(r, f);
}

static const struct call_ops call_ops = {
	.ready = on_ready,
	.room = on_room,
	.head = on_head,
	.data = on_data,
	.turn = on_turn,
	.end = on_end,
	.fail = on_fail,
};
