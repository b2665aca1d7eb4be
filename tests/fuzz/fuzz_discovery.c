/* lib/discovery: hostile documents (the input, cut at NUL bytes, answers one request after the other) end it, in few steps. */
#include "discovery.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const int statuses[] = { 200, 404, 500, 0 };
	static const char mcp[] = "https://h/mcp";
	struct config_upstream u = { 0 };
	struct discovery_answer a = { 0 };
	struct discovery_result r = { 0 };
	struct challenge known = { 0 };
	const struct url *url;
	struct discovery *d;
	int steps = 0;

	url_parse(mcp, sizeof(mcp) - 1, &u.url);
	a.n = strnlen((const char *)data, size);
	(void)challenge_add(&known, (const char *)data, a.n);
	d = discovery_new(&u, size % 3 == 0 ? &known : NULL, size % 3 == 1);
	for (; discovery_next(d, &url) < DISCOVERY_DONE; (void)discovery_answer(d, &a)) {
		data += a.n + (a.n < size);
		size -= a.n + (a.n < size);
		a.n = strnlen((const char *)data, size);
		a.body = (const char *)data;
		a.challenge = &known;
		a.status = steps == 0 ? 401 : statuses[a.n > 0 && *data < 4 ? *data : 0];
		if (++steps > 8)
			abort();
	}
	discovery_take(d, &r);
	if (r.token_endpoint != NULL && strncmp(r.token_endpoint, "http", 4) != 0)
		abort();
	discovery_result_free(&r);
	discovery_free(d);
	challenge_free(&known);
	url_free(&u.url);
	return 0;
}
