/* lib/buf: growth, ceilings, wiping, JSON text, text for logs. */
#include <cjson/cJSON.h>
#include <openssl/crypto.h>

#include <check.h>
#include <stdio.h>

#include "buf.h"

const char	*__asan_default_options(void);

/* An allocation that cannot succeed is to return NULL here too. */
const char *
__asan_default_options(void)
{
	return "allocator_may_return_null=1";
}

/* Stands in for libcrypto's and remembers what it was asked to wipe. */
static struct {
	const void	*p;
	size_t		 n;
} wiped[16];
static size_t	nwiped;

void
OPENSSL_cleanse(void *p, size_t n)
{
	memset(p, 0, n);
	ck_assert_uint_lt(nwiped, nitems(wiped));
	wiped[nwiped].p = p;
	wiped[nwiped++].n = n;
}

static bool
was_wiped(const void *p, size_t n)
{
	size_t	i;

	for (i = 0; i < nwiped; i++)
		if (wiped[i].p == p && wiped[i].n >= n)
			return true;
	return false;
}

static bool
is_zero(const char *p, size_t n)
{
	size_t	i;

	for (i = 0; i < n && p[i] == 0; i++)
		;
	return i == n;
}

START_TEST(test_add)
{
	struct buf	b = BUF_INIT(0);
	size_t		i;

	ck_assert_int_eq(buf_adds(&b, ""), 0);
	ck_assert_str_eq(b.p, "");
	ck_assert_int_eq(buf_adds(&b, "ab"), 0);
	ck_assert_int_eq(buf_add(&b, "c\0d", 3), 0);
	ck_assert_int_eq(buf_addslice(&b, (struct slice){ NULL, 0 }), 0);
	ck_assert_int_eq(buf_addslice(&b, (struct slice){ "efg", 2 }), 0);
	ck_assert_uint_eq(b.len, 7);
	ck_assert(memcmp(b.p, "abc\0def", 8) == 0);
	for (i = 0; i < 10000; i++)
		ck_assert_int_eq(buf_addf(&b, "%zu,", i % 10), 0);
	ck_assert_uint_eq(b.len, 20007);
	ck_assert_str_eq(b.p + b.len - 4, "8,9,");
	ck_assert(b.cap < 3 * b.len);
	buf_free(&b);
	buf_free(&b);
	ck_assert(b.p == NULL && b.len == 0 && b.cap == 0);
}
END_TEST

START_TEST(test_ceiling)
{
	struct buf	b = BUF_INIT(10);

	ck_assert_int_eq(buf_adds(&b, "0123456789"), 0);
	ck_assert_uint_le(b.cap, 11);
	ck_assert_int_eq(buf_adds(&b, "x"), -EMSGSIZE);
	ck_assert_int_eq(buf_addf(&b, "%d", 1), -EMSGSIZE);
	ck_assert_int_eq(buf_addjson(&b, "", 0), -EMSGSIZE);
	ck_assert_int_eq(buf_reserve(&b, SIZE_MAX), -EMSGSIZE);
	ck_assert_str_eq(b.p, "0123456789");
	buf_consume(&b, 4);
	ck_assert_int_eq(buf_adds(&b, "abcd"), 0);
	ck_assert_str_eq(b.p, "456789abcd");
	buf_reset(&b);
	ck_assert_uint_eq(b.len, 0);
	ck_assert_str_eq(b.p, "");
	ck_assert_int_eq(buf_addf(&b, "%s", "0123456789a"), -EMSGSIZE);
	ck_assert_str_eq(b.p, "");
	ck_assert_uint_eq(b.max, 10);
	buf_free(&b);
}
END_TEST

/* The spare room of a larger allocation does not lift the ceiling. */
START_TEST(test_ceiling_lowered)
{
	struct buf	b = BUF_INIT(0);

	ck_assert_int_eq(buf_adds(&b, "0123"), 0);
	b.max = 6;
	ck_assert_int_eq(buf_addf(&b, "%s", "456"), -EMSGSIZE);
	ck_assert_int_eq(buf_adds(&b, "456"), -EMSGSIZE);
	ck_assert_str_eq(b.p, "0123");
	b.max = 2;
	ck_assert_int_eq(buf_addf(&b, "%s", ""), -EMSGSIZE);
	buf_free(&b);
	b = BUF_INIT(0);
	ck_assert_int_eq(buf_reserve(&b, (size_t)BUF_MAX_DEFAULT + 1), -EMSGSIZE);
	ck_assert(b.p == NULL);
}
END_TEST

