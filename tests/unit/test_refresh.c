/* The rules of the contract that depend on numbers and bits: B, D, E, F5. */
#include <check.h>

#include "refresh.h"

static struct refresh m;
static struct refresh_out out;
static struct now now;
static struct failure why;

static void
feed(enum refresh_event ev)
{
	ck_assert_int_eq(refresh_step(&m, ev, &now, &out), 0);
}

static struct refresh_facts
token(unsigned n, int64_t lifetime)
{
	return (struct refresh_facts){
		.access = n, .renewal = n, .renewable = true,
		.lifetime = lifetime,
		.expires_at = lifetime != 0 ? now.wall + lifetime : EXPIRES_UNKNOWN,
	};
}

/* A machine at rest that holds token 1. */
static void
hold(int64_t lifetime)
{
	struct refresh_facts f;

	now = (struct now){ .wall = 1700000000000, .boot = 5000000 };
	f = token(1, lifetime);
	refresh_init(&m, 0);
	feed(REFRESH_CHANGED);
	feed(refresh_saw_stored(&m, REFRESH_FOUND, &f, &now));
	ck_assert_int_eq(m.state, REFRESH_IDLE);
	ck_assert_uint_eq(m.generation, 1);
}

static enum refresh_verdict
ask(uint64_t after, enum refresh_event *ret_event)
{
	enum refresh_verdict v = refresh_ask(&m, after, false, &now, ret_event, &why);

	if (*ret_event != REFRESH_EVENTS)
		feed(*ret_event);
	return v;
}

static enum refresh_verdict
ask_plain(void)
{
	enum refresh_event ev;

	return ask(0, &ev);
}

/* From LOCKING to the answer of the token endpoint. */
static void
up_to_sending(void)
{
	struct refresh_facts f = m.cur;

	ck_assert_int_eq(m.state, REFRESH_LOCKING);
	feed(REFRESH_LOCKED);
	feed(refresh_saw_stored(&m, REFRESH_FOUND, &f, &now));
	if (m.state == REFRESH_VERIFYING)
		feed(REFRESH_VERIFIED);
	ck_assert_int_eq(m.state, REFRESH_INTENDING);
	feed(refresh_saw_saved(&m, true, &now));
	ck_assert_int_eq(m.state, REFRESH_SENDING);
}

static void
answer(enum token_class class, unsigned n, int64_t lifetime)
{
	struct refresh_facts f = token(n, lifetime);

	feed(refresh_saw_token(&m, class, &f, 0, &now));
}

/* One whole successful transaction asked for by a 401 of the current generation. */
static void
renew_after_401(unsigned n)
{
	enum refresh_event ev;

	ck_assert(refresh_rejected(&m, m.generation, false, &now, &why));
	ck_assert_int_eq(ask(m.generation, &ev), REFRESH_WAIT);
	ck_assert_int_eq(ev, REFRESH_REJECTED);
	up_to_sending();
	answer(TOKEN_OK, n, HOUR_MS);
	feed(refresh_saw_saved(&m, true, &now));
	ck_assert_int_eq(m.state, REFRESH_IDLE);
}

START_TEST(b2_due)
{
	struct refresh_facts f;

	hold(HOUR_MS);
	ck_assert_int_eq(refresh_due_at(&m.cur), m.cur.expires_at - 30 * SEC);
	f = token(1, 20 * SEC);
	ck_assert_int_eq(refresh_due_at(&f), f.expires_at - 2 * SEC);
	f.lifetime = 0;
	ck_assert_int_eq(refresh_due_at(&f), f.expires_at - 30 * SEC);
	f.expires_at = EXPIRES_UNKNOWN;
	ck_assert_int_eq(refresh_due_at(&f), EXPIRES_UNKNOWN);
}
END_TEST

START_TEST(b3_due_goes_out_at_once_expired_waits)
{
	enum refresh_event ev;

	hold(HOUR_MS);
	ck_assert_int_eq(ask(0, &ev), REFRESH_GO);
	ck_assert_int_eq(ev, REFRESH_EVENTS);
	now.wall = m.cur.expires_at - 10 * SEC;
	ck_assert_int_eq(ask(0, &ev), REFRESH_GO);
	ck_assert_int_eq(ev, REFRESH_DUE);
	ck_assert_int_eq(ask_plain(), REFRESH_GO);		/* beside the running one */
	now.wall = m.cur.expires_at;
	ck_assert_int_eq(ask_plain(), REFRESH_WAIT);
	up_to_sending();
	answer(TOKEN_OK, 2, 1);				/* dead on arrival ... */
	feed(refresh_saw_saved(&m, true, &now));
	ck_assert(out.actions & A_GRANT);
	now.wall += 5 * SEC;
	ck_assert_int_eq(refresh_ask(&m, 0, true, &now, &ev, &why), REFRESH_GO);	/* ... but granted */
	ck_assert_int_eq(refresh_ask(&m, 0, false, &now, &ev, &why), REFRESH_WAIT);
}
END_TEST

