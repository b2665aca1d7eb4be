#include <stdio.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <check.h>

#include "scripted.h"

int	clock_gettime(clockid_t, struct timespec *);

/* What the kernel would add to boot time after a suspend. */
static int64_t slept;

int
clock_gettime(clockid_t id, struct timespec *ts)
{
	int r = (int)syscall(SYS_clock_gettime, id, ts);

	if (id == CLOCK_BOOTTIME)
		ts->tv_sec += slept;
	return r;
}

static struct loop *loop;
static char trace[64];
static bool done;

static void
mark(void *arg)
{
	strcat(trace, arg);
}

static void
mark_and_defer(void *arg)
{
	static char b[] = "b";

	mark(arg);
	loop_defer(loop, mark, b);
}

static void
finish(_unused_ void *arg)
{
	done = true;
	loop_stop(loop);
}

START_TEST(deferred_in_order)
{
	static char a[] = "a", c[] = "c", x[] = "x";

	loop_defer(loop, mark_and_defer, a);
	loop_defer(loop, mark, x);
	loop_defer(loop, mark, c);
	loop_undefer(loop, x);
	ck_assert_str_eq(trace, "");
	loop_defer(loop, finish, NULL);
	run_until(loop, &done);
	ck_assert_str_eq(trace, "acb");
}
END_TEST

START_TEST(many_deferred)
{
	static char a[] = "";
	int i;

	for (i = 0; i < 5000; i++)
		loop_defer(loop, mark, a);
	loop_defer(loop, finish, NULL);
	run_until(loop, &done);
}
END_TEST

static struct timer first, second;

static void
first_fired(_unused_ void *arg)
{
	strcat(trace, "1");
	ck_assert_int_eq(first.at, 0);
}

static void
second_fired(_unused_ void *arg)
{
	strcat(trace, "2");
	finish(NULL);
}

START_TEST(timers)
{
	struct timer never;
	int64_t before = loop_now(loop).boot;

	timer_init(&first, loop, first_fired, NULL);
	timer_init(&second, loop, second_fired, NULL);
	timer_init(&never, loop, first_fired, NULL);
	timer_set(&second, 5);
	timer_set(&first, 0);
	timer_set(&never, 10);
	timer_clear(&never);
	timer_clear(&never);
	timer_set(&second, 50);
	run_until(loop, &done);
	ck_assert_str_eq(trace, "12");
	ck_assert_int_ge(loop_now(loop).boot - before, 50);
	ck_assert_int_lt(loop_now(loop).boot - before, 1000);
}
END_TEST

static void
resumed(void *arg)
{
	strcat(trace, arg);
}

static void
suspend(_unused_ void *arg)
{
	slept = 61;
}

static void
fail_if_called(_unused_ void *arg)
{
	ck_abort_msg("called");
}

START_TEST(suspended)
{
	static char r[] = "r", x[] = "x";
	struct timer sleeper, waker, later;

	loop_on_resume(loop, resumed, r);
	loop_on_resume(loop, resumed, x);
	loop_off_resume(loop, x);
	timer_init(&sleeper, loop, suspend, NULL);
	timer_init(&waker, loop, first_fired, NULL);
	timer_init(&second, loop, second_fired, NULL);
	timer_init(&later, loop, fail_if_called, NULL);
	timer_set(&second, 60 * SEC);
	timer_set(&later, 90 * SEC);
	timer_set(&sleeper, 1);
	timer_set(&waker, 30);
	/* run_until()'s own deadline passes in the same suspend; its callback comes before or after. */
	while (!done)
		loop_run(loop);
	ck_assert_str_eq(trace, "1r2");
	ck_assert_int_ne(later.at, 0);
	timer_clear(&later);
}
END_TEST

static struct now seen;

static void
look(_unused_ void *arg)
{
	struct now now = loop_now(loop);

	usleep(3000);
	/* One turn, one time. */
	ck_assert_int_eq(loop_now(loop).boot, now.boot);
	ck_assert_int_eq(loop_now(loop).wall, now.wall);
	seen = now;
	finish(NULL);
}

START_TEST(clocks)
{
	struct now before = loop_now(loop);

	timer_init(&first, loop, look, NULL);
	timer_set(&first, 20);
	run_until(loop, &done);
	/* Read after the wait, not before it. */
	ck_assert_int_ge(seen.boot, before.boot + 20);
	ck_assert_int_ge(loop_now(loop).boot, seen.boot + 3);
	ck_assert_int_lt(llabs((long long)time(NULL) - seen.wall / SEC), 5);
}
END_TEST

static void
setup(void)
{
	loop = loop_new();
	ck_assert_ptr_nonnull(loop);
}

static void
teardown(void)
{
	loop_free(loop);
}

int
main(void)
{
	Suite *s = suite_create("loop");
	TCase *tc = tcase_create("loop");
	SRunner *r;
	int failed;

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, deferred_in_order);
	tcase_add_test(tc, many_deferred);
	tcase_add_test(tc, timers);
	tcase_add_test(tc, suspended);
	tcase_add_test(tc, clocks);
	suite_add_tcase(s, tc);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
