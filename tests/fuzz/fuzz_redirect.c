/* lib/redirect: no query breaks it; a code is there or it is not, an error is one of our words. */
#include "redirect.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct redirect_expected expected = { .state = "s", .issuer = "i" };
	enum redirect_verdict (*const parse[])(const char *, size_t,
	    const struct redirect_expected *, struct redirect *) = { redirect_parse, redirect_pasted };
	struct redirect r;

	for (size_t i = 0; i < nitems(parse); i++) {
		enum redirect_verdict v = parse[i]((const char *)data, size, &expected, &r);

		if ((v == REDIRECT_CODE) != (r.code != NULL) ||
		    (v == REDIRECT_REFUSED) != (r.error[0] != '\0') ||
		    strspn(r.error, "abcdefghijklmnopqrstuvwxyz_") != strlen(r.error))
			abort();
		redirect_free(&r);
	}
	return 0;
}