START_TEST(b1_unknown_expiry_is_never_due)
{
	enum refresh_event ev;

	hold(0);
	now.wall += 1000 * HOUR_MS;
	ck_assert_int_eq(ask(0, &ev), REFRESH_GO);
	ck_assert_int_eq(ev, REFRESH_EVENTS);
}
END_TEST

START_TEST(f5_expiry_is_wall_time_backoff_is_boot_time)
{
	enum refresh_event ev;

	hold(HOUR_MS);
	now.boot += 1000 * HOUR_MS;
	ck_assert_int_eq(ask(0, &ev), REFRESH_GO);
	ck_assert_int_eq(ev, REFRESH_EVENTS);
	now.wall = m.cur.expires_at;
	ask_plain();
	up_to_sending();
	answer(TOKEN_REFUSED, 0, 0);
	feed(refresh_saw_saved(&m, true, &now));
	now.wall += 1000 * HOUR_MS;
	ck_assert_int_eq(ask_plain(), REFRESH_FAIL);
	now.boot += MIN_MS;
	ck_assert_int_eq(ask_plain(), REFRESH_WAIT);
}
END_TEST

START_TEST(c5_newer_in_store_is_adopted)
{
	struct refresh_facts f;

	hold(HOUR_MS);
	now.wall = m.cur.expires_at;
	ask_plain();
	feed(REFRESH_LOCKED);
	f = token(7, HOUR_MS);
	feed(refresh_saw_stored(&m, REFRESH_FOUND, &f, &now));
	ck_assert_int_eq(m.state, REFRESH_IDLE);
	ck_assert_uint_eq(m.generation, 2);
	ck_assert(!(out.actions & A_SEND) && out.actions & A_UNLOCK && out.actions & A_GRANT);
}
END_TEST

START_TEST(c3_c4_unreadable_keeps_gone_drops)
{
	hold(HOUR_MS);
	feed(REFRESH_CHANGED);
	feed(refresh_saw_stored(&m, REFRESH_UNREADABLE, NULL, &now));
	ck_assert_int_eq(ask_plain(), REFRESH_GO);
	feed(REFRESH_CHANGED);
	feed(refresh_saw_stored(&m, REFRESH_ABSENT, NULL, &now));
	ck_assert_int_eq(ask_plain(), REFRESH_FAIL);
	ck_assert_int_eq(why.reason, REASON_LOGIN_REQUIRED);
	ck_assert(refresh_login_required(&m, &now));
}
END_TEST

START_TEST(c6_no_refresh_token_is_login_required)
{
	struct refresh_facts f;
	enum refresh_event ev;

	hold(HOUR_MS);
	f = token(1, HOUR_MS);
	f.renewable = false;
	m.cur = f;
	ck_assert_int_eq(ask_plain(), REFRESH_GO);		/* serves until its expiry or its 401 */
	ck_assert(refresh_rejected(&m, 1, false, &now, &why));
	ck_assert_int_eq(ask(1, &ev), REFRESH_WAIT);
	feed(REFRESH_LOCKED);
	feed(refresh_saw_stored(&m, REFRESH_FOUND, &f, &now));
	ck_assert(out.actions & A_FAIL);
	ck_assert_int_eq(m.reason, REASON_LOGIN_REQUIRED);
	now.wall = f.expires_at;
	ck_assert_int_eq(ask_plain(), REFRESH_FAIL);
}
END_TEST

