/* lib/device: answers of a device authorization endpoint (RFC 8628; WIRE A21). */
#include <check.h>
#include <stdio.h>

#include "bounds.h"
#include "device.h"

#define CODES	"\"device_code\":\"GmRhm\",\"user_code\":\"WDJB-MJHT\""
#define URI	"\"verification_uri\":\"https://example.com/device\""

static struct device d;

static void
parse(const char *text)
{
	const char *why = "";

	ck_assert_msg(device_parse(text, strlen(text), &d, &why) == 0, "%s: %s", text, why);
}

/* The example of section 3.2. */
START_TEST(a21_rfc8628)
{
	parse("{\n"
	    "  \"device_code\": \"GmRhmhcxhwAzkoEqiMEg_DnyEysNkuNhszIySk9eS\",\n"
	    "  \"user_code\": \"WDJB-MJHT\",\n"
	    "  \"verification_uri\": \"https://example.com/device\",\n"
	    "  \"verification_uri_complete\":\n"
	    "      \"https://example.com/device?user_code=WDJB-MJHT\",\n"
	    "  \"expires_in\": 1800,\n"
	    "  \"interval\": 5\n"
	    "}");
	ck_assert_str_eq(d.device_code, "GmRhmhcxhwAzkoEqiMEg_DnyEysNkuNhszIySk9eS");
	ck_assert_str_eq(d.user_code, "WDJB-MJHT");
	ck_assert_str_eq(d.verification_uri, "https://example.com/device");
	ck_assert_str_eq(d.verification_uri_complete,
	    "https://example.com/device?user_code=WDJB-MJHT");
	ck_assert_int_eq(d.lifetime, 1800 * SEC);
	ck_assert_int_eq(d.interval, 5 * SEC);
	device_free(&d);
	ck_assert_ptr_null(d.device_code);
	device_free(&d);
}
END_TEST

static const struct {
	const char	*members;
	int64_t		 lifetime, interval;
} times[] = {
	{ "", 300 * SEC, 5 * SEC },
	{ ",\"expires_in\":0,\"interval\":0", 300 * SEC, 5 * SEC },
	{ ",\"expires_in\":-1,\"interval\":-9", 300 * SEC, 5 * SEC },
	{ ",\"expires_in\":\"600\",\"interval\":\"2\"", 600 * SEC, 2 * SEC },
	{ ",\"expires_in\":[],\"interval\":null", 300 * SEC, 5 * SEC },
	{ ",\"interval\":0.001", 300 * SEC, SEC },
	{ ",\"expires_in\":1e300,\"interval\":1e300", 1000000000000000, 1000000000000000 }
};

START_TEST(a21_times)
{
	char text[256];

	snprintf(text, sizeof(text), "{" CODES "," URI "%s}", times[_i].members);
	parse(text);
	ck_assert_int_eq(d.lifetime, times[_i].lifetime);
	ck_assert_int_eq(d.interval, times[_i].interval);
	device_free(&d);
}
END_TEST

/* What may be shown is; a complete URL that may not be is left out. */
START_TEST(a21_urls)
{
	parse("{" CODES ",\"verification_url\":\"https://www.google.com/device\","
	    "\"verification_uri_complete\":\"javascript:alert(1)\"}");
	ck_assert_str_eq(d.verification_uri, "https://www.google.com/device");
	ck_assert_ptr_null(d.verification_uri_complete);
	device_free(&d);
	parse("{" CODES ",\"verification_uri\":\"http://127.0.0.1:8080/d\","
	    "\"verification_uri_complete\":\"https://h/#/device?c=1\"}");
	ck_assert_str_eq(d.verification_uri_complete, "https://h/#/device?c=1");
	device_free(&d);
}
END_TEST

