/* lib/page: the page at the end of a login, in a browser that anybody may have steered here. */
#include <check.h>
#include <math.h>
#include <openssl/evp.h>
#include <openssl/sha.h>
#include <stdio.h>

#include "http1.h"
#include "page.h"

#define PAGES		(PAGE_STRAY + 1)
#define HOSTILE		"<script>alert(1)</script>\"' onload=x&amp;`\r\n\x01\xe2\x80\xae\xff"

static struct buf html;

static const char *
make(enum page page, const char *upstream, const char *detail)
{
	buf_free(&html);
	ck_assert_int_eq(page_html(&html, page, upstream, detail), 0);
	ck_assert_uint_lt(html.len, 6 * KIB);
	ck_assert_uint_eq(strlen(html.p), html.len);
	return html.p;
}

static unsigned
count(const char *text, const char *what)
{
	unsigned n = 0;

	for (; (text = strstr(text, what)) != NULL; text += strlen(what))
		n++;
	return n;
}

/* What stands between the two, in a buffer that the next call overwrites. */
static const char *
between(const char *text, const char *open, const char *close)
{
	static char out[8 * KIB];
	const char *from = strstr(text, open), *to;

	ck_assert_msg(from != NULL, "no %s", open);
	from += strlen(open);
	to = strstr(from, close);
	ck_assert_ptr_nonnull(to);
	snprintf(out, sizeof(out), "%.*s", (int)(to - from), from);
	return out;
}

static const char *
field(const char *name)
{
	const struct page_field *f;

	for (f = page_fields; f->name != NULL; f++)
		if (strcasecmp(f->name, name) == 0)
			return f->value;
	ck_abort_msg("no field %s", name);
}

START_TEST(every_page_is_a_whole_document)
{
	const char *p = make((enum page)_i, "corp-wiki_2", NULL);

	ck_assert_int_eq(strncmp(p, "<!doctype html>\n<html lang=\"en\">\n", 33), 0);
	ck_assert_uint_eq(count(p, "<h1>"), 1);
	ck_assert_uint_eq(count(p, "<title>"), 1);
	ck_assert_uint_eq(count(p, "<main "), 1);
	ck_assert_uint_eq(count(p, "<meta name=\"viewport\""), 1);
	ck_assert_ptr_nonnull(strstr(p, "prefers-color-scheme:dark"));
	ck_assert_ptr_nonnull(strstr(p, "corp-wiki_2"));
	ck_assert_ptr_nonnull(strstr(p, "You can close this tab."));
	ck_assert_ptr_nonnull(strstr(p, "</html>\n"));
	/* Nothing to load, to run or to send; the icon is in the page. */
	ck_assert_uint_eq(count(p, "http"), 1);
	ck_assert_ptr_nonnull(strstr(p, "<link rel=\"icon\" href=\"data:image/svg+xml,"));
	ck_assert_ptr_null(strstr(p, "<script"));
	ck_assert_ptr_null(strstr(p, "<form"));
	ck_assert_ptr_null(strstr(p, "<a "));
	ck_assert_ptr_null(strstr(p, "url("));
	ck_assert_ptr_null(strstr(p, "@import"));
	ck_assert_ptr_null(strstr(p, " style="));
}
END_TEST

START_TEST(each_says_what_to_do)
{
	static const struct {
		const char	*heading;
		int		 status;
		bool		 again;
	} want[] = {
		[PAGE_DONE] = { "You are logged in to wiki", 200, false },
		[PAGE_DENIED] = { "Access to wiki was declined", 200, true },
		[PAGE_FAILED] = { "The login to wiki failed", 502, true },
		[PAGE_EXPIRED] = { "This login is over", 400, true },
		[PAGE_STRAY] = { "This is not part of the login", 400, true },
	};
	const char *p = make((enum page)_i, "wiki", NULL), *title;

	ck_assert_str_eq(between(p, "<h1>", "</h1>"), want[_i].heading);
	title = between(p, "<title>", "</title>");
	ck_assert_int_eq(strncmp(title, want[_i].heading, strlen(want[_i].heading)), 0);
	ck_assert_uint_eq(count(p, "<code>mcp-authctl login wiki</code>"), want[_i].again);
	ck_assert_int_eq(page_status((enum page)_i), want[_i].status);
	ck_assert_uint_eq(count(p, "class=\"why\""), 0);
}
END_TEST

START_TEST(strangers_get_no_name)
{
	ck_assert_ptr_nonnull(strstr(make(PAGE_STRAY, NULL, NULL), "<code>mcp-authctl login NAME</code>"));
}
END_TEST

START_TEST(whatever_is_given_is_text)
{
	static const char hostile[] = HOSTILE;
	const char *p = make((enum page)_i, hostile, hostile);

	ck_assert_ptr_null(strstr(p, "<script"));
	ck_assert_ptr_null(strstr(p, "\" onload"));
	ck_assert_ptr_null(strstr(p, "' onload"));
	ck_assert_ptr_null(strchr(p, '`'));
	ck_assert_ptr_null(strchr(p, '\r'));
	ck_assert_ptr_nonnull(strstr(p, "&#60;script&#62;alert(1)&#60;/script&#62;&#34;&#39; onload=x&#38;amp;&#96;"));
	for (; *p != '\0'; p++)
		ck_assert(*p == '\n' || (*p >= ' ' && *p <= '~'));
}
END_TEST