START_TEST(c7_metadata_only_after_a_401)
{
	enum refresh_event ev;
	struct refresh_facts f;

	hold(HOUR_MS);
	f = m.cur;
	ck_assert(refresh_rejected(&m, 1, false, &now, &why));
	ask(1, &ev);
	feed(REFRESH_LOCKED);
	feed(refresh_saw_stored(&m, REFRESH_FOUND, &f, &now));
	ck_assert_int_eq(m.state, REFRESH_VERIFYING);
	feed(REFRESH_MISMATCH);
	ck_assert_int_eq(m.reason, REASON_LOGIN_REQUIRED);
	ck_assert(out.actions & A_FAIL && out.actions & A_UNLOCK);
	/* Once contradicted, not after a plain expiry either, until the metadata takes it back. */
	now.wall = m.cur.expires_at;
	ask_plain();
	feed(REFRESH_LOCKED);
	f = m.cur;
	feed(refresh_saw_stored(&m, REFRESH_FOUND, &f, &now));
	ck_assert_int_eq(m.state, REFRESH_VERIFYING);
	feed(REFRESH_VERIFIED);
	ck_assert_int_eq(m.state, REFRESH_INTENDING);
	ck_assert(!m.mismatch);
}
END_TEST

START_TEST(c7_no_metadata_for_a_plain_expiry)
{
	struct refresh_facts f;

	hold(HOUR_MS);
	f = m.cur;
	now.wall = m.cur.expires_at;
	ask_plain();
	feed(REFRESH_LOCKED);
	feed(refresh_saw_stored(&m, REFRESH_FOUND, &f, &now));
	ck_assert_int_eq(m.state, REFRESH_INTENDING);
}
END_TEST

START_TEST(c8_no_intent_no_refresh_while_live)
{
	struct refresh_facts f;

	hold(HOUR_MS);
	now.wall = m.cur.expires_at - 10 * SEC;
	ask_plain();
	feed(REFRESH_LOCKED);
	f = m.cur;
	feed(refresh_saw_stored(&m, REFRESH_FOUND, &f, &now));
	feed(refresh_saw_saved(&m, false, &now));
	ck_assert_int_eq(m.state, REFRESH_IDLE);
	ck_assert(!(out.actions & A_SEND));
	ck_assert_int_eq(ask_plain(), REFRESH_GO);
	now.wall += 20 * SEC;				/* expired: nothing to lose */
	now.boot += 20 * SEC;
	ask_plain();
	feed(REFRESH_LOCKED);
	f = m.cur;
	feed(refresh_saw_stored(&m, REFRESH_FOUND, &f, &now));
	feed(refresh_saw_saved(&m, false, &now));
	ck_assert_int_eq(m.state, REFRESH_SENDING);
}
END_TEST

START_TEST(d_unknown_outcome_2s_60s_doubling_to_1h)
{
	static const int64_t waits[] = { 2, 60, 120, 240, 480, 960, 1920, 3600, 3600 };
	struct refresh_facts f;

	hold(HOUR_MS);
	now.wall = m.cur.expires_at;
	for (size_t i = 0; i < nitems(waits); i++) {
		ck_assert_int_eq(ask_plain(), REFRESH_WAIT);
		up_to_sending();
		ck_assert_uint_eq(m.cur.tries, i + 1);
		answer(TOKEN_UNKNOWN, 0, 0);
		ck_assert(out.actions & A_UNLOCK);
		ck_assert_int_eq(out.timer, waits[i] * SEC);
		ck_assert_int_eq(ask_plain(), waits[i] <= 5 ? REFRESH_WAIT : REFRESH_FAIL);
		now.wall += waits[i] * SEC;
		now.boot += waits[i] * SEC;
	}
	/* ... and across processes: a young intent in the store holds a newcomer. */
	f = m.cur;
	f.tried_at = now.wall - SEC;
	f.tries = 2;
	m.retry_at = 0;
	ask_plain();
	feed(REFRESH_LOCKED);
	feed(refresh_saw_stored(&m, REFRESH_FOUND, &f, &now));
	ck_assert_int_eq(m.state, REFRESH_IDLE);
	ck_assert_int_eq(out.timer, 59 * SEC);
}
END_TEST

START_TEST(d_transient_1s_to_60s_retry_after)
{
	struct refresh_facts f = { 0 };
	int64_t last = 0;

	hold(HOUR_MS);
	now.wall = m.cur.expires_at;
	for (int i = 0; i < 10; i++) {
		ask_plain();
		up_to_sending();
		answer(TOKEN_TRANSIENT, 0, 0);
		feed(refresh_saw_saved(&m, true, &now));
		ck_assert_uint_eq(m.cur.tries, 0);
		ck_assert_int_eq(out.timer, MIN(SEC << i, 60 * SEC));
		ck_assert_int_ge(out.timer, last);
		last = out.timer;
		now.boot += out.timer;
	}
	ask_plain();
	up_to_sending();
	feed(refresh_saw_token(&m, TOKEN_TRANSIENT, &f, 300 * SEC, &now));
	feed(refresh_saw_saved(&m, true, &now));
	ck_assert_int_eq(out.timer, 300 * SEC);
}
END_TEST

