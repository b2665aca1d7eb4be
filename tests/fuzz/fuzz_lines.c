/* lib/lines: whole and byte by byte must agree; lib/mcp reads whatever a line holds. */
#include "lines.h"
#include "mcp_tools.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
warn(void *arg _unused_, const char *name _unused_, size_t n _unused_, const char *why _unused_)
{
}

static void
look(struct slice line)
{
	struct buf out = BUF_INIT(0);
	struct mcp_tools tools = { 0 };
	struct slice at;

	(void)mcp_name(line, "tools/call", &out);
	(void)mcp_at(line, &at, "params", "_meta", MCP_VERSION_KEY, NULL);
	buf_reset(&out);
	(void)mcp_tools_learn(&tools, line, &out, &at, warn, NULL);
	(void)mcp_tools_params(&tools, line, &out);
	mcp_tools_clear(&tools);
	buf_free(&out);
}

static void
give(struct lines *l, struct buf *out)
{
	buf_addf(out, "%d %d %zu\n", (int)l->rpc.kind, l->over, l->text.len);
	look((struct slice){ l->text.p != NULL ? l->text.p : "", l->text.len });
	lines_next(l);
}

static void
read_all(const char *p, size_t size, size_t step, struct buf *out)
{
	struct lines l;
	size_t n;

	lines_init(&l, 200);
	for (; size > 0; size -= n, p += n) {
		const char *at = p;
		size_t left = n = MIN(step, size);

		while (lines_feed(&l, &at, &left) == 1)
			give(&l, out);
	}
	if (lines_end(&l) == 1)
		give(&l, out);
	lines_free(&l);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf a = BUF_INIT(0), b = BUF_INIT(0);

	read_all((const char *)data, size, size, &a);
	read_all((const char *)data, size, 1, &b);
	if (a.len != b.len || (a.len > 0 && memcmp(a.p, b.p, a.len) != 0))
		abort();
	buf_free(&a);
	buf_free(&b);
	return 0;
}
