/* Which login may begin, and when: contract H3, WIRE A11 and A17. */
#include <check.h>

#include "flow.h"

static struct now
at(int64_t ms)
{
	return (struct now){ .boot = 1000000 + ms, .wall = 5 };
}

static enum flow_verdict
ask(const struct flow *f, enum flow_by by, uint64_t challenged, int64_t ms)
{
	struct now now = at(ms);

	return flow_ask(f, by, FLOW_BROWSER, challenged, &now);
}

static void
run(struct flow *f, enum flow_by by, enum flow_end end, int64_t ms)
{
	struct now now = at(ms);

	ck_assert_int_eq(flow_ask(f, by, FLOW_BROWSER, 0, &now), FLOW_BEGIN);
	flow_begin(f, by, FLOW_BROWSER, &now);
	flow_end(f, end, &now);
}

START_TEST(h3_one_at_a_time)
{
	struct flow f = { 0 };
	struct now now = at(0);

	flow_begin(&f, FLOW_PERSON, FLOW_DEVICE, &now);
	ck_assert_int_eq(flow_ask(&f, FLOW_PERSON, FLOW_DEVICE, 0, &now), FLOW_JOIN);
	ck_assert_int_eq(flow_ask(&f, FLOW_PERSON, FLOW_BROWSER, 0, &now), FLOW_BUSY);
	ck_assert_int_eq(flow_ask(&f, FLOW_NEED, FLOW_BROWSER, 0, &now), FLOW_JOIN);
	f.stopping = true;
	ck_assert_int_eq(flow_ask(&f, FLOW_PERSON, FLOW_DEVICE, 0, &now), FLOW_STOPPING);
}
END_TEST

START_TEST(h3_failures_back_off)
{
	struct flow f = { 0 };
	int64_t ms = 0, wait = LOGIN_RETRY;

	for (int i = 0; i < 12; i++) {
		run(&f, FLOW_NEED, FLOW_FAILED, ms);
		ck_assert_int_eq(ask(&f, FLOW_NEED, 0, ms + wait - 1), FLOW_LATER);
		ck_assert_int_eq(ask(&f, FLOW_PERSON, 0, ms), FLOW_BEGIN);
		ms += wait;
		wait = MIN(2 * wait, LOGIN_RETRY_MAX);
	}
	ck_assert_int_eq(f.delay, LOGIN_RETRY_MAX);
	/* Success forgets. */
	run(&f, FLOW_PERSON, FLOW_DONE, ms);
	ck_assert_int_eq(ask(&f, FLOW_NEED, 0, ms), FLOW_BEGIN);
	run(&f, FLOW_NEED, FLOW_FAILED, ms);
	ck_assert_int_eq(ask(&f, FLOW_NEED, 0, ms + LOGIN_RETRY), FLOW_BEGIN);
	run(&f, FLOW_NEED, FLOW_FAILED, ms + LOGIN_RETRY);
	run(&f, FLOW_NEED, FLOW_DONE, ms + 3 * LOGIN_RETRY);
	ck_assert_int_eq(ask(&f, FLOW_NEED, 0, ms + 4 * LOGIN_RETRY - 1), FLOW_LATER);
	ck_assert_int_eq(ask(&f, FLOW_NEED, 0, ms + 4 * LOGIN_RETRY), FLOW_BEGIN);
}
END_TEST

/* A server that rejects every token: each login succeeds, none helps. */
START_TEST(h3_useless_logins_back_off)
{
	struct flow f = { 0 };
	int64_t ms = 0, wait = LOGIN_RETRY;

	for (int i = 0; i < 12; i++) {
		run(&f, FLOW_NEED, FLOW_DONE, ms);
		ck_assert_int_eq(ask(&f, FLOW_NEED, 0, ms + wait - 1), FLOW_LATER);
		ms += wait;
		wait = MIN(2 * wait, LOGIN_RETRY_MAX);
	}
	/* One that lasted. */
	ms += 2 * LOGIN_RETRY_MAX;
	run(&f, FLOW_NEED, FLOW_DONE, ms);
	ck_assert_int_eq(ask(&f, FLOW_NEED, 0, ms + LOGIN_RETRY), FLOW_BEGIN);
	run(&f, FLOW_NEED, FLOW_DONE, ms + 2 * LOGIN_RETRY + 1);
	ck_assert_int_eq(ask(&f, FLOW_NEED, 0, ms + 3 * LOGIN_RETRY + 1), FLOW_BEGIN);
	/* A person's success forgets it. */
	run(&f, FLOW_PERSON, FLOW_DONE, ms + 3 * LOGIN_RETRY + 2);
	ck_assert_int_eq(ask(&f, FLOW_NEED, 0, ms + 3 * LOGIN_RETRY + 2), FLOW_BEGIN);
}
END_TEST

