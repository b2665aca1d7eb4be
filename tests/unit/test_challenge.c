/* lib/challenge: WWW-Authenticate values as they occur (WIRE A2). */
#include <check.h>

#include "bounds.h"
#include "challenge.h"
#include "guarded.h"

static const struct {
	const char	*value;
	int		 r;
	bool		 bearer;
	const char	*error, *scope, *metadata;
} cases[] = {
	{ "", 0, false, NULL, NULL, NULL },
	{ " , ,", 0, false, NULL, NULL, NULL },
	{ "Bearer", 0, true, NULL, NULL, NULL },
	{ "bEaReR ", 0, true, NULL, NULL, NULL },
	{ "Bearerx error=a", 0, false, NULL, NULL, NULL },
	{ "Bearer error=\"invalid_token\"", 0, true, "invalid_token", NULL, NULL },
	{ "Bearer error=invalid_token", 0, true, "invalid_token", NULL, NULL },
	{ "Bearer realm=\"x, error=no\", ERROR = \"a\" ,\tScope\t=\t\"b c\"",
	    0, true, "a", "b c", NULL },
	{ "Bearer resource_metadata=\"https://h/.well-known/oauth-protected-resource/mcp\"",
	    0, true, NULL, NULL, "https://h/.well-known/oauth-protected-resource/mcp" },
	{ "Bearer resource_metadata=https://h/p?a=b, scope=x",
	    0, true, NULL, "x", "https://h/p?a=b" },
	{ "Bearer realm=\"a\" error=\"b\" scope=\"c\"", 0, true, "b", "c", NULL },
	{ "Basic realm=\"a\", Bearer error=\"b\"", 0, true, "b", NULL, NULL },
	{ "Bearer error=\"b\", Basic error=\"c\", scope=\"d\"", 0, true, "b", NULL, NULL },
	{ "Negotiate YII/+abc==, Bearer scope=\"s\"", 0, true, NULL, "s", NULL },
	{ "Negotiate, Bearer scope=\"s\"", 0, true, NULL, "s", NULL },
	{ "DPoP algs=\"ES256\", error=\"no\", Bearer error=\"yes\"", 0, true, "yes", NULL, NULL },
	{ "Basic error=\"b\"", 0, false, NULL, NULL, NULL },
	{ "Bearer abc=", 0, true, NULL, NULL, NULL },
	{ "Bearer error=", 0, true, NULL, NULL, NULL },
	{ "Bearer error=\"\", scope=\"s\"", 0, true, NULL, "s", NULL },
	{ "Bearer error=\"a\", error=\"b\"", 0, true, "a", NULL, NULL },
	{ "Bearer error=\"a\", Bearer error=\"b\", scope=\"c\"", 0, true, "a", "c", NULL },
	{ "Bearer ,error=\"a\",,scope=b,", 0, true, "a", "b", NULL },
	/* quoted pairs */
	{ "Bearer error=\"\\i\\n\\v\"", 0, true, "inv", NULL, NULL },
	{ "Bearer realm=\"\\\", error=\\\"x\", scope=\"s\"", 0, true, NULL, "s", NULL },
	{ "Bearer realm=\"\\\\\", scope=\"s\"", 0, true, NULL, "s", NULL },
	/* what RFC 6750 does not allow in a value of ours is as if absent */
	{ "Bearer error=\"a\\\"b\", scope=\"s\"", 0, true, NULL, "s", NULL },
	{ "Bearer error=\"\xc3\xa9\", scope=\"s\"", 0, true, NULL, "s", NULL },
	{ "Bearer error=\"a\tb\", scope=\"s\"", 0, true, NULL, "s", NULL },
	/* void */
	{ "Bearer error=\"invalid_token", -EBADMSG, false, NULL, NULL, NULL },
	{ "Bearer error=\"a\", scope=\"b", -EBADMSG, false, NULL, NULL, NULL },
	{ "Bearer error=\"a\", scope=\"b\\\"", -EBADMSG, false, NULL, NULL, NULL },
	{ "Bearer error=\"a\\", -EBADMSG, false, NULL, NULL, NULL },
	{ "Bearer error=a\"b\"", -EBADMSG, false, NULL, NULL, NULL },
	{ "Bearer error=\"a\x01\"", -EBADMSG, false, NULL, NULL, NULL },
	{ "Bearer error=\"a\x7f\"", -EBADMSG, false, NULL, NULL, NULL },
	{ "error=\"a\"", -EBADMSG, false, NULL, NULL, NULL },
	{ "=", -EBADMSG, false, NULL, NULL, NULL },
	{ "Bearer error=\"a\"; scope=b", -EBADMSG, false, NULL, NULL, NULL },
	{ "(Bearer)", -EBADMSG, false, NULL, NULL, NULL },
};

