/* A blocking client of lines of JSON, with deadlines; what comes is kept until it is asked for. */
#include <poll.h>
#include <stdio.h>
#include <unistd.h>

#include "support.h"

#define LINES_MAX	4096

struct liner {
	struct client	*client;
	char		 where[PATH_SIZE];
	struct buf	 in;
	char		*kept[LINES_MAX];	/* in the order in which they came */
	size_t		 nkept;
	char		*given;
	bool		 end;
};

struct liner *
liner_open(const char *where)
{
	struct liner	*l = calloc(1, sizeof(*l));

	if (l == NULL)
		give_up("no memory");
	l->client = client_open(where);
	l->in = BUF_INIT(512L * 1024 * 1024);
	snprintf(l->where, sizeof(l->where), "%s", where);
	return l;
}

void
liner_close(struct liner *l)
{
	size_t	i;

	if (l == NULL)
		return;
	for (i = 0; i < l->nkept; i++)
		free(l->kept[i]);
	free(l->given);
	buf_free(&l->in);
	client_close(l->client);
	free(l);
}

struct client *
liner_client(struct liner *l)
{
	return l->client;
}

bool
liner_try(struct liner *l, const char *text)
{
	struct buf	b = BUF_INIT(512L * 1024 * 1024);
	int		rc;

	buf_adds(&b, text);
	buf_adds(&b, "\n");
	rc = client_send(l->client, b.p, b.len, 20000);
	buf_free(&b);
	return rc == 0;
}

void
liner_say(struct liner *l, const char *text)
{
	if (!liner_try(l, text))
		give_up("%s: a line cannot be sent", l->where);
}

static void
keep(struct liner *l)
{
	char	*end;

	while (l->in.len > 0 && (end = memchr(l->in.p, '\n', l->in.len)) != NULL) {
		if (l->nkept == LINES_MAX)
			give_up("%s: lines that nobody asks for", l->where);
		l->kept[l->nkept++] = strndup(l->in.p, (size_t)(end - l->in.p));
		buf_consume(&l->in, (size_t)(end - l->in.p) + 1);
	}
}

/* false: nothing came in time, or the end. */
static bool
more(struct liner *l, int64_t deadline)
{
	static char	piece[65536];
	int64_t		left = deadline - now_ms();
	ssize_t		n;

	if (l->end || left < 0)
		return false;
	n = client_read(l->client, piece, sizeof(piece), (int)left);
	if (n > 0) {
		overheard(l->where, piece, (size_t)n);
		buf_add(&l->in, piece, (size_t)n);
		keep(l);
	} else if (n != -ETIMEDOUT) {
		l->end = true;
	}
	return n > 0;
}

const char *
liner_hear(struct liner *l, const char *holds, int ms)
{
	int64_t	deadline = now_ms() + ms;
	size_t	i = 0;

	free(l->given);
	l->given = NULL;
	for (;;) {
		for (; i < l->nkept; i++) {
			if (strstr(l->kept[i], holds) == NULL)
				continue;
			l->given = l->kept[i];
			memmove(&l->kept[i], &l->kept[i + 1],
			    (l->nkept - i - 1) * sizeof(l->kept[0]));
			l->nkept--;
			return l->given;
		}
		if (!more(l, deadline))
			return NULL;
	}
}

size_t
liner_kept(struct liner *l, int ms)
{
	int64_t	deadline = now_ms() + ms;

	while (more(l, deadline))
		;
	return l->nkept;
}

bool
liner_ended(struct liner *l, int ms)
{
	int64_t	deadline = now_ms() + ms;

	while (!l->end && more(l, deadline))
		;
	return l->end;
}

void
liner_begin(struct liner *l, const char *version)
{
	char	text[512];

	snprintf(text, sizeof(text), "{\"jsonrpc\":\"2.0\",\"id\":\"init\",\"method\":\"initialize\","
	    "\"params\":{\"protocolVersion\":\"%s\",\"capabilities\":{\"sampling\":{}},"
	    "\"clientInfo\":{\"name\":\"liner\",\"version\":\"1\"}}}",
	    version != NULL ? version : "2025-11-25");
	liner_say(l, text);
	if (liner_hear(l, "\"id\":\"init\"", 20000) == NULL)
		give_up("%s: no answer to initialize", l->where);
	liner_say(l, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/initialized\"}");
}
