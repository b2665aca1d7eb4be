/* Ten seconds of linestorm.h; tests/soak/soak_lines is the same for longer.  STORM_SEED repeats one. */
#include <check.h>
#include <stdio.h>

#include "linestorm.h"
#include "support.h"

START_TEST(storm)
{
	const char *seed = getenv("STORM_SEED");

	linestorm(10, 12, seed != NULL ? (unsigned)atol(seed) : (unsigned)now_ms());
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("line_storm");
	TCase *tc = tcase_create("storm");
	SRunner *sr;
	int failed;

	setvbuf(stdout, NULL, _IOLBF, 0);
	tcase_set_timeout(tc, 150);
	tcase_add_test(tc, storm);
	suite_add_tcase(suite, tc);
	sr = srunner_create(suite);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