START_TEST(d_refused_backs_off_to_15_min_and_a_login_clears)
{
	int64_t last = 0;

	hold(HOUR_MS);
	now.wall = m.cur.expires_at;
	for (int i = 0; i < 8; i++) {
		ck_assert_int_eq(ask_plain(), REFRESH_WAIT);
		up_to_sending();
		answer(TOKEN_REFUSED, 0, 0);
		ck_assert(out.actions & A_LOUD);
		feed(refresh_saw_saved(&m, true, &now));
		ck_assert_int_eq(ask_plain(), REFRESH_FAIL);
		last = out.timer;
		now.boot += last;
	}
	ck_assert_int_eq(last, 15 * MIN_MS);
	m.login = token(9, HOUR_MS);
	feed(REFRESH_LOGIN);
	feed(REFRESH_LOCKED);
	feed(refresh_saw_saved(&m, true, &now));
	ck_assert_int_eq(ask_plain(), REFRESH_GO);
}
END_TEST

START_TEST(d_three_strikes)
{
	hold(HOUR_MS);
	now.wall = m.cur.expires_at;
	for (int i = 0; i < 3; i++) {
		ask_plain();
		up_to_sending();
		answer(TOKEN_STRIKE, 0, 0);
		ck_assert_int_eq(m.state, i < 2 ? REFRESH_CLEARING : REFRESH_DOUBTING);
		if (i < 2)
			feed(refresh_saw_saved(&m, true, &now));
		now.boot += BACKOFF_MAX;
	}
}
END_TEST

START_TEST(d_invalid_grant_marks_and_the_access_token_serves_on)
{
	struct refresh_facts f;

	hold(HOUR_MS);
	now.wall = m.cur.expires_at - 10 * SEC;
	ask_plain();
	up_to_sending();
	answer(TOKEN_DEAD, 0, 0);
	f = m.cur;
	feed(refresh_saw_stored(&m, REFRESH_FOUND, &f, &now));
	ck_assert_int_eq(m.state, REFRESH_MARKING);
	feed(refresh_saw_saved(&m, true, &now));
	ck_assert_int_eq(ask_plain(), REFRESH_GO);
	now.wall = m.cur.expires_at;
	ck_assert_int_eq(ask_plain(), REFRESH_FAIL);
	ck_assert_int_eq(why.reason, REASON_LOGIN_REQUIRED);
}
END_TEST

START_TEST(d_persist_fails_serves_from_memory_and_owes)
{
	enum refresh_event ev;

	hold(HOUR_MS);
	now.wall = m.cur.expires_at;
	ask_plain();
	up_to_sending();
	answer(TOKEN_OK, 2, HOUR_MS);
	feed(refresh_saw_saved(&m, false, &now));
	ck_assert_int_eq(m.state, REFRESH_UNPERSISTED);
	ck_assert(!(out.actions & A_UNLOCK) && out.actions & A_INSTALL && out.actions & A_LOUD);
	ck_assert_int_eq(ask_plain(), REFRESH_GO);
	now.wall = m.cur.expires_at - SEC;
	ck_assert_int_eq(ask(0, &ev), REFRESH_GO);
	ck_assert_int_eq(ev, REFRESH_EVENTS);			/* the persist first, never the refresh */
	feed(REFRESH_TIMER);
	ck_assert(out.actions & A_PERSIST);
	feed(refresh_saw_saved(&m, false, &now));
	ck_assert_int_eq(m.state, REFRESH_UNPERSISTED);
	feed(REFRESH_TIMER);
	feed(refresh_saw_saved(&m, true, &now));
	ck_assert_int_eq(m.state, REFRESH_IDLE);
	ck_assert(out.actions & A_UNLOCK && !m.unpersisted);
}
END_TEST

START_TEST(e1_late_401_of_an_older_generation)
{
	enum refresh_event ev;

	hold(HOUR_MS);
	renew_after_401(2);
	refresh_answered(&m, 2, false);
	ck_assert(refresh_rejected(&m, 1, false, &now, &why));
	ck_assert_int_eq(ask(1, &ev), REFRESH_GO);
	ck_assert_int_eq(ev, REFRESH_EVENTS);
}
END_TEST