static const struct {
	const char	*text, *word;
} refused[] = {
	{ "", "JSON" },
	{ "[]", "JSON" },
	{ "{" CODES "," URI "} x", "JSON" },
	{ "{" CODES "," URI ",\"user_code\":\"x\"}", "JSON" },
	{ "{" CODES "," URI ",\"a\":\"\\u0000\"}", "JSON" },
	{ "{" CODES "," URI ",\"a\":\"\xff\"}", "JSON" },
	{ "{}", "device_code" },
	{ "{\"error\":\"invalid_client\"}", "device_code" },
	{ "{\"device_code\":\"\",\"user_code\":\"A\"," URI "}", "device_code" },
	{ "{\"device_code\":\"a\\nb\",\"user_code\":\"A\"," URI "}", "device_code" },
	{ "{\"device_code\":\"a\"," URI "}", "user_code" },
	{ "{\"device_code\":\"a\",\"user_code\":7," URI "}", "user_code" },
	{ "{\"device_code\":\"a\",\"user_code\":\"\\u001b[31mA\"," URI "}", "user_code" },
	{ "{\"device_code\":\"a\",\"user_code\":\"\xc3\xa9\"," URI "}", "user_code" },
	{ "{\"device_code\":\"a\",\"user_code\":\""
	    "12345678901234567890123456789012345678901234567890123456789012345\"," URI "}",
	    "user_code" },
	{ "{" CODES "}", "verification_uri" },
	{ "{" CODES ",\"verification_uri\":\"\"}", "verification_uri" },
	{ "{" CODES ",\"verification_uri\":\"http://example.com/\"}", "verification_uri" },
	{ "{" CODES ",\"verification_uri\":\"ftp://example.com/\"}", "verification_uri" },
	{ "{" CODES ",\"verification_uri\":\"file:///etc/passwd\"}", "verification_uri" },
	{ "{" CODES ",\"verification_uri\":\"https://user@example.com/\"}", "verification_uri" },
	{ "{" CODES ",\"verification_uri\":\"https://h/ --help\"}", "verification_uri" },
	{ "{" CODES ",\"verification_uri\":\"https://h/#$(id)\"}", "verification_uri" },
	{ "{" CODES ",\"verification_uri\":\"https://h/#\\u001b]8\"}", "verification_uri" }
};

START_TEST(a21_refused)
{
	const char *why = NULL;

	memset(&d, 0, sizeof(d));
	ck_assert_int_eq(device_parse(refused[_i].text, strlen(refused[_i].text), &d, &why),
	    -EBADMSG);
	ck_assert_msg(why != NULL && strstr(why, refused[_i].word) != NULL, "%s: %s",
	    refused[_i].text, why);
	ck_assert_ptr_null(d.device_code);
}
END_TEST

START_TEST(a21_huge)
{
	struct buf b = BUF_INIT(0);
	const char *why;
	size_t i;

	buf_adds(&b, "{" CODES "," URI ",\"x\":\"");
	for (i = 0; i < MIB; i++)
		buf_add(&b, "x", 1);
	buf_adds(&b, "\"}");
	ck_assert_int_eq(device_parse(b.p, b.len, &d, &why), -EBADMSG);
	buf_free(&b);
}
END_TEST

START_TEST(a21_polls)
{
	ck_assert_int_eq(device_poll_error("authorization_pending"), DEVICE_PENDING);
	ck_assert_int_eq(device_poll_error("slow_down"), DEVICE_SLOW_DOWN);
	ck_assert_int_eq(device_poll_error("access_denied"), DEVICE_DENIED);
	ck_assert_int_eq(device_poll_error("expired_token"), DEVICE_EXPIRED);
	ck_assert_int_eq(device_poll_error("invalid_grant"), DEVICE_FAILED);
	ck_assert_int_eq(device_poll_error("other"), DEVICE_FAILED);
	ck_assert_int_eq(device_poll_error(""), DEVICE_FAILED);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("device");
	TCase *tc = tcase_create("device");
	SRunner *sr;
	int failed;

	tcase_add_test(tc, a21_rfc8628);
	tcase_add_loop_test(tc, a21_times, 0, nitems(times));
	tcase_add_test(tc, a21_urls);
	tcase_add_loop_test(tc, a21_refused, 0, nitems(refused));
	tcase_add_test(tc, a21_huge);
	tcase_add_test(tc, a21_polls);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
