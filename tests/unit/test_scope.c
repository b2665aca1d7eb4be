/* lib/scope: sets of words (RFC 6749 section 3.3; WIRE A11). */
#include <check.h>

#include "scope.h"

static const struct {
	const char	*a, *b, *sum;
} unions[] = {
	{ NULL, NULL, "" },
	{ "", "", "" },
	{ "a", NULL, "a" },
	{ NULL, "a", "a" },
	{ "a b", "b c", "a b c" },
	{ "b a", "a b", "b a" },
	{ "a a  a ", " a", "a" },
	{ "read", "reader re", "read reader re" },
	{ " files:read  files:write ", "FILES:READ", "files:read files:write FILES:READ" }
};

/* A11 */
START_TEST(a11_union)
{
	struct buf b = BUF_INIT(0);

	buf_adds(&b, "<");
	ck_assert_int_eq(scope_union(&b, unions[_i].a, unions[_i].b), 0);
	ck_assert_str_eq(b.p + 1, unions[_i].sum);
	ck_assert(scope_contains(b.p + 1, unions[_i].a) && scope_contains(b.p + 1, unions[_i].b));
	buf_free(&b);
}
END_TEST

START_TEST(test_contains)
{
	ck_assert(scope_contains(NULL, NULL) && scope_contains("", NULL));
	ck_assert(scope_contains(NULL, " "));
	ck_assert(scope_contains("a b c", "c a") && scope_contains("a", "a a"));
	ck_assert(!scope_contains(NULL, "a") && !scope_contains("", "a"));
	ck_assert(!scope_contains("ab", "a") && !scope_contains("a", "ab"));
	ck_assert(!scope_contains("a b", "a c") && !scope_contains("A", "a"));
}
END_TEST

START_TEST(test_valid)
{
	char long_one[SCOPE_BYTES + 2];

	ck_assert(scope_valid("") && scope_valid("a") && scope_valid("!#[]~ https://h/x.y a:b"));
	ck_assert(!scope_valid("a\"b") && !scope_valid("a\\b") && !scope_valid("a\tb"));
	ck_assert(!scope_valid("a\x7f") && !scope_valid("\xc3\xa9") && !scope_valid("a\nb"));
	memset(long_one, 'x', sizeof(long_one));
	long_one[SCOPE_BYTES] = '\0';
	ck_assert(scope_valid(long_one));
	long_one[SCOPE_BYTES] = 'x';
	long_one[SCOPE_BYTES + 1] = '\0';
	ck_assert(!scope_valid(long_one));
}
END_TEST

/* Too much is said, and nothing is left behind. */
START_TEST(test_ceiling)
{
	struct buf b = BUF_INIT(0);
	char a[SCOPE_BYTES + 2];

	memset(a, 'x', sizeof(a));
	a[SCOPE_BYTES] = '\0';
	ck_assert_int_eq(scope_union(&b, a, "y"), -EMSGSIZE);
	ck_assert_int_eq(scope_union(&b, a, a), 0);
	ck_assert_uint_eq(b.len, SCOPE_BYTES);
	buf_reset(&b);
	a[SCOPE_BYTES] = ' ';
	a[SCOPE_BYTES + 1] = '\0';
	ck_assert_int_eq(scope_union(&b, a, NULL), -EMSGSIZE);
	ck_assert_int_eq(scope_union(&b, NULL, a), -EMSGSIZE);
	ck_assert_uint_eq(b.len, 0);
	b.max = 3;
	ck_assert_int_eq(scope_union(&b, "ab", "cd"), -EMSGSIZE);
	ck_assert_uint_eq(b.len, 0);
	buf_free(&b);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("scope");
	TCase *tc = tcase_create("scope");
	SRunner *sr;
	int failed;

	tcase_add_loop_test(tc, a11_union, 0, nitems(unions));
	tcase_add_test(tc, test_contains);
	tcase_add_test(tc, test_valid);
	tcase_add_test(tc, test_ceiling);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
