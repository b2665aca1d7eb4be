/* lib/address: where a discovered URL may not lead (WIRE A15). */
#include <arpa/inet.h>

#include <check.h>

#include "address.h"

static bool
is_private(const char *text)
{
	unsigned char a[16];

	if (inet_pton(AF_INET, text, a) == 1)
		return address_is_private(a, 4);
	ck_assert_msg(inet_pton(AF_INET6, text, a) == 1, "%s", text);
	return address_is_private(a, 16);
}

/* A15: the first and the last of each range. */
static const char *const inside[] = {
	"0.0.0.0", "0.255.255.255", "10.0.0.0", "10.255.255.255", "100.64.0.0", "100.127.255.255",
	"127.0.0.1", "127.255.255.255", "169.254.0.0", "169.254.169.254", "172.16.0.0",
	"172.31.255.255", "192.0.0.1", "192.0.2.255", "192.168.0.0", "192.168.255.255",
	"198.18.0.0", "198.19.255.255", "198.51.100.7", "203.0.113.7", "224.0.0.1",
	"239.255.255.255", "240.0.0.1", "255.255.255.255",
	"::", "::1", "::2", "::7f00:1", "::5db8:d822", "::ffff:10.0.0.1", "::ffff:127.0.0.1",
	"::ffff:0:192.168.0.1", "64:ff9b::10.1.2.3", "64:ff9b::169.254.169.254",
	"64:ff9b:1::5db8:d822", "100::1", "2001::1", "2001:2::1", "2001:db8::1",
	"2001:db8:ffff:ffff::", "2002:a01:203::1", "2002:7f00:1::", "2002:c0a8:101::1",
	"3fff::1", "3fff:fff::1", "5f00::1", "fc00::", "fdff:ffff::1", "fe80::1", "febf::1",
	"fec0::1", "feff::1", "ff02::1"
};

/* Their neighbours. */
static const char *const outside[] = {
	"1.0.0.0", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "126.255.255.255",
	"128.0.0.0", "169.253.255.255", "169.255.0.0", "172.15.255.255", "172.32.0.0",
	"192.0.1.0", "192.0.3.0", "192.167.255.255", "192.169.0.0", "198.17.255.255",
	"198.20.0.0", "198.51.99.255", "198.51.101.0", "203.0.112.255", "203.0.114.0",
	"223.255.255.255", "93.184.216.34", "8.8.8.8",
	"::ffff:93.184.216.34", "::ffff:0:8.8.8.8", "64:ff9b::8.8.8.8", "64:ff9b:2::1",
	"100:0:0:1::",
	"2001:200::1", "2001:db7::1", "2001:db9::1", "2002:5db8:d822::1", "2003::1",
	"2606:2800:220:1:248:1893:25c8:1946", "3fff:1000::1", "5eff::1", "5f01::1", "fbff::1",
	"fe00::1", "fe7f::1"
};

START_TEST(a15_inside)
{
	ck_assert_msg(is_private(inside[_i]), "%s", inside[_i]);
}
END_TEST

START_TEST(a15_outside)
{
	ck_assert_msg(!is_private(outside[_i]), "%s", outside[_i]);
}
END_TEST

/* What is no address is nowhere to go. */
START_TEST(a15_odd_length)
{
	static const unsigned char a[17] = { 8, 8, 8, 8 };
	size_t n;

	for (n = 0; n <= sizeof(a); n++)
		ck_assert(address_is_private(a, n) == (n != 4 && n != 16));
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("address");
	TCase *tc = tcase_create("address");
	SRunner *sr;
	int failed;

	tcase_add_loop_test(tc, a15_inside, 0, nitems(inside));
	tcase_add_loop_test(tc, a15_outside, 0, nitems(outside));
	tcase_add_test(tc, a15_odd_length);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
