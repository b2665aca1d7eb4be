#include "auth.h"
#include "credential_impl.h"

/*
 * Contract A2.  The token goes to the configured origin alone, whatever the
 * caller believes.
 */
static bool
wrong_origin(const struct credential *c, const struct url *url, struct failure *ret)
{
	if (url_same_origin(url, &c->config->url))
		return false;
	*ret = (struct failure){ .reason = REASON_UPSTREAM_MALFORMED };
	return true;
}

enum auth_verdict
auth_ask(struct credential *c, struct auth_waiter *w, const char *method _unused_,
    const struct url *url, struct buf *out, uint64_t *ret_generation)
{
	enum refresh_event ev;
	enum refresh_verdict v;
	struct now now;

	if (c == NULL) {
		*ret_generation = 0;
		return AUTH_GO;
	}
	if (w->queued)
		return AUTH_WAIT;
	if (wrong_origin(c, url, &w->failure))
		return AUTH_FAIL;
	now = loop_now(c->loop);
	v = refresh_ask(&c->machine, w->after, w->granted, &now, &ev, &w->failure);
	if (v == REFRESH_FAIL) {
		if (credential_hold(c, w))
			return AUTH_WAIT;
		credential_explain(c, &w->failure);
		return AUTH_FAIL;
	}
	if (v == REFRESH_WAIT) {
		credential_park(c, w);
		if (ev != REFRESH_EVENTS)
			credential_feed(c, ev);
		return AUTH_WAIT;
	}
	*ret_generation = c->machine.generation;
	if (out != NULL) {
		if (buf_add(out, c->header.p, c->header.len) < 0) {
			w->failure = (struct failure){ .reason = REASON_LIMIT };
			return AUTH_FAIL;
		}
		refresh_went(&c->machine, &now);
		w->granted = false;
	}
	if (ev != REFRESH_EVENTS)
		credential_feed(c, ev);
	return AUTH_GO;
}

void
auth_answered(struct credential *c, uint64_t generation, int status, bool retry)
{
	bool was_open;

	if (c == NULL || status == 401)
		return;
	was_open = c->machine.breaker_delay != 0;
	refresh_answered(&c->machine, generation, retry);
	if (was_open)
		log_info(c->config->name, "breaker", "closed: the upstream takes the token again");
}

bool
auth_rejected(struct credential *c, struct auth_waiter *w, uint64_t generation, bool retry,
    struct failure *ret)
{
	struct now now;
	int64_t was;

	*ret = (struct failure){ .reason = REASON_BEARER_REJECTED };
	if (c == NULL)
		return false;
	now = loop_now(c->loop);
	was = c->machine.breaker_delay;
	if (refresh_rejected(&c->machine, generation, retry, &now, ret)) {
		w->after = generation;
		return true;
	}
	if (c->machine.breaker_delay > was)
		log_err(c->config->name, "breaker", "open for %lld s: a fresh token was rejected",
		    (long long)(c->machine.breaker_delay / SEC));
	credential_explain(c, ret);
	return false;
}

void
auth_leave(struct credential *c, struct auth_waiter *w)
{
	if (c != NULL)
		credential_unpark(c, w);
}
