#include "address.h"

/* The first `bits` bits of an address. */
struct range {
	unsigned char	prefix[16];
	unsigned char	bits;
};

static const struct range ranges4[] = {
	{ { 0 }, 8 },			/* this network, unspecified */
	{ { 10 }, 8 },
	{ { 100, 64 }, 10 },		/* shared, RFC 6598 */
	{ { 127 }, 8 },
	{ { 169, 254 }, 16 },		/* link-local; cloud metadata services */
	{ { 172, 16 }, 12 },
	{ { 192, 0, 0 }, 24 },		/* IETF protocol assignments */
	{ { 192, 0, 2 }, 24 },		/* documentation */
	{ { 192, 168 }, 16 },
	{ { 198, 18 }, 15 },		/* benchmarking */
	{ { 198, 51, 100 }, 24 },	/* documentation */
	{ { 203, 0, 113 }, 24 },	/* documentation */
	{ { 224 }, 4 },			/* multicast */
	{ { 240 }, 4 }			/* reserved, broadcast */
};

static const struct range ranges6[] = {
	{ { 0 }, 96 },			/* unspecified, loopback, IPv4-compatible (deprecated) */
	{ { 0, 0x64, 0xff, 0x9b, 0, 1 }, 48 },	/* local-use NAT64, RFC 8215 */
	{ { 0x01 }, 64 },		/* discard, RFC 6666 */
	{ { 0x20, 0x01 }, 23 },		/* IETF protocol assignments: Teredo, ORCHID */
	{ { 0x20, 0x01, 0x0d, 0xb8 }, 32 },	/* documentation */
	{ { 0x3f, 0xff }, 20 },		/* documentation, RFC 9637 */
	{ { 0x5f }, 16 },		/* segment routing, RFC 9602 */
	{ { 0xfc }, 7 },		/* unique-local */
	{ { 0xfe, 0x80 }, 10 },		/* link-local */
	{ { 0xfe, 0xc0 }, 10 },		/* site-local (deprecated) */
	{ { 0xff }, 8 }			/* multicast */
};

/* IPv6 forms that hold an IPv4 address, and where. */
static const struct {
	struct range	range;
	unsigned char	at;
} holders[] = {
	{ { { [10] = 0xff, [11] = 0xff }, 96 }, 12 },		/* mapped */
	{ { { [8] = 0xff, [9] = 0xff }, 96 }, 12 },		/* translated, RFC 7915 */
	{ { { 0, 0x64, 0xff, 0x9b }, 96 }, 12 },		/* NAT64 */
	{ { { 0x20, 0x02 }, 16 }, 2 }				/* 6to4 */
};

static bool
within(const unsigned char *a, const struct range *r)
{
	size_t whole = r->bits / 8;
	unsigned mask = 0xff00u >> r->bits % 8 & 0xff;

	return memcmp(a, r->prefix, whole) == 0 &&
	    (mask == 0 || ((a[whole] ^ r->prefix[whole]) & mask) == 0);
}

static bool
within_any(const unsigned char *a, const struct range *r, size_t n)
{
	for (; n > 0; r++, n--)
		if (within(a, r))
			return true;
	return false;
}

bool
address_is_private(const unsigned char *a, size_t n)
{
	size_t i;

	if (n == 4)
		return within_any(a, ranges4, nitems(ranges4));
	if (n != 16)
		return true;
	for (i = 0; i < nitems(holders); i++)
		if (within(a, &holders[i].range))
			return within_any(a + holders[i].at, ranges4, nitems(ranges4));
	return within_any(a, ranges6, nitems(ranges6));
}