START_TEST(test_no_memory)
{
	struct buf	b = { .max = SIZE_MAX / 2 }, s = { .max = SIZE_MAX / 2, .secret = true };

	ck_assert_int_eq(buf_adds(&b, "x"), 0);
	ck_assert_int_eq(buf_reserve(&b, SIZE_MAX / 4), -ENOMEM);
	ck_assert_str_eq(b.p, "x");
	ck_assert_int_eq(buf_adds(&s, "x"), 0);
	ck_assert_int_eq(buf_reserve(&s, SIZE_MAX / 4), -ENOMEM);
	ck_assert_str_eq(s.p, "x");
	buf_free(&b);
	buf_free(&s);
}
END_TEST

START_TEST(test_addf)
{
	struct buf	b = BUF_INIT(0);
	char		long_text[300];

	memset(long_text, 'y', sizeof(long_text) - 1);
	long_text[sizeof(long_text) - 1] = '\0';
	ck_assert_int_eq(buf_addf(&b, "%s", long_text), 0);
	ck_assert_str_eq(b.p, long_text);
	ck_assert_int_eq(buf_addf(&b, "%.*s|%d", 3, "abcdef", 5), 0);
	ck_assert_str_eq(b.p + 299, "abc|5");
	buf_free(&b);
	/* The last byte that fits without growing. */
	ck_assert_int_eq(buf_addf(&b, "%063d", 1), 0);
	ck_assert_int_eq(buf_addf(&b, "%d", 2), 0);
	ck_assert_uint_eq(b.len, 64);
	ck_assert_str_eq(b.p + 62, "12");
	buf_free(&b);
}
END_TEST

START_TEST(test_secret)
{
	struct buf	 b = BUF_SECRET(1000);
	const char	*old;
	size_t		 cap;

	ck_assert_int_eq(buf_adds(&b, "secret"), 0);
	old = b.p;
	cap = b.cap;
	ck_assert_int_eq(buf_reserve(&b, 500), 0);
	ck_assert_str_eq(b.p, "secret");
	ck_assert(b.p != old && was_wiped(old, cap));
	buf_consume(&b, 4);
	ck_assert_str_eq(b.p, "et");
	ck_assert(is_zero(b.p + 2, 498));
	memcpy(b.p + 10, "behind len", 10);
	buf_reset(&b);
	ck_assert(is_zero(b.p, b.cap));
	nwiped = 0;
	ck_assert_int_eq(buf_adds(&b, "again"), 0);
	old = b.p;
	cap = b.cap;
	buf_free(&b);
	ck_assert(was_wiped(old, cap));
	ck_assert(b.secret && b.max == 1000);
}
END_TEST

START_TEST(test_secret_rollback)
{
	struct buf	b = BUF_SECRET(8);

	ck_assert_int_eq(buf_addf(&b, "%s", "secret and more"), -EMSGSIZE);
	ck_assert_uint_eq(b.len, 0);
	ck_assert(is_zero(b.p, b.cap));
	ck_assert_int_eq(buf_addjson(&b, "secret\n\n", 8), -EMSGSIZE);
	ck_assert_uint_eq(b.len, 0);
	ck_assert(is_zero(b.p, b.cap));
	buf_free(&b);
}
END_TEST

START_TEST(test_not_secret)
{
	struct buf	b = BUF_INIT(0);

	buf_adds(&b, "public");
	buf_reserve(&b, 500);
	buf_free(&b);
	ck_assert_uint_eq(nwiped, 0);
}
END_TEST

START_TEST(test_steal)
{
	struct buf	 b = BUF_SECRET(100);
	char		*p;

	ck_assert_ptr_nonnull(p = buf_steal(&b));
	ck_assert_str_eq(p, "");
	free(p);
	buf_adds(&b, "token");
	memcpy(b.p + 8, "rest", 4);
	p = buf_steal(&b);
	ck_assert_str_eq(p, "token");
	ck_assert(is_zero(p + 5, 20));
	ck_assert(b.p == NULL && b.len == 0 && b.cap == 0 && b.secret);
	nwiped = 0;
	secret_free(p);
	ck_assert(was_wiped(p, 5));
	secret_free(NULL);
	secret_freen(NULL, 5);
	ck_assert_ptr_nonnull(p = strdup("a"));
	secret_freen(p, 2);
	ck_assert(was_wiped(p, 2));
}
END_TEST

