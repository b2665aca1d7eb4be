/*
 * No token that the wall ever issued stands where it must not: in a daemon's
 * log or in anything that a daemon answered.  The wall's tokens are at_ or rt_
 * and 32 hex digits; any 12 of them are one too many.
 */
#include <stdio.h>

#include "support.h"

#define SHOWN		12
#define HEARD_MAX	(16L * 1024 * 1024)

static struct buf	heard = { .max = HEARD_MAX };

void
overheard(const char *where, const char *p, size_t n)
{
	if (strstr(where, "/run") != NULL && heard.len + n <= (size_t)HEARD_MAX)
		buf_add(&heard, p, n);
}

static const char *
find_token(const char *p, size_t n)
{
	const char	*end = p + n, *s = p;

	while ((s = memchr(s, '_', (size_t)(end - s))) != NULL) {
		if (s - p >= 2 && s[-1] == 't' && (s[-2] == 'a' || s[-2] == 'r') &&
		    end - s > SHOWN && strspn(s + 1, "0123456789abcdef") >= SHOWN)
			return s - 2;
		s++;
	}
	return NULL;
}

static void
refuse(const char *where, const char *text, size_t n)
{
	const char	*at = text != NULL ? find_token(text, n) : NULL;
	size_t		 before = at != NULL ? MIN((size_t)(at - text), 100) : 0;

	if (at != NULL)
		give_up("a token stands in %s: %.*s", where, (int)before + SHOWN, at - before);
}

void
secrets_check(const struct world *w)
{
	size_t	 n;
	char	*log;

	refuse("an answer of a daemon", heard.p, heard.len);
	for (const struct authd *a = w->daemons; a != NULL; a = a->next) {
		log = file_read(a->log, &n);
		refuse(a->log, log, log != NULL ? n : 0);
		free(log);
	}
}
