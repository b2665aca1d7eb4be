/* lib/challenge: no value breaks it, and what it keeps is printable ASCII, never empty. */
#include "challenge.h"

static void
judge(const char *s)
{
	for (; s != NULL && (*s >= ' ' && *s <= '~' && *s != '"' && *s != '\\'); s++)
		if (s[1] == '\0')
			return;
	if (s != NULL)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct challenge c = { 0 };

	if (challenge_add(&c, (const char *)data, size) < 0 && c.bearer)
		abort();
	judge(c.error);
	judge(c.scope);
	judge(c.resource_metadata);
	challenge_free(&c);
	return 0;
}
