/* lib/sse: whole and byte by byte must agree. */
#include "sse.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* All data, lengths between. */
static void
read_all(struct sse *s, const char *p, size_t n, struct buf *out)
{
	int r;

	while ((r = sse_next(s, &p, &n)) != 0)
		if (buf_addf(out, "%d %zu ", r, r == 1 ? s->data.len : 0) == 0 && r == 1)
			buf_add(out, s->data.p, s->data.len);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf a = BUF_INIT(0), b = BUF_INIT(0);
	struct sse x, y;

	sse_init(&x, 100);
	sse_init(&y, 100);
	read_all(&x, (const char *)data, size, &a);
	for (size_t i = 0; i < size; i++)
		read_all(&y, (const char *)data + i, 1, &b);
	if (a.len != b.len || (a.len > 0 && memcmp(a.p, b.p, a.len) != 0) || x.retry != y.retry ||
	    x.last.len != y.last.len || (x.last.len > 0 && memcmp(x.last.p, y.last.p, x.last.len) != 0))
		abort();
	sse_free(&x);
	sse_free(&y);
	buf_free(&a);
	buf_free(&b);
	return 0;
}