START_TEST(e2_all_who_were_rejected_share_one_transaction)
{
	enum refresh_event ev;

	hold(HOUR_MS);
	for (int i = 0; i < 512; i++) {
		ck_assert(refresh_rejected(&m, 1, false, &now, &why));
		ck_assert_int_eq(ask(1, &ev), REFRESH_WAIT);
		ck_assert_int_eq(ev == REFRESH_REJECTED, i == 0);
	}
}
END_TEST

START_TEST(e3_second_401_is_final_and_refreshes_that_helped_nobody_back_off)
{
	hold(HOUR_MS);
	refresh_answered(&m, 1, false);
	renew_after_401(2);
	refresh_answered(&m, 2, false);				/* proven by others */
	ck_assert(!refresh_rejected(&m, 2, true, &now, &why));
	ck_assert_int_eq(why.reason, REASON_BEARER_REJECTED);
	ck_assert_int_eq(ask_plain(), REFRESH_GO);		/* nobody else is locked out */
	ck_assert(!refresh_rejected(&m, 2, false, &now, &why));	/* 30 s no refresh for a 401 */
	now.boot += 30 * SEC;
	renew_after_401(3);
	refresh_answered(&m, 3, false);
	ck_assert(!refresh_rejected(&m, 3, true, &now, &why));
	now.boot += 59 * SEC;
	ck_assert(!refresh_rejected(&m, 3, false, &now, &why));
	now.boot += SEC;
	ck_assert(refresh_rejected(&m, 3, false, &now, &why));
}
END_TEST

/* The refresh was needed: one of those who waited for it got its answer, before or after the bad tool. */
START_TEST(e3_no_back_off_if_a_waiter_was_helped)
{
	for (int first = 0; first < 2; first++) {
		hold(HOUR_MS);
		refresh_answered(&m, 1, false);
		renew_after_401(2);
		if (first == 0)
			refresh_answered(&m, 2, true);
		ck_assert(!refresh_rejected(&m, 2, true, &now, &why));
		if (first == 1)
			refresh_answered(&m, 2, true);
		renew_after_401(3);
	}
}
END_TEST

START_TEST(e3_one_bad_tool_first_after_a_refresh_locks_out_nobody)
{
	hold(HOUR_MS);
	refresh_answered(&m, 1, false);
	renew_after_401(2);
	ck_assert(!refresh_rejected(&m, 2, true, &now, &why));	/* the tool, before anybody else */
	ck_assert_int_eq(ask_plain(), REFRESH_GO);
	refresh_answered(&m, 2, false);
	ck_assert_int_eq(m.breaker_delay, 0);
}
END_TEST

START_TEST(e5_breaker_opens_probes_doubles_closes)
{
	hold(HOUR_MS);
	renew_after_401(2);
	ck_assert(!refresh_rejected(&m, 2, true, &now, &why));	/* generation 1 was never proven */
	for (int64_t wait = 30; wait <= 600; wait = MIN(wait * 2, 601)) {
		ck_assert_int_eq(m.breaker_delay, wait * SEC);
		ck_assert_int_eq(ask_plain(), REFRESH_FAIL);
		ck_assert_int_eq(why.reason, REASON_BEARER_REJECTED);
		ck_assert_int_eq(why.retry_ms, wait * SEC);
		now.boot += wait * SEC;
		ck_assert_int_eq(ask_plain(), REFRESH_GO);
		refresh_went(&m, &now);
		ck_assert_int_eq(ask_plain(), REFRESH_FAIL);	/* one probe */
		ck_assert(!refresh_rejected(&m, 2, false, &now, &why));
		if (wait == 480)
			wait = 300;				/* 10 min is the end */
	}
	ck_assert_int_eq(m.breaker_delay, 600 * SEC);
	now.boot += 600 * SEC;
	ck_assert_int_eq(ask_plain(), REFRESH_GO);
	refresh_went(&m, &now);
	refresh_answered(&m, 2, false);
	ck_assert_int_eq(ask_plain(), REFRESH_GO);
	ck_assert_int_eq(ask_plain(), REFRESH_GO);
}
END_TEST

START_TEST(e5_after_a_proven_generation_the_second_401_opens)
{
	hold(HOUR_MS);
	refresh_answered(&m, 1, false);
	renew_after_401(2);
	ck_assert(!refresh_rejected(&m, 2, true, &now, &why));
	ck_assert_int_eq(m.breaker_delay, 0);
	ck_assert(!refresh_rejected(&m, 2, false, &now, &why));
	ck_assert_int_eq(m.breaker_delay, 30 * SEC);
}
END_TEST

