#include <check.h>

#include "when.h"

START_TEST(words)
{
	static const struct { int64_t seconds; const char *words; } t[] = {
		{ 0, "now" }, { 1, "in 1 s" }, { -1, "1 s ago" }, { 119, "in 119 s" },
		{ 120, "in 2 min" }, { -7199, "119 min ago" }, { 7200, "in 2 h" },
		{ 48 * 3600 - 1, "in 47 h" }, { -48 * 3600, "2 days ago" },
		{ INT64_MAX, "in 106751991167300 days" }, { INT64_MIN, "106751991167300 days ago" },
	};
	char out[WHEN_BYTES];

	for (size_t i = 0; i < nitems(t); i++)
		ck_assert_str_eq(when_words(t[i].seconds, out), t[i].words);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("when");
	TCase *tc = tcase_create("when");
	SRunner *r;
	int failed;

	tcase_add_test(tc, words);
	suite_add_tcase(s, tc);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