static void
expect(const char *got, const char *want)
{
	if (want == NULL)
		ck_assert_msg(got == NULL, "%s", got);
	else
		ck_assert_str_eq(got, want);
}

START_TEST(test_case)
{
	struct challenge	c = { 0 };
	size_t			n = strlen(cases[_i].value);

	ck_assert_msg(challenge_add(&c, guarded(cases[_i].value, n), n) == cases[_i].r,
	    "%s", cases[_i].value);
	ck_assert_msg(c.bearer == cases[_i].bearer, "%s", cases[_i].value);
	expect(c.error, cases[_i].error);
	expect(c.scope, cases[_i].scope);
	expect(c.resource_metadata, cases[_i].metadata);
	challenge_free(&c);
	challenge_free(&c);
}
END_TEST

static int
add(struct challenge *c, const char *value)
{
	return challenge_add(c, value, strlen(value));
}

START_TEST(test_several_values)
{
	struct challenge	c = { 0 };

	ck_assert_int_eq(add(&c, "Basic realm=\"x\""), 0);
	ck_assert(!c.bearer);
	ck_assert_int_eq(add(&c, "Bearer scope=\"a\""), 0);
	ck_assert_int_eq(add(&c, "Bearer error=\"no"), -EBADMSG);
	ck_assert_ptr_null(c.error);
	ck_assert_int_eq(add(&c, "Bearer error=\"insufficient_scope\", scope=\"b\""), 0);
	ck_assert(c.bearer);
	ck_assert_str_eq(c.scope, "a");
	ck_assert_str_eq(c.error, "insufficient_scope");
	challenge_free(&c);
}
END_TEST

START_TEST(test_bounds)
{
	struct challenge	 c = { 0 };
	size_t			 n = CHALLENGE_BYTES + 1;
	char			*value = malloc(n);

	memset(value, 'a', n);
	memcpy(value, "Bearer error=\"", 14);
	value[n - 2] = '"';
	ck_assert_int_eq(challenge_add(&c, value, n), -EMSGSIZE);
	ck_assert(!c.bearer);
	ck_assert_int_eq(challenge_add(&c, value, n - 1), 0);
	ck_assert_uint_eq(strlen(c.error), n - 16);
	ck_assert_int_eq(challenge_add(&c, "Bearer error=\"a\0b\"", 18), -EBADMSG);
	challenge_free(&c);
	free(value);
}
END_TEST

/* Every cut is either void or says no more than the whole. */
START_TEST(test_cut)
{
	struct challenge	c = { 0 };
	const char		*value = cases[_i].value;
	size_t			 n;

	for (n = 0; n <= strlen(value); n++) {
		if (challenge_add(&c, guarded(value, n), n) < 0)
			ck_assert(!c.bearer && c.error == NULL && c.scope == NULL);
		challenge_free(&c);
	}
}
END_TEST

int
main(void)
{
	Suite	*s = suite_create("challenge");
	TCase	*t = tcase_create("challenge");
	SRunner	*r = srunner_create(s);
	int	 failed;

	tcase_add_loop_test(t, test_case, 0, nitems(cases));
	tcase_add_loop_test(t, test_cut, 0, nitems(cases));
	tcase_add_test(t, test_several_values);
	tcase_add_test(t, test_bounds);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
