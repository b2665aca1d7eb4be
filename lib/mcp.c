#include <stdarg.h>

#include "base64.h"
#include "mcp.h"

static const char sentinel_begin[] = "=?base64?", sentinel_end[] = "?=";

/* --- looking around in JSON --- */

static const char *
skip_blanks(const char *p, const char *end)
{
	while (p < end && (*p == ' ' || *p == '\t' || *p == '\n' || *p == '\r'))
		p++;
	return p;
}

/* Behind the closing quote, or NULL. */
static const char *
skip_string(const char *p, const char *end)
{
	for (p++; p < end; p++) {
		if (*p == '"')
			return p + 1;
		if (*p == '\\')
			p++;
	}
	return NULL;
}

static bool
ends_scalar(char c)
{
	return c == ',' || c == ']' || c == '}' || c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static const char *
skip_container(const char *p, const char *end)
{
	size_t depth = 0;

	while (p < end) {
		if (*p == '"') {
			if ((p = skip_string(p, end)) == NULL)
				return NULL;
			continue;
		}
		if (*p == '{' || *p == '[')
			depth++;
		else if ((*p == '}' || *p == ']') && --depth == 0)
			return p + 1;
		p++;
	}
	return NULL;
}

/* Behind the value at p, or NULL. */
static const char *
skip_value(const char *p, const char *end)
{
	if (p == end)
		return NULL;
	if (*p == '"')
		return skip_string(p, end);
	if (*p == '{' || *p == '[')
		return skip_container(p, end);
	while (p < end && !ends_scalar(*p))
		p++;
	return p;
}

/* Takes one value off p, blanks around it included; NULL at a fault. */
static const char *
take_value(const char *p, const char *end, struct slice *ret)
{
	const char *from = skip_blanks(p, end);

	p = skip_value(from, end);
	if (p == NULL || p == from)
		return NULL;
	*ret = (struct slice){ from, (size_t)(p - from) };
	return skip_blanks(p, end);
}

/* The inside of a container with these brackets; {NULL, 0} if it is none. */
static struct slice
inside(struct slice json, char open, char close)
{
	const char *end = json.p + json.n, *p;

	if (json.p == NULL)
		return (struct slice){ NULL, 0 };
	p = skip_blanks(json.p, end);
	while (end > p && (end[-1] == ' ' || end[-1] == '\t' || end[-1] == '\n' || end[-1] == '\r'))
		end--;
	if (end - p < 2 || *p != open || end[-1] != close)
		return (struct slice){ NULL, 0 };
	return (struct slice){ p + 1, (size_t)(end - p) - 2 };
}

bool
mcp_member(struct slice json, const char *key, struct slice *ret)
{
	struct slice in = inside(json, '{', '}'), name, value;
	const char *p = in.p, *end = in.p + in.n;
	bool found = false;

	if (p == NULL)
		return false;
	for (p = skip_blanks(p, end); p < end; p = skip_blanks(p + 1, end)) {
		if ((p = take_value(p, end, &name)) == NULL || p == end || *p != ':' ||
		    (p = take_value(p + 1, end, &value)) == NULL)
			break;
		if (mcp_is(name, key)) {
			*ret = value;
			found = true;
		}
		if (p == end || *p != ',')
			break;
	}
	return found;
}

bool
mcp_at(struct slice json, struct slice *ret, ...)
{
	const char *key;
	bool found = true;
	va_list ap;

	va_start(ap, ret);
	while (found && (key = va_arg(ap, const char *)) != NULL)
		found = mcp_member(json, key, &json);
	va_end(ap);
	if (found)
		*ret = json;
	return found;
}

bool
mcp_element(struct slice array, size_t *at, struct slice *ret)
{
	struct slice in = inside(array, '[', ']');
	const char *p, *end = in.p + in.n;

	if (in.p == NULL || *at >= in.n || (p = take_value(in.p + *at, end, ret)) == NULL)
		return false;
	*at = (size_t)(p - in.p) + 1;	/* behind the comma */
	return true;
}

/* --- strings and ids --- */

static int
hex4(const char *p, const char *end)
{
	int digit, unit = 0;

	if (end - p < 4)
		return -1;
	for (int i = 0; i < 4; i++) {
		if (p[i] >= '0' && p[i] <= '9')
			digit = p[i] - '0';
		else if ((p[i] | 0x20) >= 'a' && (p[i] | 0x20) <= 'f')
			digit = (p[i] | 0x20) - 'a' + 10;
		else
			return -1;
		unit = unit << 4 | digit;
	}
	return unit;
}

static int
add_utf8(struct buf *out, unsigned u)
{
	unsigned char b[4];
	unsigned n = u < 0x80 ? 1 : u < 0x800 ? 2 : u < 0x10000 ? 3 : 4;

	for (unsigned i = n - 1; i > 0; i--, u >>= 6)
		b[i] = (unsigned char)(0x80 | (u & 0x3f));
	b[0] = (unsigned char)(n == 1 ? u : (0xf00u >> n & 0xff) | u);
	return buf_add(out, b, n);
}

/* p is behind "\u"; a lone surrogate becomes U+FFFD.  Returns where to go on, NULL with *error. */
static const char *
add_unicode(struct buf *out, const char *p, const char *end, int *error)
{
	int unit = hex4(p, end), low = -1;

	*error = unit < 0 ? -EINVAL : 0;
	if (unit < 0)
		return NULL;
	p += 4;
	if (unit >= 0xd800 && unit <= 0xdbff && end - p >= 6 && p[0] == '\\' && p[1] == 'u')
		low = hex4(p + 2, end);
	if (low >= 0xdc00 && low <= 0xdfff) {
		unit = 0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00);
		p += 6;
	} else if (unit >= 0xd800 && unit <= 0xdfff) {
		unit = 0xfffd;
	}
	*error = add_utf8(out, (unsigned)unit);
	return *error < 0 ? NULL : p;
}

