/* The rules of one exchange: contract E3, E4, F3, G2, J. */
#include <check.h>

#include "exchange.h"

static const struct now before = { .boot = 999 }, after = { .boot = 1000 };

static struct exchange
fresh(void)
{
	return (struct exchange){ .deadline = 1000, .held = true, .sends = 1 };
}

static enum exchange_verdict
status(const struct exchange *x, int code)
{
	struct exchange_answer a = { .status = code };

	return exchange_answered(x, &a, &before);
}

START_TEST(e3_one_401_retry)
{
	struct exchange x = fresh();

	ck_assert_int_eq(status(&x, 401), EXCHANGE_REAUTHORIZE);
	exchange_sent(&x, EXCHANGE_REAUTHORIZE);
	ck_assert_int_eq(status(&x, 401), EXCHANGE_FINAL_401);
}
END_TEST

START_TEST(e4_nothing_relayed_and_body_held)
{
	struct exchange x = fresh();

	x.relayed = true;
	ck_assert_int_eq(status(&x, 401), EXCHANGE_FINAL_401);
	x = fresh();
	x.held = false;
	ck_assert_int_eq(status(&x, 401), EXCHANGE_FINAL_401);
	ck_assert_int_eq(exchange_spent(&x, &before), REASON_LIMIT);
	/* What was never sent needs no copy. */
	x.sends = 0;
	ck_assert(exchange_may_send(&x, &before));
	ck_assert_int_eq(exchange_spent(&x, &before), REASON_NONE);
}
END_TEST

START_TEST(f3_only_while_time_remains)
{
	struct exchange_answer a = { .status = 401 };
	struct exchange x = fresh();

	ck_assert(exchange_may_send(&x, &before));
	ck_assert(!exchange_may_send(&x, &after));
	ck_assert_int_eq(exchange_answered(&x, &a, &after), EXCHANGE_FINAL_401);
	ck_assert_int_eq(exchange_spent(&x, &after), REASON_RECOVERY_TIMEOUT);
	x.sends = 0;
	ck_assert(!exchange_may_send(&x, &after));
}
END_TEST

/* Answers that ask for each recovery, in every order, many times: never more than four sends. */
START_TEST(g2_recoveries_compose)
{
	static const struct exchange_answer kinds[] = {
		{ .status = 401 },
		{ .status = 404, .session_ours = true, .session_lost = true },
		{ .status = 400, .header_mismatch = true },
		{ .status = 307, .location = true, .same_origin = true },
	};
	static const enum exchange_verdict wants[] = { EXCHANGE_REAUTHORIZE,
	    EXCHANGE_RESESSION, EXCHANGE_REHEADER, EXCHANGE_REDIRECT };
	unsigned all_three = 0;

	for (unsigned order = 0; order < 4u << 12; order++) {
		struct exchange x = fresh();
		enum exchange_verdict v = EXCHANGE_RELAY;
		unsigned step, used[4] = { 0 };

		for (step = 0; step < 7; step++) {
			unsigned k = order >> 2 * step & 3;

			v = exchange_answered(&x, &kinds[k], &before);
			if (v != wants[k])
				break;
			used[k]++;
			exchange_sent(&x, v);
		}
		ck_assert_uint_le(x.sends, SENDS_MAX);
		ck_assert_uint_lt(step, 7);
		ck_assert(used[0] <= 1 && used[1] <= 1 && used[2] <= 1);
		all_three += used[0] == 1 && used[1] == 1 && used[2] == 1;
	}
	ck_assert_uint_gt(all_three, 0);
}
END_TEST

START_TEST(g3_sessions_of_clients_go_through)
{
	struct exchange_answer a = { .status = 404, .session_lost = true };
	struct exchange x = fresh();

	ck_assert_int_eq(exchange_answered(&x, &a, &before), EXCHANGE_RELAY);
}
END_TEST

START_TEST(j_403)
{
	struct exchange_answer a = { .status = 403 };
	struct exchange x = fresh();

	ck_assert_int_eq(exchange_answered(&x, &a, &before), EXCHANGE_RELAY);
	a.insufficient_scope = true;
	ck_assert_int_eq(exchange_answered(&x, &a, &before), EXCHANGE_SCOPE);
	a.status = 401;
	ck_assert_int_eq(exchange_answered(&x, &a, &before), EXCHANGE_REAUTHORIZE);
}
END_TEST

START_TEST(redirects)
{
	static const struct {
		int status;
		bool location, same_origin;
		enum exchange_verdict want;
	} t[] = {
		{ 307, true, true, EXCHANGE_REDIRECT },
		{ 308, true, true, EXCHANGE_REDIRECT },
		{ 307, true, false, EXCHANGE_BAD_REDIRECT },
		{ 301, true, true, EXCHANGE_BAD_REDIRECT },
		{ 302, true, true, EXCHANGE_BAD_REDIRECT },
		{ 303, true, true, EXCHANGE_BAD_REDIRECT },
		{ 300, true, false, EXCHANGE_BAD_REDIRECT },
		{ 307, false, false, EXCHANGE_RELAY },
		{ 300, false, false, EXCHANGE_RELAY },
		{ 304, true, true, EXCHANGE_RELAY },
		{ 201, true, true, EXCHANGE_RELAY },
	};
	struct exchange x = fresh();

	for (size_t i = 0; i < nitems(t); i++) {
		struct exchange_answer a = { .status = t[i].status, .location = t[i].location,
		    .same_origin = t[i].same_origin };

		ck_assert_int_eq(exchange_answered(&x, &a, &before), t[i].want);
	}
	x.held = false;
	ck_assert_int_eq(exchange_answered(&x, &(struct exchange_answer){ .status = 307,
	    .location = true, .same_origin = true }, &before), EXCHANGE_BAD_REDIRECT);
}
END_TEST

START_TEST(everything_else_is_relayed)
{
	struct exchange x = fresh();

	for (int code = 200; code < 600; code++)
		if (code != 401)
			ck_assert_int_eq(status(&x, code), EXCHANGE_RELAY);
}
END_TEST

int
main(void)
{
	TCase *tc = tcase_create("exchange");
	Suite *suite = suite_create("exchange");
	SRunner *runner;
	int failed;

	tcase_add_test(tc, e3_one_401_retry);
	tcase_add_test(tc, e4_nothing_relayed_and_body_held);
	tcase_add_test(tc, f3_only_while_time_remains);
	tcase_add_test(tc, g2_recoveries_compose);
	tcase_add_test(tc, g3_sessions_of_clients_go_through);
	tcase_add_test(tc, j_403);
	tcase_add_test(tc, redirects);
	tcase_add_test(tc, everything_else_is_relayed);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
