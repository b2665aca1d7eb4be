/* lib/base64 and lib/pkce: RFC 4648 section 10, RFC 7636 appendices A and B (WIRE A5, A13). */
#include <check.h>

#include "base64.h"
#include "pkce.h"

static const struct {
	const char	*bytes, *padded, *url;
} vectors[] = {
	{ "", "", "" },
	{ "f", "Zg==", "Zg" },
	{ "fo", "Zm8=", "Zm8" },
	{ "foo", "Zm9v", "Zm9v" },
	{ "foob", "Zm9vYg==", "Zm9vYg" },
	{ "fooba", "Zm9vYmE=", "Zm9vYmE" },
	{ "foobar", "Zm9vYmFy", "Zm9vYmFy" },
	{ "\xfb\xff\xbf", "+/+/", "-_-_" }
};

START_TEST(test_vectors)
{
	size_t n = strlen(vectors[_i].bytes);
	struct buf b = BUF_INIT(0);
	char text[16];

	ck_assert_int_eq(buf_adds(&b, "<"), 0);
	ck_assert_int_eq(base64_add(&b, vectors[_i].bytes, n), 0);
	ck_assert_str_eq(b.p + 1, vectors[_i].padded);
	ck_assert_uint_eq(b.len, 1 + strlen(vectors[_i].padded));
	buf_reset(&b);
	ck_assert_int_eq(base64url_add(&b, vectors[_i].bytes, n), 0);
	ck_assert_str_eq(b.p, vectors[_i].url);
	base64url_text(text, vectors[_i].bytes, n);
	ck_assert_str_eq(text, vectors[_i].url);
	buf_reset(&b);
	ck_assert_int_eq(base64url_get(&b, text, strlen(text)), 0);
	ck_assert_str_eq(b.p, vectors[_i].bytes);
	ck_assert_uint_eq(b.len, n);
	buf_free(&b);
}
END_TEST

/* Every byte, and an input that has no NUL behind it. */
START_TEST(test_all_bytes)
{
	struct buf text = BUF_INIT(0), back = BUF_INIT(0);
	unsigned char all[256];
	size_t n, i;

	for (i = 0; i < sizeof(all); i++)
		all[i] = (unsigned char)(i * 167);
	for (n = 0; n <= sizeof(all); n++) {
		buf_reset(&text);
		buf_reset(&back);
		ck_assert_int_eq(base64url_add(&text, all, n), 0);
		ck_assert_int_eq(base64url_get(&back, text.p, text.len), 0);
		ck_assert_uint_eq(back.len, n);
		ck_assert_mem_eq(back.p, all, n);
	}
	buf_free(&text);
	buf_free(&back);
}
END_TEST

/* Padding, other alphabets, blanks, stray bits, a length that cannot be. */
static const char *const refused[] = {
	"Zg==", "Zm8=", "Z", "Zm9vY", "Zm 9", "Zm9v\n", "+/+/", "Zm9\xc3", "Zh", "Zm9=", "=",
	"Zm9", "Zm9vZx"
};

START_TEST(test_refused)
{
	struct buf b = BUF_INIT(0);

	ck_assert_int_eq(base64url_get(&b, refused[_i], strlen(refused[_i])), -EBADMSG);
	ck_assert_uint_eq(b.len, 0);
	ck_assert_int_eq(base64url_get(&b, "Zm9\0", 4), -EBADMSG);
	buf_free(&b);
}
END_TEST

START_TEST(test_ceiling)
{
	struct buf b = BUF_INIT(7);

	ck_assert_int_eq(base64_add(&b, "foob", 4), -EMSGSIZE);
	ck_assert_uint_eq(b.len, 0);
	ck_assert_int_eq(base64url_add(&b, "foob", 4), 0);
	ck_assert_int_eq(base64url_get(&b, "Zm9v", 4), -EMSGSIZE);
	ck_assert_int_eq(base64_add(&b, "x", SIZE_MAX), -EMSGSIZE);
	ck_assert_str_eq(b.p, "Zm9vYg");
	buf_free(&b);
}
END_TEST

/* A5: the bytes of RFC 7636 appendix B. */
static const unsigned char octets[PKCE_RANDOM] = {
	116, 24, 223, 180, 151, 153, 224, 37, 79, 250, 96, 125, 216, 173, 187, 186,
	22, 212, 37, 77, 105, 214, 191, 240, 91, 88, 5, 88, 83, 132, 141, 121
};

START_TEST(a5_rfc7636_appendix_b)
{
	char verifier[PKCE_TEXT], challenge[PKCE_TEXT];

	pkce_verifier(octets, verifier);
	ck_assert_str_eq(verifier, "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk");
	pkce_challenge(verifier, challenge);
	ck_assert_str_eq(challenge, "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("base64");
	TCase *tc = tcase_create("base64");
	SRunner *sr;
	int failed;

	tcase_add_loop_test(tc, test_vectors, 0, nitems(vectors));
	tcase_add_test(tc, test_all_bytes);
	tcase_add_loop_test(tc, test_refused, 0, nitems(refused));
	tcase_add_test(tc, test_ceiling);
	tcase_add_test(tc, a5_rfc7636_appendix_b);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