int
mcp_text(struct slice json, struct buf *out)
{
	static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
	const char *p, *end, *run, *at;
	int e = 0;

	if (json.n < 2 || json.p[0] != '"' || json.p[json.n - 1] != '"')
		return -EINVAL;
	end = json.p + json.n - 1;
	for (p = json.p + 1; p != NULL && p < end; ) {
		run = memchr(p, '\\', (size_t)(end - p));
		if ((e = buf_add(out, p, (size_t)((run != NULL ? run : end) - p))) < 0 || run == NULL)
			break;
		if (run + 1 == end)
			return -EINVAL;
		if (run[1] == 'u') {
			p = add_unicode(out, run + 2, end, &e);
			continue;
		}
		if (run[1] == '\0' || (at = strchr(from, run[1])) == NULL)
			return -EINVAL;
		if ((e = buf_add(out, &to[at - from], 1)) < 0)
			break;
		p = run + 2;
	}
	return e;
}

bool
mcp_is(struct slice json, const char *text)
{
	_cleanup_(buf_free) struct buf plain = BUF_INIT(0);
	struct slice in;

	if (json.n < 2 || json.p[0] != '"')
		return false;
	in = (struct slice){ json.p + 1, json.n - 2 };
	if (memchr(in.p, '\\', in.n) == NULL)
		return slice_eq(in, text);
	return mcp_text(json, &plain) == 0 &&
	    slice_eq((struct slice){ plain.p != NULL ? plain.p : "", plain.len }, text);
}

static bool
is_string(struct slice s)
{
	return s.n > 0 && s.p[0] == '"';
}

/* Digits alone, with a sign. */
static bool
is_integer(struct slice s)
{
	size_t i = s.n > 0 && s.p[0] == '-';

	for (; i < s.n; i++)
		if (s.p[i] < '0' || s.p[i] > '9')
			return false;
	return true;
}

static bool
same_number(struct slice a, struct slice b)
{
	char x[64], y[64];

	if ((is_integer(a) && is_integer(b)) || a.n >= sizeof(x) || b.n >= sizeof(y))
		return false;
	memcpy(x, a.p, a.n);
	memcpy(y, b.p, b.n);
	x[a.n] = y[b.n] = '\0';
	return strtod(x, NULL) == strtod(y, NULL);
}

static bool
same_text(struct slice a, struct slice b)
{
	_cleanup_(buf_free) struct buf x = BUF_INIT(0), y = BUF_INIT(0);

	return mcp_text(a, &x) == 0 && mcp_text(b, &y) == 0 && x.len == y.len &&
	    (x.len == 0 || memcmp(x.p, y.p, x.len) == 0);
}

bool
mcp_same_id(struct slice a, struct slice b)
{
	if (a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0))
		return true;
	if (a.n == 0 || b.n == 0 || is_string(a) != is_string(b))
		return false;
	return is_string(a) ? same_text(a, b) : same_number(a, b);
}

/* --- headers --- */

/* May it stand in a field as it is? */
static bool
is_plain(const char *p, size_t n)
{
	size_t begin = sizeof(sentinel_begin) - 1, end = sizeof(sentinel_end) - 1;

	for (size_t i = 0; i < n; i++)
		if (p[i] < 0x20 || p[i] > 0x7e)
			return false;
	if (n > 0 && (p[0] == ' ' || p[n - 1] == ' '))
		return false;
	return n < begin + end || memcmp(p, sentinel_begin, begin) != 0 ||
	    memcmp(p + n - end, sentinel_end, end) != 0;
}

int
mcp_header_value(struct buf *out, const char *p, size_t n)
{
	int e;

	if (n == 0)
		return 0;
	if (is_plain(p, n))
		return buf_add(out, p, n);
	if ((e = buf_adds(out, sentinel_begin)) < 0 || (e = base64_add(out, p, n)) < 0)
		return e;
	return buf_adds(out, sentinel_end);
}

static const char *
name_member(const char *method)
{
	if (strcmp(method, "tools/call") == 0 || strcmp(method, "prompts/get") == 0)
		return "name";
	if (strcmp(method, "resources/read") == 0)
		return "uri";
	if (strncmp(method, "tasks/", 6) == 0)
		return "taskId";
	return NULL;
}

int
mcp_name(struct slice message, const char *method, struct buf *out)
{
	_cleanup_(buf_free) struct buf text = BUF_INIT(HEADER_BYTES);
	const char *member = name_member(method);
	struct slice value;
	int e;

	if (member == NULL || !mcp_at(message, &value, "params", member, NULL))
		return 0;
	if ((e = mcp_text(value, &text)) < 0)
		return e == -EINVAL ? 0 : e;
	return (e = mcp_header_value(out, text.p, text.len)) < 0 ? e : 1;
}