/* Somebody who gave up does not want the next window at once; but it is no reason to wait ever longer. */
START_TEST(a17_a_persons_failure)
{
	struct flow f = { 0 };

	for (int i = 0; i < 4; i++) {
		run(&f, FLOW_PERSON, i % 2 ? FLOW_FAILED : FLOW_LEFT, i);
		ck_assert_int_eq(ask(&f, FLOW_NEED, 0, i), FLOW_LATER);
		ck_assert_int_eq(ask(&f, FLOW_NEED, 0, i + LOGIN_RETRY), FLOW_BEGIN);
	}
	/* It does not shorten a back-off. */
	f = (struct flow){ 0 };
	run(&f, FLOW_NEED, FLOW_FAILED, 0);
	run(&f, FLOW_NEED, FLOW_FAILED, LOGIN_RETRY);
	run(&f, FLOW_PERSON, FLOW_LEFT, LOGIN_RETRY + 1);
	ck_assert_int_eq(ask(&f, FLOW_NEED, 0, 3 * LOGIN_RETRY - 1), FLOW_LATER);
	ck_assert_int_eq(ask(&f, FLOW_NEED, 0, 3 * LOGIN_RETRY), FLOW_BEGIN);
	flow_forgive(&f);
	ck_assert_int_eq(ask(&f, FLOW_NEED, 0, 0), FLOW_BEGIN);
}
END_TEST

START_TEST(a11_step_ups_are_counted)
{
	struct flow f = { 0 };

	for (int i = 0; i < STEP_UPS; i++) {
		ck_assert_int_eq(ask(&f, FLOW_NEED, 7, i), FLOW_BEGIN);
		flow_authorizes(&f, 0);
		flow_authorizes(&f, 7);
	}
	ck_assert_int_eq(ask(&f, FLOW_NEED, 7, 9), FLOW_ENOUGH);
	ck_assert_int_eq(ask(&f, FLOW_NEED, 8, 9), FLOW_BEGIN);
	ck_assert_int_eq(ask(&f, FLOW_NEED, 0, 9), FLOW_BEGIN);
	ck_assert_int_eq(ask(&f, FLOW_PERSON, 7, 9), FLOW_BEGIN);
	/* A login that succeeded did not help either, or it would not be asked for again. */
	run(&f, FLOW_NEED, FLOW_DONE, 10);
	ck_assert_int_eq(ask(&f, FLOW_NEED, 7, 10 + LOGIN_RETRY), FLOW_ENOUGH);
	flow_authorizes(&f, 8);
	ck_assert_int_eq(ask(&f, FLOW_NEED, 7, 10 + LOGIN_RETRY), FLOW_BEGIN);
	/* Counted anew. */
	ck_assert_int_eq(ask(&f, FLOW_NEED, 8, 10 + LOGIN_RETRY), FLOW_BEGIN);
	flow_forgive(&f);
	ck_assert_int_eq(ask(&f, FLOW_NEED, 8, 10), FLOW_BEGIN);
}
END_TEST

START_TEST(h3_ends_with_its_last_watcher)
{
	struct flow f = { 0 };
	struct now now = at(0);

	flow_begin(&f, FLOW_PERSON, FLOW_BROWSER, &now);
	flow_watch(&f);
	flow_watch(&f);
	ck_assert(!flow_unwatch(&f));
	ck_assert(flow_unwatch(&f));
	flow_end(&f, FLOW_LEFT, &now);

	flow_begin(&f, FLOW_NEED, FLOW_BROWSER, &now);
	flow_watch(&f);
	ck_assert(!flow_unwatch(&f));
	now = at(LOGIN_LIMIT - 1);
	ck_assert_int_eq(flow_left(&f, &now), 1);
	now = at(LOGIN_LIMIT + 1);
	ck_assert_int_eq(flow_left(&f, &now), 0);
}
END_TEST

