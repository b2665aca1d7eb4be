/* Forms and queries: application/x-www-form-urlencoded, read and written. */
#include "wall.h"

static int
hex_digit(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ?
	    (c | 32) - 'a' + 10 : -1;
}

char *
form_decode(const char *p, size_t n)
{
	char	*out = malloc(n + 1), *o = out;
	size_t	 i;

	if (out == NULL)
		die("no memory");
	for (i = 0; i < n; i++) {
		if (p[i] == '+') {
			*o++ = ' ';
		} else if (p[i] == '%' && i + 2 < n && hex_digit(p[i + 1]) >= 0 &&
		    hex_digit(p[i + 2]) >= 0) {
			*o++ = (char)(hex_digit(p[i + 1]) * 16 + hex_digit(p[i + 2]));
			i += 2;
		} else {
			*o++ = p[i];
		}
	}
	*o = '\0';
	return out;
}

char *
form_get(const char *form, size_t n, const char *name)
{
	const char	*end = form + n, *amp;
	size_t		 len = strlen(name);

	for (; form != NULL && form < end; form = amp + 1) {
		if ((amp = memchr(form, '&', (size_t)(end - form))) == NULL)
			amp = end;
		if ((size_t)(amp - form) > len && memcmp(form, name, len) == 0 &&
		    form[len] == '=')
			return form_decode(form + len + 1, (size_t)(amp - form) - len - 1);
	}
	return NULL;
}

void
form_add(struct buf *b, const char *name, const char *value)
{
	const char	*p;

	if (value == NULL)
		return;
	buf_addf(b, "%s%s=", b->len > 0 ? "&" : "", name);
	for (p = value; *p != '\0'; p++) {
		if (strchr("-._~", *p) != NULL || (*p >= '0' && *p <= '9') ||
		    ((*p | 32) >= 'a' && (*p | 32) <= 'z'))
			buf_add(b, p, 1);
		else
			buf_addf(b, "%%%02X", (unsigned char)*p);
	}
}

cJSON *
form_json(const char *form, size_t n)
{
	cJSON		*j = cJSON_CreateObject();
	const char	*end = form + n, *amp, *eq;
	char		*name, *value;

	for (; form != NULL && form < end; form = amp + 1) {
		if ((amp = memchr(form, '&', (size_t)(end - form))) == NULL)
			amp = end;
		if ((eq = memchr(form, '=', (size_t)(amp - form))) == NULL)
			continue;
		name = form_decode(form, (size_t)(eq - form));
		value = form_decode(eq + 1, (size_t)(amp - eq) - 1);
		cJSON_AddStringToObject(j, name, value);
		free(name);
		free(value);
	}
	return j;
}

bool
scope_has(const char *scope, const char *word)
{
	size_t	n = strlen(word), len;

	for (; scope != NULL && *scope != '\0'; scope += len + strspn(scope + len, " ")) {
		len = strcspn(scope, " ");
		if (len == n && strncmp(scope, word, n) == 0)
			return true;
	}
	return false;
}