static const struct {
	const char	*in, *out;
	size_t		 n;
} json[] = {
	{ "", "\"\"", 0 },
	{ "plain", "\"plain\"", 5 },
	{ "a\"b\\c/", "\"a\\\"b\\\\c/\"", 6 },
	{ "\b\f\n\r\t", "\"\\b\\f\\n\\r\\t\"", 5 },
	{ "\0\x01\x1f\x7f", "\"\\u0000\\u0001\\u001f\x7f\"", 4 },
	{ "J\xc3\xbcrgen \xe2\x82\xac \xf0\x9f\x98\x80",
	    "\"J\xc3\xbcrgen \xe2\x82\xac \xf0\x9f\x98\x80\"", 16 },
	{ "\xff", "\"\xef\xbf\xbd\"", 1 },
	{ "a\xc3", "\"a\xef\xbf\xbd\"", 2 },
	{ "\xc3(", "\"\xef\xbf\xbd(\"", 2 },
	{ "\xc0\x80", "\"\xef\xbf\xbd\xef\xbf\xbd\"", 2 }, /* overlong */
	{ "\xf0\x80", "\"\xef\xbf\xbd\xef\xbf\xbd\"", 2 },
	{ "\xe0\x80\x80", "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"", 3 },
	{ "\xed\xa0\x80", "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"", 3 }, /* surrogate */
	{ "\xf4\x90\x80\x80", "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"", 4 },
	{ "\xf0\x9f\x98x", "\"\xef\xbf\xbdx\"", 4 }, /* one for the start */
	{ "\xf4\x8f\xbf\xbf\xed\x9f\xbf\xee\x80\x80",
	    "\"\xf4\x8f\xbf\xbf\xed\x9f\xbf\xee\x80\x80\"", 10 },
	{ "\x80\x80", "\"\xef\xbf\xbd\xef\xbf\xbd\"", 2 },
};

START_TEST(test_json)
{
	struct buf	 b = BUF_INIT(0);
	char		*exact;

	ck_assert_ptr_nonnull(exact = malloc(json[_i].n + 1));
	memcpy(exact, json[_i].in, json[_i].n);
	exact = realloc(exact, MAX(json[_i].n, 1UL));	/* ASan sees a read too far */
	buf_adds(&b, "x:");
	ck_assert_int_eq(buf_addjson(&b, exact, json[_i].n), 0);
	ck_assert_str_eq(b.p + 2, json[_i].out);
	free(exact);
	buf_free(&b);
}
END_TEST

/* Another parser reads back what we wrote, for every character but NUL. */
START_TEST(test_json_round_trip)
{
	struct buf	 b = BUF_INIT(0);
	char		 text[128];
	cJSON		*v;
	int		 i;

	for (i = 0; i < 127; i++)
		text[i] = (char)(i + 1);
	text[127] = '\0';
	ck_assert_int_eq(buf_addjson(&b, text, 127), 0);
	ck_assert_ptr_nonnull(v = cJSON_Parse(b.p));
	ck_assert_str_eq(cJSON_GetStringValue(v), text);
	cJSON_Delete(v);
	buf_free(&b);
}
END_TEST

static const struct {
	const char	*in, *out;
	size_t		 size;
} texts[] = {
	{ "", "", 1 },
	{ "", "", 9 },
	{ "a b~\\", "a b~\\", 9 },
	{ "12345678", "12345678", 9 },
	{ "123456789", "12345...", 9 },
	{ "1\n", "1\\x0a", 9 },
	{ "\x7f\xff", "\\x7f\\xff", 9 },
	{ "1\x7f\xff", "1\\x7f...", 9 },
	{ "12\x7f\xff", "12...", 9 },
	{ "1234\xff" "5", "1234...", 9 },
	{ "123", "123", 4 },
	{ "1234", "...", 4 },
	{ "123", "..", 3 },
	{ "1", "", 1 },
};

START_TEST(test_text)
{
	char	out[16];

	memset(out, '#', sizeof(out));
	ck_assert_ptr_eq(text_escape(out, texts[_i].size, texts[_i].in, strlen(texts[_i].in)), out);
	ck_assert_str_eq(out, texts[_i].out);
	ck_assert_int_eq(out[texts[_i].size], '#');
}
END_TEST

int
main(void)
{
	Suite	*s = suite_create("buf");
	TCase	*t = tcase_create("buf");
	SRunner	*r = srunner_create(s);
	int	 failed;

	tcase_add_test(t, test_add);
	tcase_add_test(t, test_ceiling);
	tcase_add_test(t, test_ceiling_lowered);
	tcase_add_test(t, test_no_memory);
	tcase_add_test(t, test_addf);
	tcase_add_test(t, test_secret);
	tcase_add_test(t, test_secret_rollback);
	tcase_add_test(t, test_not_secret);
	tcase_add_test(t, test_steal);
	tcase_add_loop_test(t, test_json, 0, nitems(json));
	tcase_add_test(t, test_json_round_trip);
	tcase_add_loop_test(t, test_text, 0, nitems(texts));
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
