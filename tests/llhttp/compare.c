/*
 * lib/http1 beside llhttp (strict), over the corpus and mutations of it.  The
 * rule: what we accept, llhttp accepts, ends it at the same byte and reads
 * the same start line, fields and body.  Where llhttp alone accepts we are the
 * stricter; these cases are counted by our reason.  Usage: compare [corpus
 * directory].
 */
#include <dirent.h>
#include <llhttp.h>
#include <stdio.h>

#include "http1.h"

#define CORPUS		"tests/corpus/http1"
#define MUTATIONS	1500		/* of each corpus file */
#define INPUT_MAX	12288
#define TEXT_MAX	(64 * 1024)

enum kind { REQ, RESP, RESP_TO_HEAD };

/* One parser's reading of one input. */
struct reading {
	bool		complete;
	int		error;		/* http1_error or llhttp_errno_t; 0 = none */
	size_t		end;
	size_t		n;
	char		text[TEXT_MAX];	/* start line, fields, body, each part behind a mark */
};

struct watch {
	llhttp_t	 parser;	/* first: callbacks get it */
	struct reading	*reading;
	enum kind	 kind;
	bool		 in_body;
};

static uint64_t		seed = 88172645463325252ULL;
static struct reading	ours, theirs;
static unsigned		passed, failed, both_accept, both_refuse, unfinished;
static unsigned		stricter[HTTP1_ERROR_MAX];
static unsigned		exempt_method, exempt_url, exempt_trailer, exempt_extension, exempt_tab;

static size_t
dice(size_t n)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (size_t)(seed >> 11) % n;
}

static void
note(struct reading *r, const char *p, size_t n)
{
	n = MIN(n, sizeof(r->text) - r->n);
	if (n > 0)
		memcpy(r->text + r->n, p, n);
	r->n += n;
}

/* Our side. */

static void
note_head(struct reading *r, const struct http1_head *h, enum kind kind)
{
	char	text[32];
	size_t	i;

	if (kind == REQ) {
		note(r, h->method.p, h->method.n);
		note(r, " ", 1);
		note(r, h->target.p, h->target.n);
	}
	note(r, text, (size_t)snprintf(text, sizeof(text), " 1.%d %d\n", h->minor, h->status));
	for (i = 0; i < h->nfields; i++) {
		note(r, h->fields[i].name.p, h->fields[i].name.n);
		note(r, ":", 1);
		note(r, h->fields[i].value.p, h->fields[i].value.n);
		note(r, "\n", 1);
	}
	note(r, "\n", 1);
}

static void
read_body_ours(const struct http1_head *h, const char *p, size_t n)
{
	struct http1_body	b;
	struct slice		data;
	enum http1_error	e;
	size_t			at = h->size;
	ssize_t			took;

	http1_body_init(&b, h->framing, h->length);
	while (at < n && !b.done) {
		if ((took = http1_body(&b, p + at, n - at, &data, &e)) < 0) {
			ours.error = (int)e;
			return;
		}
		note(&ours, data.p, data.n);
		at += (size_t)took;
	}
	ours.complete = http1_body_eof(&b);
	ours.end = at;
}

static void
read_ours(enum kind kind, const char *p, size_t n)
{
	static struct http1_head	h;
	enum http1_error		e = HTTP1_OK;
	size_t				scanned = 0;
	int				r;

	memset(&ours, 0, offsetof(struct reading, text));
	r = kind == REQ ? http1_request(p, n, &scanned, HEADER_BYTES, &h, &e) :
	    http1_response(p, n, &scanned, HEADER_BYTES, kind == RESP ? "POST" : "HEAD", &h, &e);
	ours.error = (int)e;
	if (r != 1)
		return;
	note_head(&ours, &h, kind);
	read_body_ours(&h, p, n);
}

/* Their side; trailers come through the same callbacks as fields and are dropped. */

static struct watch *
watch_of(llhttp_t *parser)
{
	return (struct watch *)(void *)parser;
}

static int
on_text(llhttp_t *parser, const char *p, size_t n)
{
	if (!watch_of(parser)->in_body)
		note(watch_of(parser)->reading, p, n);
	return 0;
}

static int
on_body(llhttp_t *parser, const char *p, size_t n)
{
	note(watch_of(parser)->reading, p, n);
	return 0;
}

static int
on_method_complete(llhttp_t *parser)
{
	const char	*name = llhttp_method_name((llhttp_method_t)parser->method);

	note(watch_of(parser)->reading, name, strlen(name));
	note(watch_of(parser)->reading, " ", 1);
	return 0;
}

static int
on_line_complete(llhttp_t *parser)
{
	char	text[32];

	note(watch_of(parser)->reading, text, (size_t)snprintf(text, sizeof(text), " %d.%d %d\n",
	    parser->http_major, parser->http_minor, parser->status_code));
	return 0;
}

