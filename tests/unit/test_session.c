/* A session that the daemon owns: contract G1. */
#include <check.h>

#include "session.h"

#define OLD	"2025-06-18"
#define CAPS	(SESSION_TOOLS | SESSION_TOOLS_CHANGED)

static struct session
open_session(void)
{
	struct session s = { 0 };
	unsigned actions;

	ck_assert_int_eq(session_opened(&s, slice_of(OLD), CAPS), 0);
	ck_assert_int_eq(session_step(&s, SESSION_INITIALIZED, &actions), 0);
	ck_assert_uint_eq(actions, 0);
	ck_assert_int_eq(s.state, SESSION_OPEN);
	return s;
}

static unsigned
step(struct session *s, enum session_event event)
{
	unsigned actions = ~0u;

	ck_assert_int_eq(session_step(s, event, &actions), 0);
	return actions;
}

START_TEST(every_cell_is_written)
{
	for (int i = 0; i < SESSION_STATES; i++)
		for (int j = 0; j < SESSION_EVENTS; j++)
			ck_assert_uint_ne(session_grid[i][j].kind, 0);
}
END_TEST

START_TEST(g1_begun_anew_once_for_all)
{
	struct session s = open_session();
	unsigned epoch = s.epoch;

	/* Three exchanges of one session lose it: one initialize. */
	ck_assert_uint_eq(step(&s, session_saw_lost(&s, epoch)),
	    SESSION_DO_INITIALIZE | SESSION_DO_JOIN);
	ck_assert_uint_eq(step(&s, session_saw_lost(&s, epoch)), SESSION_DO_JOIN);
	ck_assert_uint_eq(step(&s, session_saw_initialize(&s, slice_of(OLD), CAPS | SESSION_LOGGING)),
	    SESSION_DO_CONFIRM);
	ck_assert_uint_eq(s.epoch, epoch + 1);
	ck_assert_uint_eq(step(&s, session_saw_lost(&s, epoch)), SESSION_DO_JOIN);
	ck_assert_uint_eq(step(&s, SESSION_CONFIRMED), SESSION_DO_RESEND_ALL | SESSION_DO_CHANGED);
	/* A fourth hears of it late: it is sent again, nothing begins. */
	ck_assert_uint_eq(step(&s, session_saw_lost(&s, epoch)), SESSION_DO_RESEND);
	ck_assert_int_eq(s.state, SESSION_OPEN);
}
END_TEST

START_TEST(g1_another_session_is_not_passed_off)
{
	static const struct { const char *version; unsigned caps; enum session_event want; } t[] = {
		{ OLD, CAPS, SESSION_SAME },
		{ OLD, CAPS | SESSION_OTHERS, SESSION_SAME },
		{ OLD, SESSION_TOOLS, SESSION_OTHER },
		{ OLD, 0, SESSION_OTHER },
		{ "2025-03-26", CAPS, SESSION_OTHER },
		{ "", CAPS, SESSION_OTHER },
	};

	for (size_t i = 0; i < nitems(t); i++) {
		struct session s = open_session();

		step(&s, SESSION_LOST);
		ck_assert_int_eq(session_saw_initialize(&s, slice_of(t[i].version), t[i].caps),
		    t[i].want);
		if (t[i].want == SESSION_SAME)
			continue;
		ck_assert_uint_eq(step(&s, SESSION_OTHER), SESSION_DO_CLOSE);
		ck_assert_int_eq(s.state, SESSION_BROKEN);
		ck_assert_uint_eq(step(&s, session_saw_lost(&s, s.epoch)), SESSION_DO_CLOSE);
	}
}
END_TEST

START_TEST(g1_refused)
{
	struct session s = open_session();

	step(&s, SESSION_LOST);
	ck_assert_uint_eq(step(&s, SESSION_REFUSED), SESSION_DO_FAIL | SESSION_DO_BACKOFF);
	ck_assert_int_eq(s.state, SESSION_ABSENT);
	s = open_session();
	step(&s, SESSION_LOST);
	step(&s, SESSION_SAME);
	ck_assert_uint_eq(step(&s, SESSION_REFUSED), SESSION_DO_FAIL | SESSION_DO_BACKOFF);
	ck_assert_int_eq(s.state, SESSION_ABSENT);
}
END_TEST