/* Login on the 401, and at once the first 403: two windows, not three. */
START_TEST(a11_step_up_behind_a_login)
{
	struct flow f = { 0 };
	struct now now = at(1);

	run(&f, FLOW_NEED, FLOW_DONE, 0);
	ck_assert_int_eq(ask(&f, FLOW_NEED, 0, 1), FLOW_LATER);
	ck_assert_int_eq(ask(&f, FLOW_NEED, 7, 1), FLOW_BEGIN);
	flow_begin(&f, FLOW_NEED, FLOW_BROWSER, &now);
	flow_authorizes(&f, 7);
	flow_end(&f, FLOW_DONE, &now);
	ck_assert_int_eq(ask(&f, FLOW_NEED, 7, 2), FLOW_LATER);
	ck_assert_int_eq(ask(&f, FLOW_NEED, 8, 2 * LOGIN_RETRY), FLOW_LATER);
	ck_assert_int_eq(ask(&f, FLOW_NEED, 8, 2 * LOGIN_RETRY + 1), FLOW_BEGIN);
	/* The same scope again is no news. */
	f = (struct flow){ 0 };
	flow_authorizes(&f, 7);
	run(&f, FLOW_NEED, FLOW_DONE, 0);
	ck_assert_int_eq(ask(&f, FLOW_NEED, 7, 1), FLOW_LATER);
	ck_assert_int_eq(ask(&f, FLOW_NEED, 0, 1), FLOW_LATER);
	/* Behind a failure it waits. */
	f = (struct flow){ 0 };
	run(&f, FLOW_NEED, FLOW_FAILED, 0);
	ck_assert_int_eq(ask(&f, FLOW_NEED, 7, 1), FLOW_LATER);
}
END_TEST

/* What must hold whatever happens. */
struct model {
	struct flow	 f;
	struct now	 now;
	int64_t		 failed_at;	/* of the latest failure, 0 = none since a success */
	unsigned	 in_a_row;	/* failures of flows for a need since a success */
	unsigned	 steps;		/* authorizations of flows for a need, for scope 1, no other between */
	uint32_t	 seed;
};

static uint32_t
dice(struct model *m, uint32_t n)
{
	m->seed = m->seed * 1664525 + 1013904223;
	return (m->seed >> 8) % n;
}

static void
try(struct model *m)
{
	enum flow_by by = dice(m, 2) ? FLOW_NEED : FLOW_PERSON;
	enum flow_kind kind = dice(m, 3);
	uint64_t scope = dice(m, 2);
	bool ran = m->f.runs;
	int64_t wait = LOGIN_RETRY;

	if (flow_ask(&m->f, by, kind, scope, &m->now) != FLOW_BEGIN)
		return;
	ck_assert(!ran);
	if (by == FLOW_NEED && m->failed_at != 0) {
		for (unsigned i = 1; i < m->in_a_row; i++)
			wait = MIN(2 * wait, LOGIN_RETRY_MAX);
		ck_assert_int_ge(m->now.boot - m->failed_at, m->in_a_row > 0 &&
		    m->f.by == FLOW_NEED ? wait : LOGIN_RETRY);
	}
	flow_begin(&m->f, by, kind, &m->now);
	flow_authorizes(&m->f, scope);
	if (by == FLOW_NEED && scope == 1)
		ck_assert_uint_le(++m->steps, STEP_UPS);
	if (by == FLOW_PERSON)
		flow_watch(&m->f);
}

static void
finish(struct model *m)
{
	enum flow_end end = dice(m, 8) ? FLOW_FAILED : FLOW_DONE;

	if (!m->f.runs)
		return;
	flow_end(&m->f, end, &m->now);
	ck_assert(!m->f.runs);
	m->failed_at = end == FLOW_DONE ? 0 : m->now.boot;
	if (end == FLOW_DONE)
		m->in_a_row = 0;
	else
		m->in_a_row += m->f.by == FLOW_NEED;
}

START_TEST(random_sequences)
{
	struct model m = { .seed = 77 + _i, .now = { .boot = 1000 } };

	for (int i = 0; i < 20000; i++) {
		m.now.boot += dice(&m, 4) ? dice(&m, 20 * SEC) : dice(&m, LOGIN_RETRY_MAX);
		switch (dice(&m, 8)) {
		case 0:
			flow_forgive(&m.f);
			m.failed_at = m.in_a_row = m.steps = 0;
			break;
		case 1: case 2: case 3:
			finish(&m);
			break;
		default:
			try(&m);
		}
		ck_assert_int_le(m.f.delay, LOGIN_RETRY_MAX);
		ck_assert_int_le(flow_left(&m.f, &m.now), LOGIN_LIMIT);
	}
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("flow");
	TCase *tc = tcase_create("flow");
	SRunner *sr;
	int failed;

	tcase_add_test(tc, h3_one_at_a_time);
	tcase_add_test(tc, h3_failures_back_off);
	tcase_add_test(tc, h3_useless_logins_back_off);
	tcase_add_test(tc, a17_a_persons_failure);
	tcase_add_test(tc, a11_step_ups_are_counted);
	tcase_add_test(tc, a11_step_up_behind_a_login);
	tcase_add_test(tc, h3_ends_with_its_last_watcher);
	tcase_add_loop_test(tc, random_sequences, 0, 50);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