static int
on_version_complete(llhttp_t *parser)
{
	return parser->type == HTTP_REQUEST ? on_line_complete(parser) : 0;
}

static int
on_field_complete(llhttp_t *parser)
{
	return on_text(parser, ":", 1);
}

/* The blanks behind a value are its own for llhttp. */
static int
on_value_complete(llhttp_t *parser)
{
	struct reading	*r = watch_of(parser)->reading;

	if (watch_of(parser)->in_body)
		return 0;
	while (r->n > 0 && (r->text[r->n - 1] == ' ' || r->text[r->n - 1] == '\t'))
		r->n--;
	return on_text(parser, "\n", 1);
}

/* llhttp leaves it to its user which answers have no body (RFC 9112 6.3). */
static int
on_headers_complete(llhttp_t *parser)
{
	bool	none = parser->status_code == 204 || parser->status_code == 304;

	on_text(parser, "\n", 1);
	watch_of(parser)->in_body = true;
	parser->upgrade = 0;		/* we never switch protocols */
	return none || watch_of(parser)->kind == RESP_TO_HEAD;
}

static int
on_message_complete(llhttp_t *parser)
{
	watch_of(parser)->reading->complete = true;
	return HPE_PAUSED;
}

static void
read_theirs(enum kind kind, const char *p, size_t n)
{
	llhttp_settings_t	settings;
	struct watch		w = { .reading = &theirs, .kind = kind };
	llhttp_errno_t		e;

	memset(&theirs, 0, offsetof(struct reading, text));
	llhttp_settings_init(&settings);
	settings.on_url = settings.on_header_field = settings.on_header_value = on_text;
	settings.on_body = on_body;
	settings.on_method_complete = on_method_complete;
	settings.on_version_complete = on_version_complete;
	settings.on_status_complete = on_line_complete;
	settings.on_header_field_complete = on_field_complete;
	settings.on_header_value_complete = on_value_complete;
	settings.on_headers_complete = on_headers_complete;
	settings.on_message_complete = on_message_complete;
	llhttp_init(&w.parser, kind == REQ ? HTTP_REQUEST : HTTP_RESPONSE, &settings);
	e = llhttp_execute(&w.parser, p, n);
	theirs.end = e == HPE_OK ? n : (size_t)(llhttp_get_error_pos(&w.parser) - p);
	if (e == HPE_OK)
		e = llhttp_finish(&w.parser);
	theirs.error = theirs.complete ? 0 : (int)e;
}

/*
 * What llhttp refuses though we may take it: methods it does not know, targets
 * it judges, a second chunk extension behind one with a value and a tab behind
 * a length (both faults of llhttp's), framing fields among trailers (which
 * frame nothing here: we drop them unread).
 */
static bool
is_exempt(const char *p)
{
	if (theirs.error == HPE_INVALID_METHOD)
		return ++exempt_method;
	if (theirs.error == HPE_INVALID_URL)
		return ++exempt_url;
	if (theirs.error == HPE_INVALID_CHUNK_SIZE && theirs.end > 0 && p[theirs.end - 1] == ';')
		return ++exempt_extension;
	if (theirs.error == HPE_INVALID_CONTENT_LENGTH && p[theirs.end] == '\t')
		return ++exempt_tab;
	if (theirs.n > 0 && (theirs.error == HPE_UNEXPECTED_CONTENT_LENGTH ||
	    theirs.error == HPE_INVALID_TRANSFER_ENCODING) && ours.complete)
		return ++exempt_trailer;
	return false;
}

/* We judge most of a head when its end has come; then we have to refuse this one. */
static bool
refused_later(enum kind kind, const char *p, size_t n)
{
	static char	more[INPUT_MAX + 4];

	memcpy(more, p, n);
	memcpy(more + n, "\r\n\r\n", 4);
	read_ours(kind, more, n + 4);
	return ours.error != 0;
}

static bool
agree(enum kind kind, const char *p, size_t n)
{
	if (ours.complete && !theirs.complete)
		return is_exempt(p);
	if (ours.complete) {
		both_accept++;
		return ours.end == theirs.end && ours.n == theirs.n &&
		    memcmp(ours.text, theirs.text, ours.n) == 0;
	}
	if (ours.error != 0) {
		if (theirs.complete)
			stricter[ours.error]++;
		else
			both_refuse++;
		return true;
	}
	if (theirs.complete && refused_later(kind, p, n))
		return ++stricter[ours.error];
	unfinished++;
	return !theirs.complete;
}

static void
show(const char *name, const char *p, size_t n)
{
	size_t	i;

	printf("FAILED %s: ours %s %s, end %zu; llhttp %s %s, end %zu\n  ", name,
	    ours.complete ? "complete" : "not complete",
	    http1_strerror((enum http1_error)ours.error), ours.end,
	    theirs.complete ? "complete" : "not complete",
	    llhttp_errno_name((llhttp_errno_t)theirs.error), theirs.end);
	for (i = 0; i < MIN(n, 400UL); i++)
		printf(p[i] >= ' ' && p[i] < 0x7f ? "%c" : "\\x%02x", (unsigned char)p[i]);
	printf("\n");
}