START_TEST(e6_a_lost_probe_does_not_close_the_door_for_ever)
{
	hold(HOUR_MS);
	renew_after_401(2);
	ck_assert(!refresh_rejected(&m, 2, true, &now, &why));
	now.boot += 30 * SEC;
	ck_assert_int_eq(ask_plain(), REFRESH_GO);
	refresh_went(&m, &now);
	now.boot += 30 * SEC;
	ck_assert_int_eq(ask_plain(), REFRESH_GO);
}
END_TEST

/* A static bearer: reading it again is all that can be done, and the same one may live longer. */
START_TEST(a4_reread_is_the_renewal)
{
	struct refresh_facts f;
	enum refresh_event ev;

	hold(HOUR_MS);
	m.rereads = true;
	m.cur.renewable = false;
	f = m.cur;
	now.wall = m.cur.expires_at;
	ck_assert_int_eq(ask_plain(), REFRESH_WAIT);
	feed(REFRESH_LOCKED);
	f.expires_at += HOUR_MS;
	feed(refresh_saw_stored(&m, REFRESH_FOUND, &f, &now));
	ck_assert_int_eq(ask_plain(), REFRESH_GO);
	ck_assert_uint_eq(m.generation, 1);
	ck_assert(refresh_rejected(&m, 1, false, &now, &why));
	ck_assert_int_eq(ask(1, &ev), REFRESH_WAIT);
	feed(REFRESH_LOCKED);
	feed(refresh_saw_stored(&m, REFRESH_FOUND, &f, &now));
	ck_assert(out.actions & A_FAIL);		/* unchanged after a 401: final */
}
END_TEST

/* --- C6: a grant that renews itself --- */

/* Facts of such a token: no refresh token, always renewable. */
static struct refresh_facts
self_token(unsigned n, int64_t lifetime)
{
	struct refresh_facts f = token(n, lifetime);

	f.renewal = 0;
	return f;
}

/* Loaded, with nothing in the store. */
static void
hold_nothing(void)
{
	now = (struct now){ .wall = 1700000000000, .boot = 5000000 };
	refresh_init(&m, 0);
	m.renews_itself = true;
	feed(REFRESH_CHANGED);
	feed(refresh_saw_stored(&m, REFRESH_ABSENT, NULL, &now));
	ck_assert_int_eq(m.state, REFRESH_IDLE);
	ck_assert(!refresh_login_required(&m, &now));
}

/* The first exchange asks, and nothing is in the store when the lock is there. */
static void
self_up_to_sending(void)
{
	ck_assert_int_eq(ask_plain(), REFRESH_WAIT);
	ck_assert_int_eq(m.state, REFRESH_LOCKING);
	feed(REFRESH_LOCKED);
	feed(refresh_saw_stored(&m, REFRESH_ABSENT, NULL, &now));
	ck_assert_int_eq(m.state, REFRESH_INTENDING);
	feed(refresh_saw_saved(&m, true, &now));
	ck_assert_int_eq(m.state, REFRESH_SENDING);
}

static void
self_obtain(unsigned n)
{
	struct refresh_facts f = self_token(n, HOUR_MS);

	self_up_to_sending();
	feed(refresh_saw_token(&m, TOKEN_OK, &f, 0, &now));
	feed(refresh_saw_saved(&m, true, &now));
	ck_assert_int_eq(m.state, REFRESH_IDLE);
	ck_assert_int_eq(ask_plain(), REFRESH_GO);
}

START_TEST(c6_self_renewing_first_token)
{
	hold_nothing();
	self_obtain(1);
	ck_assert_uint_eq(m.generation, 1);
	/* Another's is adopted (C5). */
	now.wall = m.cur.expires_at;
	ck_assert_int_eq(ask_plain(), REFRESH_WAIT);
	feed(REFRESH_LOCKED);
	struct refresh_facts f = self_token(2, HOUR_MS);
	feed(refresh_saw_stored(&m, REFRESH_FOUND, &f, &now));
	ck_assert(out.actions & A_GRANT && !(out.actions & A_SEND));
	ck_assert_uint_eq(m.generation, 2);
}
END_TEST

