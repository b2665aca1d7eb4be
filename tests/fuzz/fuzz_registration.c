/* lib/registration: what a server answers is refused, or a client that can be used. */
#include "registration.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct registration reg;
	const char *why, *method;

	if (registration_parse((const char *)data, size, &reg, &why) < 0)
		return 0;
	method = reg.auth_method != NULL ? reg.auth_method : "none";
	if (*reg.client_id == '\0' || reg.secret_expires_at <= 0 ||
	    (strcmp(method, "none") != 0 && reg.client_secret == NULL))
		abort();
	registration_free(&reg);
	return 0;
}
