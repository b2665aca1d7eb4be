/* Colour for people at a terminal, and for nobody else. */
#ifndef CTL_COLOUR_H
#define CTL_COLOUR_H

#include <stdio.h>

enum ctl_colour { COLOUR_GOOD, COLOUR_WARN, COLOUR_BAD, COLOUR_FAINT, COLOUR_END };

/* The escape that begins it ("" unless `out` is a terminal other than TERM=dumb, and NO_COLOR is unset or empty). */
const char *ctl_colour(FILE *out, enum ctl_colour);

#endif
