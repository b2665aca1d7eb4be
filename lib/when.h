/* Times as people say them. */
#ifndef WHEN_H
#define WHEN_H

#include "util.h"

#define WHEN_BYTES	40

/* "in 5 min", "2 h ago", "now" for `seconds` from now. */
const char *when_words(int64_t seconds, char out[WHEN_BYTES]);

#endif
