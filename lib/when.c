#include <stdio.h>

#include "when.h"

const char *
when_words(int64_t seconds, char out[WHEN_BYTES])
{
	static const struct { uint64_t from, unit; const char *word; } units[] = {
		{ 48 * 3600, 24 * 3600, "days" }, { 2 * 3600, 3600, "h" },
		{ 120, 60, "min" }, { 1, 1, "s" },
	};
	uint64_t n = seconds < 0 ? -(uint64_t)seconds : (uint64_t)seconds;
	size_t i;

	snprintf(out, WHEN_BYTES, "now");
	for (i = 0; i < nitems(units); i++) {
		if (n < units[i].from)
			continue;
		snprintf(out, WHEN_BYTES, seconds < 0 ? "%llu %s ago" : "in %llu %s",
		    (unsigned long long)(n / units[i].unit), units[i].word);
		break;
	}
	return out;
}
