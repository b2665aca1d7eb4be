#ifndef GUARDED_H
#define GUARDED_H

#include <stddef.h>

/* A copy of n bytes (64 KiB at most) with nothing readable behind them; gone with the next call. */
const char *guarded(const char *, size_t n);

#endif
