/* lib/hop: what crosses the daemon and what ends at it. */
#include <check.h>

#include "hop.h"

static const struct {
	const char	*name;
	bool		 up, down;
} fields[] = {
	{ "Accept", true, true },
	{ "Content-Type", true, true },
	{ "Content-Encoding", true, true },
	{ "MCP-Session-Id", true, true },
	{ "MCP-Protocol-Version", true, true },
	{ "Mcp-Param-Unknown", true, true },
	{ "Last-Event-ID", true, true },
	{ "Retry-After", true, true },
	{ "Date", true, true },
	{ "traceparent", true, true },
	{ "Proxied", true, true },
	{ "Connection", false, false },
	{ "Keep-Alive", false, false },
	{ "Proxy-Connection", false, false },
	{ "TE", false, false },
	{ "Trailer", false, false },
	{ "Transfer-Encoding", false, false },
	{ "Upgrade", false, false },
	{ "X-Named", false, false },		/* by Connection, below */
	{ "x-named-too", false, false },
	{ "Content-Length", false, false },
	{ "Host", false, true },
	{ "Expect", false, true },
	{ "Origin", false, true },
	{ "Authorization", false, true },
	{ "aUTHORIZATION", false, true },
	{ "Cookie", false, true },
	{ "Proxy-Authorization", false, true },
	{ "proxy-anything", false, true },
	{ "WWW-Authenticate", true, false },
	{ "www-authenticate", true, false },
	{ "Proxy-Authenticate", false, false },
	{ "Set-Cookie", true, false },
	{ "Set-Cookie2", true, false },
	{ "Alt-Svc", true, false },
};

START_TEST(test_field)
{
	static struct http1_head	h;

	h.nfields = 3;
	h.fields[0] = (struct http1_field){ slice_of("Connection"), slice_of("close, X-NAMED") };
	h.fields[1] = (struct http1_field){ slice_of(fields[_i].name), slice_of("1") };
	h.fields[2] = (struct http1_field){ slice_of("connection"), slice_of("X-Named-Too") };
	ck_assert_msg(hop_up(&h, &h.fields[1]) == fields[_i].up, "up: %s", fields[_i].name);
	ck_assert_msg(hop_down(&h, &h.fields[1]) == fields[_i].down, "down: %s",
	    fields[_i].name);
}
END_TEST

int
main(void)
{
	Suite	*s = suite_create("hop");
	TCase	*t = tcase_create("hop");
	SRunner	*r = srunner_create(s);
	int	 failed;

	tcase_add_loop_test(t, test_field, 0, nitems(fields));
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
