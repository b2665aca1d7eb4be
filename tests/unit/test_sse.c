/* lib/sse: event streams as WHATWG reads them, however they are cut (WIRE L10, L11). */
#include <check.h>
#include <stdio.h>

#include "guarded.h"
#include "sse.h"

#define MAX_DATA	64

/* What is given, as text: each event's data in brackets, then the id and retry. */
static const struct {
	const char	*text;
	size_t		 n;		/* 0: strlen */
	const char	*events, *id;
	int64_t		 retry;
} cases[] = {
	{ "", 0, "", "", -1 },
	{ "data: a\n\n", 0, "[a]", "", -1 },
	{ "data:a\n\n", 0, "[a]", "", -1 },
	{ "data:  a\n\n", 0, "[ a]", "", -1 },		/* one blank goes */
	{ "data: a\ndata: b\n\n", 0, "[a\nb]", "", -1 },
	{ "data\n\n", 0, "", "", -1 },			/* empty: nothing is given */
	{ "data\ndata\n\n", 0, "[\n]", "", -1 },
	{ "data:\ndata: x\n\n", 0, "[\nx]", "", -1 },
	{ "data: a:b: c\n\n", 0, "[a:b: c]", "", -1 },
	/* line ends, in any mixture */
	{ "data: a\r\n\r\ndata: b\r\r", 0, "[a][b]", "", -1 },
	{ "data: a\rdata: b\n\r\n", 0, "[a\nb]", "", -1 },
	{ "\n\n\r\n\rdata: a\n\n\n", 0, "[a]", "", -1 },
	{ "data: a\r\n\ndata: b\n\n", 0, "[a][b]", "", -1 },
	/* a mark may stand first, once */
	{ "\xef\xbb\xbf""data: a\n\n", 0, "[a]", "", -1 },
	{ "\xef\xbb\xbf\xef\xbb\xbf""data: a\n\ndata: b\n\n", 0, "[b]", "", -1 },
	{ "\xef\xbb""data: a\n\ndata: b\n\n", 0, "[b]", "", -1 },
	{ "data: a\n\n\xef\xbb\xbf""data: b\n\n", 0, "[a]", "", -1 },
	{ "\xef\n\ndata: a\n\n", 0, "[a]", "", -1 },
	/* comments and what nobody knows */
	{ ": hello\n\n:\ndata: a\n:x\n\n", 0, "[a]", "", -1 },
	{ "Data: a\ndatax: b\nda: c\nverylongname: d\n data: e\n\n", 0, "", "", -1 },
	/* types: only messages are messages */
	{ "event: message\ndata: a\n\n", 0, "[a]", "", -1 },
	{ "event: ping\ndata: a\n\ndata: b\n\n", 0, "(a)[b]", "", -1 },
	{ "event: messages\ndata: a\n\n", 0, "(a)", "", -1 },
	{ "event: x\nevent\ndata: a\n\n", 0, "[a]", "", -1 },
	/* ids: of whole events, kept until another comes, never with NUL */
	{ "id: 1\ndata: a\n\n", 0, "[a]", "1", -1 },
	{ "id: 1\ndata:\n\n", 0, "", "1", -1 },		/* L11: a priming event */
	{ "id: 1\n\n", 0, "", "1", -1 },
	{ "id: 1\ndata: a\n\ndata: b\n\n", 0, "[a][b]", "1", -1 },
	{ "id: 1\ndata: a\n\nid: 2\ndata: b\n", 0, "[a]", "1", -1 },
	{ "id: 1\ndata: a\n\nid\ndata: b\n\n", 0, "[a][b]", "", -1 },
	{ "id: 1\ndata: a\n\nid: x\0y\ndata: b\n\n", 33, "[a][b]", "1", -1 },
	{ "id: \xc3\xa9 z\n\n", 0, "", "\xc3\xa9 z", -1 },
	{ "id: 1\nid: 2\n\n", 0, "", "2", -1 },
	/* retry: digits alone; at once */
	{ "retry: 1500\n", 0, "", "", 1500 },
	{ "retry: 0\n\n", 0, "", "", 0 },
	{ "retry:\n\nretry: -1\nretry: 1x\nretry: 1.5\n\n", 0, "", "", -1 },
	{ "retry: 20\nretry: soon\n\n", 0, "", "", 20 },
	{ "retry: 99999999999999999999999\n\n", 0, "", "", STREAM_RETRY_MAX },
	{ "retry: 3600001\n\n", 0, "", "", STREAM_RETRY_MAX },
	/* cut: no event */
	{ "data: a", 0, "", "", -1 },
	{ "data: a\n", 0, "", "", -1 },
	{ "data: a\n\ndata: b\n", 0, "[a]", "", -1 },
	/* too large: that one is dropped, its id counts */
	{ "id: 7\ndata: 0123456789012345678901234567890123456789012345678901234567890123\n\n", 0,
	    "[0123456789012345678901234567890123456789012345678901234567890123]", "7", -1 },
	{ "id: 7\ndata: 01234567890123456789012345678901234567890123456789012345678901234\n\n"
	    "data: b\n\n", 0, "![b]", "7", -1 },
};