/* C4: what was logged out is dropped, and the next exchange obtains another token by itself. */
START_TEST(c4_self_renewing_after_a_logout)
{
	hold_nothing();
	self_obtain(1);
	feed(REFRESH_LOGOUT);
	feed(REFRESH_LOCKED);
	feed(refresh_saw_saved(&m, true, &now));
	ck_assert_uint_eq(m.cur.access, 0);
	ck_assert(!refresh_login_required(&m, &now));
	self_obtain(2);
	/* H2: the same after another process's logout. */
	feed(REFRESH_CHANGED);
	feed(refresh_saw_stored(&m, REFRESH_ABSENT, NULL, &now));
	ck_assert_uint_eq(m.cur.access, 0);
	self_obtain(3);
}
END_TEST

START_TEST(c7_self_renewing_verifies_after_a_401)
{
	enum refresh_event ev;

	hold_nothing();
	self_obtain(1);
	refresh_answered(&m, 1, false);
	ck_assert(refresh_rejected(&m, 1, false, &now, &why));
	ck_assert_int_eq(ask(1, &ev), REFRESH_WAIT);
	ck_assert_int_eq(ev, REFRESH_REJECTED);
	feed(REFRESH_LOCKED);
	feed(refresh_saw_stored(&m, REFRESH_ABSENT, NULL, &now));
	ck_assert_int_eq(m.state, REFRESH_VERIFYING);
}
END_TEST

/* C3 */
START_TEST(c3_self_renewing_unreadable_is_an_abort)
{
	hold_nothing();
	ck_assert_int_eq(ask_plain(), REFRESH_WAIT);
	feed(REFRESH_LOCKED);
	feed(refresh_saw_stored(&m, REFRESH_UNREADABLE, NULL, &now));
	ck_assert_int_eq(m.state, REFRESH_IDLE);
	ck_assert(out.actions & A_FAIL && !(out.actions & A_SEND));
	ck_assert_int_eq(m.reason, REASON_STORE);
}
END_TEST

/* D: invalid_grant, or three strikes: the secret or the key is wrong, and nothing is marked dead. */
START_TEST(d_self_renewing_dead_is_a_configuration_fault)
{
	int64_t last = 0;

	hold_nothing();
	for (int i = 0; i < 8; i++) {
		self_up_to_sending();
		ck_assert_int_eq(refresh_saw_token(&m, TOKEN_DEAD, NULL, 0, &now),
		    REFRESH_TOKEN_REFUSED);
		feed(REFRESH_TOKEN_REFUSED);
		ck_assert_int_eq(m.state, REFRESH_CLEARING);
		feed(refresh_saw_saved(&m, true, &now));
		ck_assert_int_eq(ask_plain(), REFRESH_FAIL);
		ck_assert(!refresh_login_required(&m, &now) && m.cur.renewable);
		ck_assert_int_ge(out.timer, last);
		last = out.timer;
		now.boot += last;
	}
	ck_assert_int_eq(last, 15 * MIN_MS);
	for (int i = 1; i <= STRIKES; i++)
		ck_assert_int_eq(refresh_saw_token(&m, TOKEN_STRIKE, NULL, 0, &now),
		    i < STRIKES ? REFRESH_TOKEN_STRIKE : REFRESH_TOKEN_REFUSED);
}
END_TEST

/* D: nothing is in the store to count the tries; a notice of the store does not forget them. */
START_TEST(d_self_renewing_counts_its_tries_in_memory)
{
	static const int64_t waits[] = { 2, 60, 120, 240, 480, 960, 1920, 3600, 3600 };

	hold_nothing();
	for (size_t i = 0; i < nitems(waits); i++) {
		self_up_to_sending();
		ck_assert_uint_eq(m.cur.tries, i + 1);
		answer(TOKEN_UNKNOWN, 0, 0);
		ck_assert_int_eq(out.timer, waits[i] * SEC);
		feed(REFRESH_CHANGED);
		feed(refresh_saw_stored(&m, REFRESH_ABSENT, NULL, &now));
		ck_assert_uint_eq(m.cur.tries, i + 1);
		now.wall += waits[i] * SEC - 1;
		now.boot += waits[i] * SEC;
		ck_assert_int_eq(ask_plain(), REFRESH_WAIT);	/* a moment early */
		feed(REFRESH_LOCKED);
		feed(refresh_saw_stored(&m, REFRESH_ABSENT, NULL, &now));
		ck_assert(!(out.actions & A_INTENT));
		ck_assert_int_eq(out.timer, 1);
		now.wall++;
		now.boot++;
	}
	self_obtain(1);
	ck_assert_uint_eq(m.cur.tries, 0);
}
END_TEST

