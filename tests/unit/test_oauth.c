/* lib/oauth: form encoding and the refresh request (contract C9; RFC 6749 2.3.1, 6). */
#include <check.h>

#include "oauth.h"

static struct record base = {
	.name = (char []){ "n" }, .url = (char []){ "https://h/" },
	.access_token = (char []){ "at" },
	.refresh_token = (char []){ "r+t/ =&" },
	.resource = (char []){ "https://h/mcp?a=b" },
	.scope = (char []){ "never sent" }
};

static struct buf body, authorization;

static void
setup(void)
{
	body = BUF_SECRET(0);
	authorization = BUF_SECRET(0);
}

static void
teardown(void)
{
	buf_free(&body);
	buf_free(&authorization);
}

static const char *
text(const struct buf *b)
{
	return b->p != NULL ? b->p : "";
}

#define GRANT	"grant_type=refresh_token&refresh_token=r%2Bt%2F+%3D%26"
#define RESOURCE "&resource=https%3A%2F%2Fh%2Fmcp%3Fa%3Db"

START_TEST(test_form)
{
	ck_assert_int_eq(oauth_form(&body, "AZaz09-._* ~+&=%/\xc3\xa9\n"), 0);
	ck_assert_str_eq(body.p, "AZaz09-._*+%7E%2B%26%3D%25%2F%C3%A9%0A");
	buf_reset(&body);
	ck_assert_int_eq(oauth_form(&body, ""), 0);
	ck_assert_uint_eq(body.len, 0);
}
END_TEST

START_TEST(test_public)
{
	struct record rec = base;

	ck_assert_int_eq(oauth_refresh_request(&rec, &body, &authorization), 0);
	ck_assert_str_eq(body.p, GRANT RESOURCE);
	ck_assert_str_eq(text(&authorization), "");
}
END_TEST

START_TEST(test_public_with_id)
{
	struct record rec = base;

	rec.client_id = (char []){ "an id" };
	rec.resource = NULL;
	ck_assert_int_eq(oauth_refresh_request(&rec, &body, &authorization), 0);
	ck_assert_str_eq(body.p, GRANT "&client_id=an+id");
	ck_assert_str_eq(text(&authorization), "");
}
END_TEST

/* The secret of a client that says "none" stays here. */
START_TEST(test_none)
{
	struct record rec = base;

	rec.client_id = (char []){ "id" };
	rec.client_secret = (char []){ "hush" };
	rec.auth_method = (char []){ "none" };
	ck_assert_int_eq(oauth_refresh_request(&rec, &body, &authorization), 0);
	ck_assert_str_eq(body.p, GRANT RESOURCE "&client_id=id");
	ck_assert_str_eq(text(&authorization), "");
}
END_TEST

START_TEST(test_post)
{
	struct record rec = base;

	rec.client_id = (char []){ "id" };
	rec.client_secret = (char []){ "s&t" };
	rec.auth_method = (char []){ "client_secret_post" };
	ck_assert_int_eq(oauth_refresh_request(&rec, &body, &authorization), 0);
	ck_assert_str_eq(body.p, GRANT RESOURCE "&client_id=id&client_secret=s%26t");
	ck_assert_str_eq(text(&authorization), "");
}
END_TEST

/* Checked against coreutils' base64; the three lengths of padding. */
static const struct {
	const char	*id, *secret, *basic;
} basics[] = {
	{ "a:b", "p@s s", "Basic YSUzQWI6cCU0MHMrcw==" },	/* a%3Ab:p%40s+s */
	{ "id", "sec", "Basic aWQ6c2Vj" },			/* id:sec */
	{ "id", "secr", "Basic aWQ6c2Vjcg==" },
	{ "id", "secre", "Basic aWQ6c2VjcmU=" }
};

START_TEST(test_basic)
{
	struct record rec = base;
	char id[16], secret[16];

	rec.client_id = strcpy(id, basics[_i / 2].id);
	rec.client_secret = strcpy(secret, basics[_i / 2].secret);
	/* Named, and by default. */
	rec.auth_method = _i % 2 ? (char []){ "client_secret_basic" } : NULL;
	ck_assert_int_eq(oauth_refresh_request(&rec, &body, &authorization), 0);
	ck_assert_str_eq(body.p, GRANT RESOURCE);
	ck_assert_str_eq(authorization.p, basics[_i / 2].basic);
}
END_TEST

START_TEST(test_refused)
{
	struct record rec = base;

	rec.auth_method = (char []){ "private_key_jwt" };
	ck_assert_int_eq(oauth_refresh_request(&rec, &body, &authorization), -ENOTSUP);
	rec.auth_method = (char []){ "client_secret_basic" };
	ck_assert_int_eq(oauth_refresh_request(&rec, &body, &authorization), -EINVAL);
	rec.client_id = (char []){ "id" };
	ck_assert_int_eq(oauth_refresh_request(&rec, &body, &authorization), -EINVAL);
	rec = base;
	rec.refresh_token = NULL;
	ck_assert_int_eq(oauth_refresh_request(&rec, &body, &authorization), -EINVAL);
	ck_assert_str_eq(text(&authorization), "");
}
END_TEST

/* A full buffer is reported, whatever it is filled with. */
START_TEST(test_ceiling)
{
	struct record rec = base;
	struct buf small;
	size_t max;

	rec.client_id = (char []){ "id" };
	rec.client_secret = (char []){ "s" };
	for (max = 1; max < strlen(GRANT RESOURCE); max++) {
		small = BUF_SECRET(max);
		ck_assert_int_eq(oauth_refresh_request(&rec, &small, &authorization), -EMSGSIZE);
		buf_free(&small);
	}
	for (max = 1; max < strlen("Basic aWQ6cw=="); max++) {
		small = BUF_SECRET(max);
		buf_reset(&body);
		ck_assert_int_eq(oauth_refresh_request(&rec, &body, &small), -EMSGSIZE);
		buf_free(&small);
	}
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("oauth");
	TCase *tc = tcase_create("oauth");
	SRunner *sr;
	int failed;

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, test_form);
	tcase_add_test(tc, test_public);
	tcase_add_test(tc, test_public_with_id);
	tcase_add_test(tc, test_none);
	tcase_add_test(tc, test_post);
	tcase_add_loop_test(tc, test_basic, 0, 2 * nitems(basics));
	tcase_add_test(tc, test_refused);
	tcase_add_test(tc, test_ceiling);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
