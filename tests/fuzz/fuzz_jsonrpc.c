/* lib/jsonrpc: whole and byte by byte must agree, and what json_check() takes is JSON here, too. */
#include "json.h"
#include "jsonrpc.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct jsonrpc a, b;
	size_t i;

	jsonrpc_init(&a);
	jsonrpc_init(&b);
	jsonrpc_feed(&a, (const char *)data, size);
	for (i = 0; i < size; i++)
		jsonrpc_feed(&b, (const char *)data + i, 1);
	jsonrpc_end(&a);
	jsonrpc_end(&b);
	if (a.kind != b.kind || strcmp(a.method, b.method) != 0 || a.ids.len != b.ids.len ||
	    (a.ids.len > 0 && memcmp(a.ids.p, b.ids.p, a.ids.len) != 0) ||
	    (a.kind == JSONRPC_NOT_JSON && json_check((const char *)data, size, NULL) == 0))
		abort();
	jsonrpc_free(&a);
	jsonrpc_free(&b);
	return 0;
}
