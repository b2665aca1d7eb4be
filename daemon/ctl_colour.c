#include <unistd.h>

#include "ctl_colour.h"
#include "util.h"

static bool
wanted(FILE *out)
{
	const char *no = getenv("NO_COLOR"), *term = getenv("TERM");

	return (no == NULL || no[0] == '\0') && term != NULL && strcmp(term, "dumb") != 0 &&
	    isatty(fileno(out)) == 1;
}

const char *
ctl_colour(FILE *out, enum ctl_colour colour)
{
	if (!wanted(out))
		return "";
	switch (colour) {
	case COLOUR_GOOD:
		return "\033[32m";
	case COLOUR_WARN:
		return "\033[33m";
	case COLOUR_BAD:
		return "\033[31m";
	case COLOUR_FAINT:
		return "\033[2m";
	case COLOUR_END:
		return "\033[0m";
	}
	abort();
}