static void
feed(struct sse *s, const char *p, size_t n, struct buf *out)
{
	int r;

	while ((r = sse_next(s, &p, &n)) != 0) {
		ck_assert(r == 1 || r == -EMSGSIZE);
		if (r == 1)
			buf_addf(out, "%c%.*s%c", s->message ? '[' : '(', (int)s->data.len, s->data.p,
			    s->message ? ']' : ')');
		else
			buf_adds(out, "!");
	}
	ck_assert_uint_eq(n, 0);
}

static void
one(size_t i, size_t step)
{
	size_t n = cases[i].n > 0 ? cases[i].n : strlen(cases[i].text), at, m;
	struct buf out = BUF_INIT(0);
	struct sse s;

	sse_init(&s, MAX_DATA);
	for (at = 0; at < n; at += m) {
		m = MIN(step, n - at);
		feed(&s, guarded(cases[i].text + at, m), m, &out);
	}
	ck_assert_msg(strcmp(out.p != NULL ? out.p : "", cases[i].events) == 0, "case %zu, %zu at a time: %s",
	    i, step, out.p);
	ck_assert_msg(strcmp(s.last.p != NULL ? s.last.p : "", cases[i].id) == 0,
	    "case %zu: id %s", i, s.last.p);
	ck_assert_int_eq(s.retry, cases[i].retry);
	sse_free(&s);
	buf_free(&out);
}

START_TEST(whole_and_in_pieces)
{
	for (size_t step = 1; step < 5; step++)
		one((size_t)_i, step);
	one((size_t)_i, 4096);
}
END_TEST

/* L10: a new stream of the same source knows the last id and retry, and nothing of a cut event. */
START_TEST(restarted)
{
	struct buf out = BUF_INIT(0);
	struct sse s;

	sse_init(&s, MAX_DATA);
	feed(&s, "retry: 7\nid: 1\ndata: a\n\nid: 2\ndata: lost", 41, &out);
	sse_restart(&s);
	ck_assert_str_eq(s.last.p, "1");
	ck_assert_int_eq(s.retry, 7);
	feed(&s, "\xef\xbb\xbf""data: b\n\n", 12, &out);
	ck_assert_str_eq(out.p, "[a][b]");
	ck_assert_str_eq(s.last.p, "1");
	sse_free(&s);
	buf_free(&out);
}
END_TEST

/* An id that nobody could send back is as if it were not there. */
START_TEST(long_id)
{
	struct buf text = BUF_INIT(0), out = BUF_INIT(0);
	struct sse s;

	buf_adds(&text, "id: 1\n\nid: ");
	for (int i = 0; i < EVENT_ID_BYTES + 1; i++)
		buf_adds(&text, "x");
	buf_adds(&text, "\ndata: a\n\n");
	sse_init(&s, MAX_DATA);
	feed(&s, text.p, text.len, &out);
	ck_assert_str_eq(out.p, "[a]");
	ck_assert_str_eq(s.last.p, "1");
	sse_free(&s);
	buf_free(&text);
	buf_free(&out);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("sse");
	TCase *tc = tcase_create("sse");
	SRunner *sr;
	int failed;

	tcase_add_loop_test(tc, whole_and_in_pieces, 0, nitems(cases));
	tcase_add_test(tc, restarted);
	tcase_add_test(tc, long_id);
	suite_add_tcase(suite, tc);
	sr = srunner_create(suite);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
