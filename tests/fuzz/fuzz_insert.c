/* lib/insert: whatever the text, the result is right, holds the member and all that was there. */
#include "insert.h"
#include "jsonc.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct insert_member m = { "mcp-authd fuzz", "{ \"url\": \"u\" }" };
	struct slice before = { (const char *)data, size };
	struct buf out = BUF_INIT(0), diff = BUF_INIT(0);
	struct json_error e = { 0 };
	size_t i, left = 0;
	cJSON *doc;

	if (insert_members(&out, before.p, size, "s", &m, 1, &e) == 0) {
		for (i = 0; i < out.len && left < size; i++)
			left += out.p[i] == before.p[left];
		if (left < size || insert_diff(&diff, "f", before, (struct slice){ out.p, out.len }) < 0 ||
		    jsonc_clean(out.p, out.len, &e) < 0 || (doc = json_parse(out.p, out.len, &e)) == NULL)
			abort();
		if (json_member(json_member(doc, "s"), m.name) == NULL)
			abort();
		cJSON_Delete(doc);
	} else if (e.line == 0 || e.what == NULL)
		abort();
	buf_free(&diff);
	buf_free(&out);
	return 0;
}
