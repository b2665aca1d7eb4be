#include <openssl/crypto.h>

#include <stdio.h>

#include "buf.h"

#define FIRST_CAP	64	/* most of our texts fit without growing */
#define REPLACEMENT	"\xef\xbf\xbd"

static size_t
ceiling(const struct buf *b)
{
	return b->max != 0 ? b->max : (size_t)BUF_MAX_DEFAULT;
}

/* Never realloc() for a secret: it may leave the old copy behind. */
static char *
regrow(struct buf *b, size_t cap)
{
	char	*p;

	if (!b->secret)
		return realloc(b->p, cap);
	if ((p = malloc(cap)) == NULL)
		return NULL;
	if (b->p != NULL) {
		memcpy(p, b->p, b->len);
		OPENSSL_cleanse(b->p, b->cap);
		free(b->p);
	}
	return p;
}

int
buf_reserve(struct buf *b, size_t n)
{
	size_t	 max = ceiling(b), need, cap;
	char	*p;

	if (b->len > max || n > max - b->len)
		return -EMSGSIZE;
	need = b->len + n + 1;
	if (need <= b->cap)
		return 0;
	cap = MAX(b->cap * 2, (size_t)FIRST_CAP);
	cap = MAX(MIN(cap, max + 1), need);
	if ((p = regrow(b, cap)) == NULL)
		return -ENOMEM;
	b->p = p;
	b->cap = cap;
	b->p[b->len] = '\0';
	return 0;
}

int
buf_add(struct buf *b, const void *data, size_t n)
{
	int	r;

	if ((n >= b->cap - b->len || b->len + n > ceiling(b)) && (r = buf_reserve(b, n)) < 0)
		return r;
	if (n > 0)
		memcpy(b->p + b->len, data, n);
	b->len += n;
	b->p[b->len] = '\0';
	return 0;
}

int
buf_adds(struct buf *b, const char *s)
{
	return buf_add(b, s, strlen(s));
}

int
buf_addslice(struct buf *b, struct slice s)
{
	return buf_add(b, s.p, s.n);
}

/* Takes back everything behind `len`. */
static void
truncate_to(struct buf *b, size_t len)
{
	if (b->p == NULL)
		return;
	if (b->secret)
		OPENSSL_cleanse(b->p + len, b->cap - len);
	b->len = len;
	b->p[len] = '\0';
}

/* Formats into the spare room, growing it if it must; `len` stays. */
static int _printf_(2, 0)
format_spare(struct buf *b, const char *fmt, va_list ap)
{
	va_list	again;
	int	n, r;

	if ((r = buf_reserve(b, 0)) < 0)
		return r;
	va_copy(again, ap);
	n = vsnprintf(b->p + b->len, b->cap - b->len, fmt, ap);
	r = n < 0 ? -EMSGSIZE : n;
	if (n >= 0 && (size_t)n >= b->cap - b->len &&
	    (r = buf_reserve(b, (size_t)n)) == 0)
		r = vsnprintf(b->p + b->len, b->cap - b->len, fmt, again);
	va_end(again);
	return r;
}

int
buf_addf(struct buf *b, const char *fmt, ...)
{
	va_list	ap;
	int	n;

	va_start(ap, fmt);
	n = format_spare(b, fmt, ap);
	va_end(ap);
	if (n < 0) {
		truncate_to(b, b->len);
		return n;
	}
	if ((size_t)n > ceiling(b) - b->len) {
		truncate_to(b, b->len);
		return -EMSGSIZE;
	}
	b->len += (size_t)n;
	return 0;
}

/*
 * Length of the UTF-8 sequence at p, or 0 with *ret_bad set to the bytes that
 * one U+FFFD stands for (the "maximal subpart" of Unicode 3.9).
 */