/* Lost before it was confirmed: whoever waited fails, the next message tries again, one try at a time. */
START_TEST(g1_lost_twice)
{
	struct session s = open_session();
	unsigned epoch = s.epoch;

	step(&s, SESSION_LOST);
	step(&s, SESSION_SAME);
	ck_assert_uint_eq(step(&s, session_saw_lost(&s, s.epoch)),
	    SESSION_DO_FAIL | SESSION_DO_BACKOFF);
	ck_assert_int_eq(s.state, SESSION_ABSENT);
	ck_assert(!session_is_current(&s, s.epoch));
	/* Whoever hears of it late does not make the next one wait longer. */
	ck_assert_uint_eq(step(&s, session_saw_lost(&s, epoch)), SESSION_DO_FAIL);
	ck_assert_uint_eq(step(&s, SESSION_WANTED), SESSION_DO_INITIALIZE | SESSION_DO_JOIN);
	ck_assert_uint_eq(step(&s, SESSION_WANTED), SESSION_DO_JOIN);
	ck_assert_uint_eq(step(&s, SESSION_SAME), SESSION_DO_CONFIRM);
	ck_assert_uint_eq(step(&s, SESSION_WANTED), SESSION_DO_JOIN);
	ck_assert_uint_eq(step(&s, SESSION_CONFIRMED), SESSION_DO_RESEND_ALL | SESSION_DO_CHANGED);
	/* The client may begin anew by itself, too. */
	step(&s, SESSION_LOST);
	step(&s, SESSION_REFUSED);
	ck_assert_uint_eq(step(&s, SESSION_INITIALIZED), 0);
	ck_assert_int_eq(s.state, SESSION_OPEN);
}
END_TEST

START_TEST(g1_answers_to_the_dead_are_dropped)
{
	struct session s = open_session();
	unsigned epoch = s.epoch;

	ck_assert(session_is_current(&s, epoch));
	step(&s, SESSION_LOST);
	ck_assert(!session_is_current(&s, epoch));
	step(&s, SESSION_SAME);
	ck_assert(!session_is_current(&s, epoch));
	ck_assert(session_is_current(&s, s.epoch));
}
END_TEST

START_TEST(g1_what_counts_as_lost)
{
	static const struct { int status; const char *message; bool want; } t[] = {
		{ 404, NULL, true }, { 404, "x", true },
		{ 400, "Session not found", true }, { 400, "no such session", true },
		{ 410, "SESSION expired", true }, { 410, "gone", false },
		{ 400, "Bad Request", false }, { 400, NULL, false }, { 400, "", false },
		{ 400, "sessio", false }, { 401, "session", false }, { 500, "session", false },
	};

	for (size_t i = 0; i < nitems(t); i++)
		ck_assert_int_eq(session_is_lost(t[i].status, slice_of(t[i].message)), t[i].want);
}
END_TEST

START_TEST(impossible_events_change_nothing)
{
	struct session s = { 0 };
	unsigned actions = 77;

	ck_assert_int_eq(session_step(&s, SESSION_CONFIRMED, &actions), -EPROTO);
	ck_assert_int_eq(s.state, SESSION_NONE);
	ck_assert_uint_eq(actions, 77);
	ck_assert_int_eq(session_opened(&s,
	    slice_of("a protocol version much longer than any that there could be"), 0), -EINVAL);
	ck_assert_uint_eq(s.epoch, 0);
}
END_TEST

int
main(void)
{
	TCase *tc = tcase_create("session");
	Suite *suite = suite_create("session");
	SRunner *runner;
	int failed;

	tcase_add_test(tc, every_cell_is_written);
	tcase_add_test(tc, g1_begun_anew_once_for_all);
	tcase_add_test(tc, g1_another_session_is_not_passed_off);
	tcase_add_test(tc, g1_refused);
	tcase_add_test(tc, g1_lost_twice);
	tcase_add_test(tc, g1_answers_to_the_dead_are_dropped);
	tcase_add_test(tc, g1_what_counts_as_lost);
	tcase_add_test(tc, impossible_events_change_nothing);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
