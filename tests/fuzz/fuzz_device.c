/* lib/device: what a server answers is refused, or safe to show and to wait for. */
#include "device.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *why, *p;
	struct device d;

	if (device_parse((const char *)data, size, &d, &why) < 0)
		return 0;
	for (p = d.user_code; *p != '\0'; p++)
		if (*p < ' ' || *p > '~')
			abort();
	if (strncasecmp(d.verification_uri, "http", 4) != 0 || d.lifetime <= 0 || d.interval < 1000)
		abort();
	device_free(&d);
	return 0;
}
