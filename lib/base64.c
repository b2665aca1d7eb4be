#include "base64.h"

static const char standard[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static const char url_safe[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/* Writes the characters, `pad` in place of those without bits ('\0': none), and NUL. */
static size_t
encode(char *out, const unsigned char *p, size_t n, const char *digits, char pad)
{
	const char *begin = out;
	unsigned long v;
	size_t i, left;

	for (i = 0; i < n; i += 3) {
		left = n - i;
		v = (unsigned long)p[i] << 16;
		if (left > 1)
			v |= (unsigned long)p[i + 1] << 8;
		if (left > 2)
			v |= p[i + 2];
		*out++ = digits[v >> 18];
		*out++ = digits[v >> 12 & 63];
		if (left > 1 || pad != '\0')
			*out++ = left > 1 ? digits[v >> 6 & 63] : pad;
		if (left > 2 || pad != '\0')
			*out++ = left > 2 ? digits[v & 63] : pad;
	}
	*out = '\0';
	return (size_t)(out - begin);
}

static int
append(struct buf *out, const void *p, size_t n, const char *digits, char pad)
{
	int r;

	if (n > BUF_MAX_DEFAULT)
		return -EMSGSIZE;
	r = buf_reserve(out, pad != '\0' ? (n + 2) / 3 * 4 : (n * 4 + 2) / 3);
	if (r == 0)
		out->len += encode(out->p + out->len, p, n, digits, pad);
	return r;
}

int
base64_add(struct buf *out, const void *p, size_t n)
{
	return append(out, p, n, standard, '=');
}

int
base64url_add(struct buf *out, const void *p, size_t n)
{
	return append(out, p, n, url_safe, '\0');
}

void
base64url_text(char *out, const void *p, size_t n)
{
	encode(out, p, n, url_safe, '\0');
}

/* The value of a character, or -1. */
static int
digit(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '-' ? 62 : c == '_' ? 63 : -1;
}

int
base64url_get(struct buf *out, const char *p, size_t n)
{
	unsigned long v = 0;
	unsigned bits = 0;
	size_t i, len = 0;
	char *to;
	int d, r;

	if (n % 4 == 1)
		return -EBADMSG;
	for (i = 0; i < n; i++)
		if (digit(p[i]) < 0)
			return -EBADMSG;
	/* RFC 4648 section 3.5: bits behind the last byte are zero, else two texts are one value. */
	d = n > 0 ? digit(p[n - 1]) : 0;
	if ((n % 4 == 2 && (d & 15) != 0) || (n % 4 == 3 && (d & 3) != 0))
		return -EBADMSG;
	if ((r = buf_reserve(out, n / 4 * 3 + (n % 4 != 0 ? n % 4 - 1 : 0))) < 0)
		return r;
	to = out->p + out->len;
	for (i = 0; i < n; i++) {
		v = (v << 6 | (unsigned long)digit(p[i])) & 0xffffff;
		bits += 6;
		if (bits >= 8) {
			bits -= 8;
			to[len++] = (char)(v >> bits & 0xff);
		}
	}
	out->len += len;
	out->p[out->len] = '\0';
	return 0;
}