static void
compare(const char *name, enum kind kind, const char *p, size_t n)
{
	/* A heap copy of the exact size, so that ASan sees a read too far. */
	char	*copy = malloc(MAX(n, 1UL));

	if (copy == NULL)
		abort();
	memcpy(copy, p, n);
	read_ours(kind, copy, n);
	read_theirs(kind, copy, n);
	if (agree(kind, copy, n)) {
		passed++;
	} else {
		if (failed++ < 10)
			show(name, p, n);
	}
	free(copy);
}

static size_t
replace(char *p, size_t n, size_t at, size_t old, const char *with, size_t len)
{
	old = MIN(old, n - at);
	if (n - old + len > INPUT_MAX)
		return n;
	memmove(p + at + len, p + at + old, n - at - old);
	memcpy(p + at, with, len);
	return n - old + len;
}

static size_t
mutate(char *p, size_t n)
{
	static const char *const	bits[] = {
		"\r\n", "\n", "\r", " ", "\t", ":", ";", ",", "0", "5", "a", "\"", "=", "x",
		"\r\n\r\n", "\r\n ", "Content-Length: 5\r\n", "Content-Length: 05\r\n",
		"Transfer-Encoding: chunked\r\n", "Transfer-Encoding: x\r\n",
		"Connection: close\r\n", "Connection: upgrade\r\nUpgrade: x\r\n", "Host: b\r\n",
		"X: y\r\n", "chunked", "HTTP/1.0", "0\r\n\r\n", "5\r\nhello\r\n", ";a=b", "\x7f",
		"\x80", "\x01", "+", "-", "/", "?", "#",
	};
	const char			*with;
	char				 byte;
	size_t				 times = 1 + dice(3), at;

	while (times-- > 0) {
		at = dice(n + 1);
		with = bits[dice(nitems(bits))];
		byte = (char)dice(256);
		switch (dice(5)) {
		case 0:
			n = replace(p, n, at, 1, &byte, 1);
			break;
		case 1:
			n = replace(p, n, at, 1 + dice(4), "", 0);
			break;
		case 2:
			n = replace(p, n, at, 0, with, strlen(with));
			break;
		case 3:
			n = replace(p, n, at, 1 + dice(2), with, strlen(with));
			break;
		case 4:		/* at the start of a line, where most is decided */
			while (at > 0 && p[at - 1] != '\n')
				at--;
			n = replace(p, n, at, 0, with, strlen(with));
			break;
		}
	}
	return n;
}

static int
compare_file(const char *dir, const char *name)
{
	static char	text[INPUT_MAX], other[INPUT_MAX];
	char		path[512];
	FILE		*f;
	size_t		n, i;
	enum kind	kind = strncmp(name, "req-", 4) == 0 ? REQ :
			    strstr(name, "-head-") != NULL ? RESP_TO_HEAD : RESP;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	if ((f = fopen(path, "r")) == NULL)
		return -1;
	n = fread(text, 1, sizeof(text), f);
	fclose(f);
	compare(name, kind, text, n);
	for (i = 0; i < (n < 4096 ? MUTATIONS : 50); i++) {
		memcpy(other, text, n);
		compare(name, kind, other, mutate(other, n));
	}
	return 0;
}

static void
summary(void)
{
	int	e;

	printf("accepted by both, read alike: %u; refused by both: %u; not finished: %u\n",
	    both_accept, both_refuse, unfinished);
	printf("accepted by us alone, harmless: unknown method %u, target %u, framing field among "
	    "trailers %u, second chunk extension %u, tab behind length %u\n", exempt_method,
	    exempt_url, exempt_trailer, exempt_extension, exempt_tab);
	for (e = 1; e < HTTP1_ERROR_MAX; e++)
		if (stricter[e] > 0)
			printf("accepted by llhttp alone, we say \"%s\": %u\n",
			    http1_strerror((enum http1_error)e), stricter[e]);
}

int
main(int argc, char **argv)
{
	const char	*dir = argc > 1 ? argv[1] : CORPUS;
	struct dirent	**names;
	unsigned	 files = 0, before;
	int		 n, i;

	if ((n = scandir(dir, &names, NULL, alphasort)) < 0) {
		perror(dir);
		return EXIT_FAILURE;
	}
	for (i = 0; i < n; i++) {
		before = failed;
		if (names[i]->d_name[0] != '.' && compare_file(dir, names[i]->d_name) < 0)
			failed++;
		files += names[i]->d_name[0] != '.' && failed == before;
		free(names[i]);
	}
	free(names);
	if (both_accept == 0)
		failed++;
	summary();
	printf("%u comparisons agree\n%u passed, %u failed\n", passed, files, failed);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
