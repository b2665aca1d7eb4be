/* Streams that outlive their connection: the GET stream (L9), and a request's that broke off (L10). */
#include <stdio.h>

#include "front_line_impl.h"
#include "log.h"

/* Many clients of one server must not come back in one instant. */
static int64_t
jittered(int64_t ms)
{
	return ms - (int64_t)arc4random_uniform((uint32_t)(MIN(ms, STREAM_NONE_MAX) / 4 + 1));
}

/* What the server asked for, else what the tries so far suggest (L12). */
static int64_t
backoff(const struct line_exchange *x, unsigned tries)
{
	int64_t first = x->sse.retry >= 0 ? MAX(x->sse.retry, STREAM_RETRY_FLOOR) :
	    STREAM_RETRY_MIN, ms = first;

	for (unsigned i = 0; i < tries && ms < BACKOFF_MAX; i++)
		ms *= 2;
	return tries == 0 ? first : jittered(MAX(first, MIN(ms, BACKOFF_MAX)));
}

static void
rest(struct line_exchange *x, int64_t ms)
{
	x->state = LINE_RESTING;
	timer_set(&x->timer, ms);
}

/* --- the GET stream --- */

void
line_stream_open(struct line_client *c)
{
	if (c->stream != NULL || c->leaving || !c->initialized || c->session.state != SESSION_OPEN)
		return;
	c->stream = line_new(c, LINE_STREAM);
	if (c->stream != NULL)
		line_send(c->stream);
}

void
line_stream_close(struct line_client *c)
{
	if (c->stream != NULL)
		line_over(c->stream);
}

/*
 * It was open.  A graceful close after an id, with a time to come back at, is a
 * poll; a row of polls is as stable as one stream that lives as long.
 */
static int64_t
after_stream(struct line_exchange *x, const struct failure *f)
{
	struct line_client *c = x->client;
	int64_t since = c->stream_since != 0 ? c->stream_since : x->opened;
	bool poll = f == NULL && x->sse.last.len > 0 && x->sse.retry >= 0;

	x->opened_once = true;
	if (loop_now(c->loop).boot - since >= STREAM_STABLE)
		c->stream_tries = 0;
	c->stream_since = poll ? since : 0;
	return poll ? MAX(x->sse.retry, STREAM_RETRY_FLOOR) : backoff(x, c->stream_tries++);
}

/* There is none (L9): asked ever more rarely. */
static int64_t
after_refusal(struct line_exchange *x)
{
	int64_t ms = STREAM_NONE_MIN;

	for (unsigned i = 0; i < x->tries && ms < STREAM_NONE_MAX; i++)
		ms *= 2;
	x->tries++;
	log_debug(line_name(x->client), "stream", "the server has no GET stream: HTTP status %d",
	    x->status);
	return jittered(MIN(ms, STREAM_NONE_MAX));
}

static bool
is_lost(const struct line_exchange *x)
{
	_cleanup_(buf_free) struct buf text = BUF_INIT(PEEK_BYTES);
	struct slice message, body = { x->body.p, x->body.len };

	if (!x->owned || !x->opened_once)
		return false;
	if (mcp_at(body, &message, "error", "message", NULL))
		(void)mcp_text(message, &text);
	return session_is_lost(x->status, (struct slice){ text.p, text.len });
}

void
line_stream_ended(struct line_exchange *x, const struct failure *f)
{
	struct line_client *c = x->client;
	bool away = x->status == 0 || x->status == 429 || x->status >= 500;
	int64_t ms;

	if (c->leaving || c->draining) {
		line_over(x);
		return;
	}
	if (x->opened != 0) {
		ms = after_stream(x, f);
	} else if (is_lost(x)) {
		line_session_lost(c, NULL, false, x->epoch);
		return;		/* it is over, or will be opened on the new session */
	} else if (away && x->status != 501) {
		c->stream_since = 0;
		ms = backoff(x, c->stream_tries++);
		if (f != NULL)
			ms = MAX(ms, f->reason == REASON_LOGIN_REQUIRED ||
			    f->reason == REASON_BEARER_REJECTED ?
			    MAX(f->retry_ms, BREAKER_MIN) : f->retry_ms);
	} else {
		ms = after_refusal(x);
	}
	rest(x, ms);
}

/* --- a request's stream --- */

/* May a GET go on with it?  The modern wire has no such thing (M8), nor has another session. */
static bool
may_resume(const struct line_exchange *x)
{
	const struct line_client *c = x->client;

	return !x->modern && !c->leaving && !c->draining && x->sse.last.len > 0 &&
	    http1_is_value(x->sse.last.p, x->sse.last.len) && x->epoch == c->session.epoch &&
	    c->session.state == SESSION_OPEN;
}

/* Its GET got something else than a stream: true if another try may help. */
static bool
was_away(struct line_exchange *x)
{
	int64_t now = loop_now(x->client->loop).boot;

	if (x->status != 0 && x->status != 429 && x->status < 500)
		return false;
	if (x->until == 0)
		x->until = now + x->client->up->config->recovery;
	return now < x->until;
}

void
line_stream_broke(struct line_exchange *x, const struct failure *f)
{
	struct line_client *c = x->client;

	if (x->resumed && x->opened == 0 && !was_away(x)) {
		if (x->owned && x->status == 404)
			line_session_lost(c, NULL, false, x->epoch);
		if (x->state != LINE_OVER)
			line_fails(x, REASON_UPSTREAM_UNREACHABLE, "the stream ended before the "
			    "answer and cannot be resumed");
		return;
	}
	if (!may_resume(x)) {
		line_fails(x, REASON_UPSTREAM_UNREACHABLE, "the stream ended before the answer");
		return;
	}
	if (x->opened != 0 && loop_now(c->loop).boot - x->opened >= STREAM_STABLE)
		x->tries = 0;
	x->resumed = true;
	if (f == NULL && x->opened != 0 && x->sse.retry >= 0)
		rest(x, MAX(x->sse.retry, STREAM_RETRY_FLOOR));
	else if (x->until != 0)		/* F1: the last try is made in time */
		rest(x, MIN(backoff(x, x->tries++), MAX(x->until - loop_now(c->loop).boot, 0)));
	else
		rest(x, backoff(x, x->tries++));
}