START_TEST(k_draining_begins_nothing)
{
	hold(HOUR_MS);
	now.wall = m.cur.expires_at;
	ask_plain();
	feed(REFRESH_DRAIN);
	ck_assert_int_eq(m.state, REFRESH_IDLE);
	ck_assert(out.actions & A_FAIL && out.actions & A_UNLOCK);
	ck_assert_int_eq(m.reason, REASON_DRAINING);
	ck_assert_int_eq(ask_plain(), REFRESH_FAIL);
	hold(HOUR_MS);
	now.wall = m.cur.expires_at;
	ask_plain();
	up_to_sending();
	feed(REFRESH_DRAIN);
	answer(TOKEN_OK, 2, HOUR_MS);
	feed(refresh_saw_saved(&m, true, &now));		/* awaited and persisted */
	ck_assert_uint_eq(m.generation, 2);
	m.login = (struct refresh_facts){ .access = 3, .expires_at = now.wall + HOUR_MS };
	feed(REFRESH_LOGIN);		/* its token was sent for */
	feed(REFRESH_DRAIN);
	ck_assert_int_eq(m.state, REFRESH_LOGIN_LOCKING);
	ck_assert_uint_eq(out.actions, 0);
}
END_TEST

START_TEST(every_name_is_there)
{
	for (int s = 0; s < REFRESH_STATES; s++)
		ck_assert_ptr_nonnull(refresh_state_name((enum refresh_state)s));
	for (int e = 0; e < REFRESH_EVENTS; e++)
		ck_assert_ptr_nonnull(refresh_event_name((enum refresh_event)e));
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("refresh");
	TCase *tc = tcase_create("rules");
	SRunner *sr;
	int failed;

	tcase_add_test(tc, b1_unknown_expiry_is_never_due);
	tcase_add_test(tc, b2_due);
	tcase_add_test(tc, b3_due_goes_out_at_once_expired_waits);
	tcase_add_test(tc, f5_expiry_is_wall_time_backoff_is_boot_time);
	tcase_add_test(tc, c3_c4_unreadable_keeps_gone_drops);
	tcase_add_test(tc, c5_newer_in_store_is_adopted);
	tcase_add_test(tc, c6_no_refresh_token_is_login_required);
	tcase_add_test(tc, c7_metadata_only_after_a_401);
	tcase_add_test(tc, c7_no_metadata_for_a_plain_expiry);
	tcase_add_test(tc, c8_no_intent_no_refresh_while_live);
	tcase_add_test(tc, d_unknown_outcome_2s_60s_doubling_to_1h);
	tcase_add_test(tc, d_transient_1s_to_60s_retry_after);
	tcase_add_test(tc, d_refused_backs_off_to_15_min_and_a_login_clears);
	tcase_add_test(tc, d_three_strikes);
	tcase_add_test(tc, d_invalid_grant_marks_and_the_access_token_serves_on);
	tcase_add_test(tc, d_persist_fails_serves_from_memory_and_owes);
	tcase_add_test(tc, e1_late_401_of_an_older_generation);
	tcase_add_test(tc, e2_all_who_were_rejected_share_one_transaction);
	tcase_add_test(tc, e3_second_401_is_final_and_refreshes_that_helped_nobody_back_off);
	tcase_add_test(tc, e3_no_back_off_if_a_waiter_was_helped);
	tcase_add_test(tc, e3_one_bad_tool_first_after_a_refresh_locks_out_nobody);
	tcase_add_test(tc, e5_breaker_opens_probes_doubles_closes);
	tcase_add_test(tc, e5_after_a_proven_generation_the_second_401_opens);
	tcase_add_test(tc, e6_a_lost_probe_does_not_close_the_door_for_ever);
	tcase_add_test(tc, a4_reread_is_the_renewal);
	tcase_add_test(tc, c6_self_renewing_first_token);
	tcase_add_test(tc, c4_self_renewing_after_a_logout);
	tcase_add_test(tc, c7_self_renewing_verifies_after_a_401);
	tcase_add_test(tc, c3_self_renewing_unreadable_is_an_abort);
	tcase_add_test(tc, d_self_renewing_dead_is_a_configuration_fault);
	tcase_add_test(tc, d_self_renewing_counts_its_tries_in_memory);
	tcase_add_test(tc, k_draining_begins_nothing);
	tcase_add_test(tc, every_name_is_there);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
