/* A request as bytes: whatever is taken at a time, the same goes out, and again if need be. */
#include <check.h>
#include <stdio.h>

#include "outgoing.h"

static struct url url;

static void
set_up(void)
{
	static const char text[] = "http://localhost:8080/mcp";

	ck_assert_int_eq(url_parse(text, strlen(text), &url), 0);
}

static void
tear_down(void)
{
	url_free(&url);
}

static void
begin(struct outgoing *o, const char *method, const char *fields)
{
	static struct http1_head h;
	enum http1_error error;
	char text[1024];
	size_t scanned = 0;

	snprintf(text, sizeof(text), "%s / HTTP/1.1\r\nHost: x\r\n%s\r\n", method, fields);
	ck_assert_int_eq(http1_request(text, strlen(text), &scanned, sizeof(text), &h, &error), 1);
	ck_assert_int_eq(outgoing_begin(o, method, &url, &h, NULL), 0);
}

static void
rewind_with(struct outgoing *o, const char *authorization)
{
	ck_assert_int_eq(outgoing_rewind(o), 0);
	ck_assert_int_eq(buf_adds(&o->lead, authorization), 0);
	ck_assert_int_eq(buf_adds(&o->lead, "\r\n"), 0);
}

/* Takes at most `step` bytes at a time until there is nothing to write. */
static void
pump(struct outgoing *o, size_t step, struct buf *wire)
{
	struct iovec iov[OUTGOING_IOV];
	size_t left, part;
	int n;

	while ((n = outgoing_iov(o, iov)) > 0) {
		left = step;
		for (int i = 0; i < n && left > 0; i++) {
			part = MIN(left, iov[i].iov_len);
			ck_assert_uint_gt(iov[i].iov_len, 0);
			ck_assert_int_eq(buf_add(wire, iov[i].iov_base, part), 0);
			left -= part;
		}
		outgoing_wrote(o, step - left);
	}
	ck_assert_int_eq(n, 0);
}

START_TEST(length_any_cut_and_again)
{
	struct outgoing o;

	for (size_t step = 1; step < 200; step++) {
		struct buf wire = BUF_INIT(0);

		outgoing_init(&o);
		begin(&o, "POST", "A: b\r\nContent-Length: 5\r\n");
		ck_assert_int_eq(outgoing_add(&o, "he", 2), 0);
		rewind_with(&o, "Authorization: old\r\n");
		pump(&o, step, &wire);
		ck_assert(!outgoing_done(&o));
		ck_assert(outgoing_lead_out(&o));
		ck_assert_int_eq(outgoing_add(&o, "llo", 3), 0);
		o.complete = true;
		pump(&o, step, &wire);
		ck_assert(outgoing_done(&o));
		ck_assert_str_eq(wire.p, "POST /mcp HTTP/1.1\r\nHost: localhost:8080\r\nA: b\r\n"
		    "Content-Length: 5\r\nAuthorization: old\r\n\r\nhello");
		buf_reset(&wire);
		rewind_with(&o, "Authorization: new\r\n");
		pump(&o, step, &wire);
		ck_assert_str_eq(wire.p, "POST /mcp HTTP/1.1\r\nHost: localhost:8080\r\nA: b\r\n"
		    "Content-Length: 5\r\nAuthorization: new\r\n\r\nhello");
		buf_free(&wire);
		outgoing_free(&o);
	}
}
END_TEST

START_TEST(chunked_any_cut)
{
	struct outgoing o;

	for (size_t step = 1; step < 200; step++) {
		struct buf wire = BUF_INIT(0);

		outgoing_init(&o);
		begin(&o, "POST", "Transfer-Encoding: chunked\r\n");
		rewind_with(&o, "");
		pump(&o, step, &wire);
		ck_assert_int_eq(outgoing_add(&o, "0123456789abcdef", 16), 0);
		pump(&o, step, &wire);
		outgoing_unhold(&o);
		ck_assert_int_eq(outgoing_add(&o, "xyz", 3), 0);
		pump(&o, step, &wire);
		o.complete = true;
		ck_assert(!outgoing_done(&o));
		pump(&o, step, &wire);
		ck_assert(outgoing_done(&o));
		ck_assert_str_eq(wire.p, "POST /mcp HTTP/1.1\r\nHost: localhost:8080\r\n"
		    "Transfer-Encoding: chunked\r\n\r\n"
		    "10\r\n0123456789abcdef\r\n3\r\nxyz\r\n0\r\n\r\n");
		buf_free(&wire);
		outgoing_free(&o);
	}
}
END_TEST

/* RFC 9110 8.6: a POST without a body says so, other methods do not. */
START_TEST(no_body)
{
	static const struct { const char *method, *want; } t[] = {
		{ "POST", "POST /mcp HTTP/1.1\r\nHost: localhost:8080\r\nContent-Length: 0\r\n\r\n" },
		{ "GET", "GET /mcp HTTP/1.1\r\nHost: localhost:8080\r\n\r\n" },
		{ "DELETE", "DELETE /mcp HTTP/1.1\r\nHost: localhost:8080\r\n\r\n" },
	};
	struct outgoing o;

	outgoing_init(&o);
	for (size_t i = 0; i < nitems(t); i++) {
		struct buf wire = BUF_INIT(0);

		begin(&o, t[i].method, "");
		ck_assert(o.complete);
		rewind_with(&o, "");
		pump(&o, 7, &wire);
		ck_assert(outgoing_done(&o));
		ck_assert_str_eq(wire.p, t[i].want);
		buf_free(&wire);
	}
	outgoing_free(&o);
}
END_TEST

/* What is not held stays small, however much passes. */
START_TEST(unheld_is_a_window)
{
	struct buf wire = BUF_INIT(0);
	struct outgoing o;
	char block[1000];

	memset(block, 'b', sizeof(block));
	outgoing_init(&o);
	begin(&o, "POST", "Content-Length: 10000000\r\n");
	outgoing_unhold(&o);
	rewind_with(&o, "");
	for (int i = 0; i < 10000; i++) {
		ck_assert_int_eq(outgoing_add(&o, block, sizeof(block)), 0);
		pump(&o, 333, &wire);
		ck_assert_uint_le(o.body.cap, 4096);
	}
	o.complete = true;
	ck_assert(outgoing_done(&o));
	ck_assert_ptr_eq(strstr(wire.p, "\r\n\r\n") + 4 + 10000000, wire.p + wire.len);
	buf_free(&wire);
	outgoing_free(&o);
}
END_TEST

/* The token leaves no trace in the lead's memory. */
START_TEST(a1_lead_is_wiped)
{
	struct buf wire = BUF_INIT(0);
	struct outgoing o;

	outgoing_init(&o);
	begin(&o, "GET", "");
	rewind_with(&o, "Authorization: Bearer s3cret\r\n");
	pump(&o, 5, &wire);
	ck_assert_uint_eq(o.lead.len, 0);
	ck_assert_ptr_null(memmem(o.lead.p, o.lead.cap, "s3cret", 6));
	buf_free(&wire);
	outgoing_free(&o);
}
END_TEST

int
main(void)
{
	TCase *tc = tcase_create("outgoing");
	Suite *suite = suite_create("outgoing");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, length_any_cut_and_again);
	tcase_add_test(tc, chunked_any_cut);
	tcase_add_test(tc, no_body);
	tcase_add_test(tc, unheld_is_a_window);
	tcase_add_test(tc, a1_lead_is_wiped);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