static size_t
utf8_length(const unsigned char *p, size_t n, size_t *ret_bad)
{
	unsigned char	low = 0x80, high = 0xbf;
	size_t		want, i;

	*ret_bad = 1;
	if (p[0] < 0x80)
		return 1;
	if (p[0] < 0xc2 || p[0] > 0xf4)
		return 0;
	want = p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
	if (p[0] == 0xe0)
		low = 0xa0;
	else if (p[0] == 0xed)
		high = 0x9f;
	else if (p[0] == 0xf0)
		low = 0x90;
	else if (p[0] == 0xf4)
		high = 0x8f;
	for (i = 1; i < want; i++) {
		if (i >= n || p[i] < low || p[i] > high) {
			*ret_bad = i;
			return 0;
		}
		low = 0x80;
		high = 0xbf;
	}
	return want;
}

static int
add_escape(struct buf *b, unsigned char c)
{
	static const char	plain[] = "\"\\\b\f\n\r\t", letter[] = "\"\\bfnrt";
	const char		*hit = c != 0 ? strchr(plain, c) : NULL;

	if (hit != NULL)
		return buf_add(b, (char []){ '\\', letter[hit - plain] }, 2);
	return buf_addf(b, "\\u%04x", c);
}

static bool
needs_escape(unsigned char c)
{
	return c < 0x20 || c == '"' || c == '\\';
}

static int
add_json_body(struct buf *b, const unsigned char *p, size_t n)
{
	size_t	i = 0, run = 0, len, bad;
	int	r = 0;

	while (i < n && r == 0) {
		len = utf8_length(p + i, n - i, &bad);
		if (len > 0 && !needs_escape(p[i])) {
			i += len;
			continue;
		}
		if ((r = buf_add(b, p + run, i - run)) < 0)
			break;
		r = len > 0 ? add_escape(b, p[i]) : buf_adds(b, REPLACEMENT);
		i += len > 0 ? len : bad;
		run = i;
	}
	return r < 0 ? r : buf_add(b, p + run, n - run);
}

int
buf_addjson(struct buf *b, const char *p, size_t n)
{
	size_t	len = b->len;
	int	r;

	if ((r = buf_add(b, "\"", 1)) < 0 ||
	    (n > 0 && (r = add_json_body(b, (const unsigned char *)p, n)) < 0) ||
	    (r = buf_add(b, "\"", 1)) < 0)
		truncate_to(b, len);
	return r;
}

void
buf_consume(struct buf *b, size_t n)
{
	if (n == 0)
		return;
	memmove(b->p, b->p + n, b->len - n);
	truncate_to(b, b->len - n);
}

void
buf_reset(struct buf *b)
{
	truncate_to(b, 0);
}

void
buf_free(struct buf *b)
{
	if (b->secret && b->p != NULL)
		OPENSSL_cleanse(b->p, b->cap);
	free(b->p);
	b->p = NULL;
	b->len = b->cap = 0;
}

char *
buf_steal(struct buf *b)
{
	char	*p;

	if (buf_reserve(b, 0) < 0)
		return NULL;
	truncate_to(b, b->len);
	p = b->p;
	b->p = NULL;
	b->len = b->cap = 0;
	return p;
}

void
secret_freen(void *p, size_t n)
{
	if (p == NULL)
		return;
	OPENSSL_cleanse(p, n);
	free(p);
}

void
secret_free(char *s)
{
	secret_freen(s, s != NULL ? strlen(s) : 0);
}

const char *
text_escape(char *out, size_t size, const char *p, size_t n)
{
	static const char	hex[] = "0123456789abcdef";
	size_t			o = 0, cut = 0, i, width;

	for (i = 0; i < n; i++) {
		unsigned char	c = (unsigned char)p[i];

		if (o + sizeof("...") <= size)
			cut = o;
		width = c >= 0x20 && c < 0x7f ? 1 : 4;
		if (o + width >= size)
			break;
		if (width == 1)
			out[o] = (char)c;
		else
			memcpy(out + o, (char []){ '\\', 'x', hex[c >> 4], hex[c & 15] }, 4);
		o += width;
	}
	if (i < n) {
		o = MIN(cut + 3, size - 1);
		memset(out + cut, '.', o - cut);
	}
	out[o] = '\0';
	return out;
}
