#include "exchange.h"

bool
exchange_may_send(const struct exchange *x, const struct now *now)
{
	return now->boot < x->deadline && x->sends < SENDS_MAX && !x->relayed &&
	    (x->sends == 0 || x->held);
}

enum reason
exchange_spent(const struct exchange *x, const struct now *now)
{
	if (now->boot >= x->deadline)
		return REASON_RECOVERY_TIMEOUT;
	if (x->sends > 0 && !x->held)
		return REASON_LIMIT;
	return REASON_NONE;
}

/* 304 is an answer to a conditional request; a Location in it means nothing. */
static enum exchange_verdict
redirected(const struct exchange *x, const struct exchange_answer *a, bool may_send)
{
	if (!a->location || a->status == 304)
		return EXCHANGE_RELAY;
	if ((a->status == 307 || a->status == 308) && a->same_origin &&
	    x->redirects < REDIRECTS_MAX && may_send)
		return EXCHANGE_REDIRECT;
	return EXCHANGE_BAD_REDIRECT;
}

enum exchange_verdict
exchange_answered(const struct exchange *x, const struct exchange_answer *a,
    const struct now *now)
{
	bool may_send = exchange_may_send(x, now);

	if (a->status == 401)
		return may_send && !x->used_401 ? EXCHANGE_REAUTHORIZE : EXCHANGE_FINAL_401;
	if (a->status == 403 && a->insufficient_scope)
		return EXCHANGE_SCOPE;
	if (a->status >= 300 && a->status < 400)
		return redirected(x, a, may_send);
	if (a->session_ours && a->session_lost && !x->used_session && may_send)
		return EXCHANGE_RESESSION;
	if (a->header_mismatch && !x->used_header && may_send)
		return EXCHANGE_REHEADER;
	return EXCHANGE_RELAY;
}

void
exchange_sent(struct exchange *x, enum exchange_verdict why)
{
	x->sends++;
	switch (why) {
	case EXCHANGE_REAUTHORIZE:
		x->used_401 = true;
		break;
	case EXCHANGE_REDIRECT:
		x->redirects++;
		break;
	case EXCHANGE_RESESSION:
		x->used_session = true;
		break;
	case EXCHANGE_REHEADER:
		x->used_header = true;
		break;
	case EXCHANGE_RELAY:		/* the first send */
	case EXCHANGE_FINAL_401:
	case EXCHANGE_SCOPE:
	case EXCHANGE_BAD_REDIRECT:
		break;
	}
}
