/* tests/integration/linestorm.h for SOAK_SECONDS (60), with SOAK_CLIENTS (32) and SOAK_SEED (the clock's). */
#include <check.h>
#include <stdio.h>

#include "../integration/linestorm.h"
#include "support.h"

static int64_t
from_env(const char *name, int64_t otherwise)
{
	const char *text = getenv(name);

	return text != NULL ? strtoll(text, NULL, 10) : otherwise;
}

START_TEST(storm)
{
	linestorm((int)from_env("SOAK_SECONDS", 60), (int)from_env("SOAK_CLIENTS", 32),
	    (unsigned)from_env("SOAK_SEED", now_ms()));
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("soak_lines");
	TCase *tc = tcase_create("storm");
	SRunner *sr;
	int failed;

	setvbuf(stdout, NULL, _IOLBF, 0);
	tcase_set_timeout(tc, (double)from_env("SOAK_SECONDS", 60) + 200);
	tcase_add_test(tc, storm);
	suite_add_tcase(suite, tc);
	sr = srunner_create(suite);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