START_TEST(the_detail_is_shown_once)
{
	const char *p = make((enum page)_i, "wiki", "the token endpoint answered 400 (a < b)");

	ck_assert_str_eq(between(p, "<p class=\"why\">", "</p>"),
	    "the token endpoint answered 400 (a &#60; b)");
	ck_assert_uint_eq(count(p, "answered 400"), 1);
}
END_TEST

/* Every byte grows as much as it can. */
START_TEST(long_texts_are_cut)
{
	char huge[20000];
	const char *p;

	memset(huge, '"', sizeof(huge) - 1);
	huge[sizeof(huge) - 1] = '\0';
	p = make((enum page)_i, huge, huge);
	ck_assert_ptr_nonnull(strstr(p, "&#34;...</p>"));
	ck_assert_ptr_nonnull(strstr(p, "</html>\n"));
}
END_TEST

START_TEST(a_full_buffer_is_an_error)
{
	struct buf small = BUF_INIT(100);

	ck_assert_int_eq(page_html(&small, PAGE_DONE, "wiki", NULL), -ENOMEM);
	buf_free(&small);
}
END_TEST

/* The style sheet is allowed by its hash alone: after a change say the new one. */
START_TEST(the_policy_allows_the_style_and_nothing_else)
{
	const char *style = between(make(PAGE_DONE, "wiki", NULL), "<style>", "</style>");
	unsigned char digest[SHA256_DIGEST_LENGTH], text[64];
	char want[512];

	SHA256((const unsigned char *)style, strlen(style), digest);
	EVP_EncodeBlock(text, digest, sizeof(digest));
	snprintf(want, sizeof(want), "default-src 'none'; img-src data:; style-src 'sha256-%s'; "
	    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'", (const char *)text);
	ck_assert_str_eq(field("Content-Security-Policy"), want);
}
END_TEST

START_TEST(the_fields_are_fields)
{
	const struct page_field *f;

	for (f = page_fields; f->name != NULL; f++) {
		ck_assert(http1_is_token(f->name, strlen(f->name)));
		ck_assert(http1_is_value(f->value, strlen(f->value)));
	}
	ck_assert_str_eq(field("Content-Type"), "text/html; charset=utf-8");
	ck_assert_str_eq(field("Cache-Control"), "no-store");
	ck_assert_str_eq(field("Referrer-Policy"), "no-referrer");
	ck_assert_str_eq(field("X-Content-Type-Options"), "nosniff");
}
END_TEST

/* Contrast, as WCAG 2.1 defines it */

static double
linear(unsigned byte)
{
	double c = byte / 255.0;

	return c <= 0.04045 ? c / 12.92 : pow((c + 0.055) / 1.055, 2.4);
}

/* Luminance of the colour that follows `name` in the style; "#abc" is "#aabbcc". */
static double
luminance(const char *style, const char *name)
{
	const char *p = strstr(style, name);
	unsigned v, i, c[3];
	int n;

	ck_assert_msg(p != NULL, "no %s", name);
	p += strlen(name);
	ck_assert_int_eq(sscanf(p, "#%x%n", &v, &n), 1);
	for (i = 0; i < 3; i++)
		c[i] = n == 4 ? (v >> 4 * (2 - i) & 15) * 17 : v >> 8 * (2 - i) & 255;
	return 0.2126 * linear(c[0]) + 0.7152 * linear(c[1]) + 0.0722 * linear(c[2]);
}

static void
contrasts(const char *style, const char *text, const char *ground, double least)
{
	double a = luminance(style, text), b = luminance(style, ground);
	double ratio = (MAX(a, b) + 0.05) / (MIN(a, b) + 0.05);

	ck_assert_msg(ratio >= least, "%s on %s: %.2f", text, ground, ratio);
}

START_TEST(text_can_be_read_in_light_and_dark)
{
	static const char *const marks[] = { "--c:", ".ok{--c:", ".no{--c:", ".bad{--c:" };
	const char *style = between(make(PAGE_DONE, "wiki", NULL), "<style>", "</style>");
	size_t i;

	if (_i == 1)
		style = strstr(style, "@media(prefers-color-scheme:dark)");
	ck_assert_ptr_nonnull(style);
	contrasts(style, "--text:", "--card:", 7);
	contrasts(style, "--text:", "--bg:", 7);
	contrasts(style, "--soft:", "--card:", 4.5);
	contrasts(style, "--soft:", "--bg:", 4.5);
	for (i = 0; i < nitems(marks); i++)
		contrasts(style, marks[i], "--card:", 3);
}
END_TEST

static void
drop(void)
{
	buf_free(&html);
}

int
main(void)
{
	Suite *s = suite_create("page");
	TCase *tc = tcase_create("page");
	SRunner *r;
	int failed;

	tcase_add_checked_fixture(tc, NULL, drop);
	tcase_add_loop_test(tc, every_page_is_a_whole_document, 0, PAGES);
	tcase_add_loop_test(tc, each_says_what_to_do, 0, PAGES);
	tcase_add_test(tc, strangers_get_no_name);
	tcase_add_loop_test(tc, whatever_is_given_is_text, 0, PAGES);
	tcase_add_loop_test(tc, the_detail_is_shown_once, 0, PAGES);
	tcase_add_loop_test(tc, long_texts_are_cut, 0, PAGES);
	tcase_add_test(tc, a_full_buffer_is_an_error);
	tcase_add_test(tc, the_policy_allows_the_style_and_nothing_else);
	tcase_add_test(tc, the_fields_are_fields);
	tcase_add_loop_test(tc, text_can_be_read_in_light_and_dark, 0, 2);
	suite_add_tcase(s, tc);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed == 0 ? 0 : 1;
}
