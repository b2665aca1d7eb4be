/* lib/http1: whole and byte by byte must agree.  'H' first: a response, else a request. */
#include "http1.h"

struct end { int r; enum http1_error e; size_t size, done; uint64_t seen; };

static struct end
run(const char *p, size_t size, size_t step)
{
	static struct http1_head h;
	struct http1_body b;
	struct slice data;
	struct end x = { 0 };
	size_t n = 0, scanned = 0;
	ssize_t took = 1;

	do {
		n = MIN(size, n + step);
		x.r = p[0] == 'H' ?
		    http1_response(p, n, &scanned, HEADER_BYTES, "GET", &h, &x.e) :
		    http1_request(p, n, &scanned, HEADER_BYTES, &h, &x.e);
	} while (x.r == 0 && n < size);
	if (x.r != 1)
		return x;
	http1_body_init(&b, h.framing, h.length);
	for (x.size = n = h.size; took > 0 && n < size; n += MAX(took, 0))
		took = http1_body(&b, p + n, MIN(step, size - n), &data, &x.e);
	x.r = took < 0 ? (int)took : x.r;
	x.done = b.done ? n : 0;
	x.seen = b.seen;
	return x;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct end a, b;

	if (size == 0)
		return 0;
	a = run((const char *)data, size, size);
	b = run((const char *)data, size, 1);
	if (a.r != b.r || a.e != b.e || a.size != b.size || a.done != b.done || a.seen != b.seen)
		abort();
	return 0;
}
