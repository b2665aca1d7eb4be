/* Small things that every file needs: slices, clean-up, bounds of arrays. */
#ifndef UTIL_H
#define UTIL_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/types.h>

#define nitems(a)	(sizeof(a) / sizeof((a)[0]))
#define MIN(a, b)	((a) < (b) ? (a) : (b))
#define MAX(a, b)	((a) > (b) ? (a) : (b))

#define _printf_(f, a)	__attribute__((format(printf, f, a)))
#define _cleanup_(f)	__attribute__((cleanup(f)))
#define _unused_	__attribute__((unused))

/* Bytes that somebody else owns; not NUL-terminated. {NULL, 0} is "absent". */
struct slice {
	const char	*p;
	size_t		 n;
};

static inline struct slice
slice_of(const char *s)
{
	return (struct slice){ s, s != NULL ? strlen(s) : 0 };
}

/* Byte for byte; a NULL string equals nothing. */
static inline bool
slice_eq(struct slice s, const char *t)
{
	return s.p != NULL && t != NULL && strlen(t) == s.n &&
	    memcmp(s.p, t, s.n) == 0;
}

/* ASCII case ignored (HTTP field names, schemes, tokens). */
static inline bool
slice_ieq(struct slice s, const char *t)
{
	return s.p != NULL && t != NULL && strlen(t) == s.n &&
	    strncasecmp(s.p, t, s.n) == 0;
}

/* Absent equals absent alone. */
static inline bool
text_same(const char *a, const char *b)
{
	return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

static inline void
freep(void *p)
{
	free(*(void **)p);
}

/* The two clocks, passed into every pure step and never stored (contract F5). */
struct now {
	int64_t	wall;	/* ms since the epoch, CLOCK_REALTIME: token expiry alone */
	int64_t	boot;	/* ms, CLOCK_BOOTTIME: every deadline and back-off */
};

#endif
