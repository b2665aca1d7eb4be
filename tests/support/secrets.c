/*
 * No secret that the wall ever issued or saw stands where it must not: in a
 * daemon's log or in anything that a daemon answered.  The wall's tokens are
 * at_ or rt_ and 32 hex digits; any 12 of them are one too many.  Of other
 * secrets (the wall's secrets file) the first 20 characters.  What the
 * authorization URL and the device instructions hold ("url " in that file) may
 * stand in answers of the control socket, and there alone (contract H5).
 */
#include <stdio.h>

#include "support.h"

#define SHOWN		12
#define BEGINNING	20
#define HEARD_MAX	(16L * 1024 * 1024)

static struct buf	heard = { .max = HEARD_MAX }, heard_control = { .max = HEARD_MAX };

void
overheard(const char *where, const char *p, size_t n)
{
	struct buf	*to = strstr(where, "control.sock") != NULL ? &heard_control : &heard;

	if (strstr(where, "/run") != NULL && to->len + n <= (size_t)HEARD_MAX)
		buf_add(to, p, n);
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
refuse_at(const char *where, const char *text, const char *at)
{
	size_t	before = MIN((size_t)(at - text), 100);

	give_up("a secret stands in %s: %.*s", where, (int)before + SHOWN, at - before);
}

/* `secrets` are the file's lines; shown: those of a URL may stand here. */
static void
refuse(const char *where, const char *text, size_t n, const char *secrets, bool shown)
{
	const char	*at, *line, *end;
	bool		 url;

	if (text == NULL || n == 0)
		return;
	if ((at = find_token(text, n)) != NULL)
		refuse_at(where, text, at);
	for (line = secrets; line != NULL && *line != '\0'; line = *end != '\0' ? end + 1 : end) {
		end = strchrnul(line, '\n');
		if ((url = strncmp(line, "url ", 4) == 0))
			line += 4;
		if ((url && shown) || strncmp(line, "at_", 3) == 0 || strncmp(line, "rt_", 3) == 0)
			continue;
		at = memmem(text, n, line, MIN((size_t)(end - line), BEGINNING));
		if (at != NULL)
			refuse_at(where, text, at);
	}
}

void
secrets_check(const struct world *w)
{
	char	*log, *secrets = file_read(w->secrets, NULL);
	size_t	 n;

	refuse("an answer of a daemon", heard.p, heard.len, secrets, false);
	refuse("an answer of a control socket", heard_control.p, heard_control.len, secrets, true);
	for (const struct authd *a = w->daemons; a != NULL; a = a->next) {
		log = file_read(a->log, &n);
		refuse(a->log, log, log != NULL ? n : 0, secrets, false);
		free(log);
	}
	free(secrets);
}
