/* lib/config: every text is good or refused with a place and words. */
#include "config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct config_error error = { 0 };
	struct config c;
	int r;

	config_init(&c);
	r = config_parse(&c, "f", (const char *)data, size, NULL, NULL, &error);
	if (r < 0 && (error.line == 0 || error.column == 0 || error.what[0] == '\0'))
		abort();
	if (r == 0)
		config_finish(&c, "/run/mcp-authd", &error);
	config_free(&c);
	return 0;
}
