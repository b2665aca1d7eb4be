/* lib/lines: one message after the other, however the bytes are cut. */
#include <check.h>
#include <stdio.h>

#include "guarded.h"
#include "lines.h"

#define MAX_LINE	40

/* kind, a letter: Request Notification resPonse Batch Json (none) Invalid; then the text, or "over". */
static const struct {
	const char	*text, *wants;
} cases[] = {
	{ "", "" },
	{ "\n\r\n \t\n", "" },
	{ "{\"id\":1,\"method\":\"a\"}\n", "R{\"id\":1,\"method\":\"a\"}|" },
	{ "{\"id\":1,\"method\":\"a\"}", "R{\"id\":1,\"method\":\"a\"}|" },	/* the last needs no newline */
	{ " \t{\"method\":\"a\"} \r\n\n{\"id\":1,\"result\":1}\n", "N{\"method\":\"a\"}|P{\"id\":1,\"result\":1}|" },
	{ "[]\n[{\"method\":\"a\"}]\n", "I[]|B[{\"method\":\"a\"}]|" },
	{ "nonsense\n{\"method\":\"a\"}\n{\n", "Jnonsense|N{\"method\":\"a\"}|J{|" },
	{ "{\"method\":\n\"a\"}\n", "J{\"method\":|J\"a\"}|" },
	/* 40 bytes fit, 41 do not, and the next line is read */
	{ "{\"id\":1,\"method\":\"aaaaaaaaaaaaaaaaaaaa\"}\n{\"method\":\"a\"}\n",
	    "R{\"id\":1,\"method\":\"aaaaaaaaaaaaaaaaaaaa\"}|N{\"method\":\"a\"}|" },
	{ "{\"id\":1,\"method\":\"aaaaaaaaaaaaaaaaaaaaa\"}\n{\"method\":\"a\"}\n",
	    "Rover 1|N{\"method\":\"a\"}|" },
	/* the id behind the ceiling is found all the same */
	{ "{\"method\":\"a\",\"params\":\"0123456789012345678901234567890123456789\",\"id\":77}",
	    "Rover 77|" },
	{ "1123456789012345678901234567890123456789012345\n{\"method\":\"a\"}\n", "Iover |N{\"method\":\"a\"}|" },
};

static void
give(struct lines *l, struct buf *out)
{
	static const char letters[] = "?RNPBJI";

	buf_addf(out, "%c", letters[l->rpc.kind]);
	if (l->over)
		buf_addf(out, "over %.*s", l->rpc.ids.len > 0 ? (int)l->rpc.ids.len - 1 : 0,
		    l->rpc.ids.len > 0 ? l->rpc.ids.p : "");
	else
		buf_addf(out, "%s", l->text.p);
	buf_adds(out, "|");
	lines_next(l);
}

static void
one(size_t i, size_t step)
{
	size_t n = strlen(cases[i].text), at, m, left;
	struct buf out = BUF_INIT(0);
	struct lines l;
	const char *p;

	lines_init(&l, MAX_LINE);
	for (at = 0; at < n; at += m) {
		m = left = MIN(step, n - at);
		p = guarded(cases[i].text + at, m);
		while (lines_feed(&l, &p, &left) == 1)
			give(&l, &out);
		ck_assert_uint_eq(left, 0);
	}
	if (lines_end(&l) == 1)
		give(&l, &out);
	ck_assert_int_eq(lines_end(&l), 0);
	ck_assert_msg(strcmp(out.p != NULL ? out.p : "", cases[i].wants) == 0,
	    "case %zu, %zu at a time: %s", i, step, out.p);
	lines_free(&l);
	buf_free(&out);
}

START_TEST(whole_and_in_pieces)
{
	for (size_t step = 1; step < 4; step++)
		one((size_t)_i, step);
	one((size_t)_i, 4096);
}
END_TEST

/* What was taken out belongs to the taker. */
START_TEST(moved)
{
	const char *p = "{\"id\":1,\"method\":\"a\"}\n{\"id\":2,\"method\":\"b\"}\n";
	size_t n = strlen(p);
	struct lines l;
	struct jsonrpc rpc;
	struct buf text;

	lines_init(&l, MAX_LINE);
	ck_assert_int_eq(lines_feed(&l, &p, &n), 1);
	text = l.text;
	rpc = l.rpc;
	lines_moved(&l);
	lines_next(&l);
	ck_assert_int_eq(lines_feed(&l, &p, &n), 1);
	ck_assert_str_eq(text.p, "{\"id\":1,\"method\":\"a\"}");
	ck_assert_str_eq(rpc.method, "a");
	ck_assert_str_eq(rpc.ids.p, "1\n");
	ck_assert_str_eq(l.text.p, "{\"id\":2,\"method\":\"b\"}");
	buf_free(&text);
	jsonrpc_free(&rpc);
	lines_free(&l);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("lines");
	TCase *tc = tcase_create("lines");
	SRunner *sr;
	int failed;

	tcase_add_loop_test(tc, whole_and_in_pieces, 0, nitems(cases));
	tcase_add_test(tc, moved);
	suite_add_tcase(suite, tc);
	sr = srunner_create(suite);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
