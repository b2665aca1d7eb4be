/* Which network an address belongs to (RFC 6890; WIRE A15). */
#ifndef ADDRESS_H
#define ADDRESS_H

#include "util.h"

/*
 * Private, loopback, link-local, unique-local, shared (100.64/10),
 * unspecified, multicast, benchmarking and documentation ranges; IPv6 forms
 * that hold an IPv4 address (mapped, NAT64, 6to4) are judged by that one.
 * `a` is 4 bytes (IPv4) or 16 (IPv6), network order.
 */
bool	address_is_private(const unsigned char *a, size_t n);

#endif
