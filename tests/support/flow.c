/* A login as those see it who watch it on the control socket. */
#include <stdio.h>

#include "support.h"

struct flow {
	struct client	*client;
	struct reply	 head;
	size_t		 used;		/* of its body */
	cJSON		*event;		/* the latest */
	bool		 over;
};

struct flow *
flow_begin(const struct authd *a, const char *upstream, const char *wish)
{
	struct flow	*f = calloc(1, sizeof(*f));
	struct buf	 b = BUF_INIT(0);
	int		 rc;

	if (f == NULL)
		give_up("no memory");
	f->client = client_open(a->control);
	buf_addf(&b, "POST /v1/login/%s HTTP/1.1\r\nHost: localhost\r\n"
	    "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s", upstream,
	    strlen(wish != NULL ? wish : "{}"), wish != NULL ? wish : "{}");
	rc = client_send(f->client, b.p, b.len, 5000);
	if (rc == 0)
		rc = client_head(f->client, "POST", &f->head, 30000);
	if (rc != 0)
		give_up("POST /v1/login/%s: %d", upstream, rc);
	buf_free(&b);
	return f;
}

int
flow_status(const struct flow *f)
{
	return f->head.status;
}

/* A whole line of the body so far, parsed; NULL: not yet. */
static cJSON *
next_line(struct flow *f)
{
	char	*at = f->head.body.p, *end;
	size_t	 left = f->head.body.len - f->used;
	cJSON	*j;

	if (at == NULL || (end = memchr(at + f->used, '\n', left)) == NULL)
		return NULL;
	j = cJSON_ParseWithLength(at + f->used, (size_t)(end - at) - f->used);
	if (j == NULL)
		give_up("not a line of JSON: %s", at + f->used);
	f->used = (size_t)(end - at) + 1;
	return j;
}

const cJSON *
flow_next(struct flow *f, int ms)
{
	int64_t	deadline = now_ms() + ms;
	cJSON	*j;
	int	rc;

	while ((j = next_line(f)) == NULL) {
		if (f->over || now_ms() > deadline)
			return NULL;
		rc = client_body(f->client, &f->head, (int)MAX(deadline - now_ms(), 0));
		if (rc < 0)
			return NULL;
		f->over = rc == 0;
	}
	cJSON_Delete(f->event);
	f->event = j;
	return j;
}

const cJSON *
flow_until(struct flow *f, const char *event, int ms)
{
	int64_t		 deadline = now_ms() + ms;
	const cJSON	*j;
	const char	*kind;

	while ((j = flow_next(f, (int)MAX(deadline - now_ms(), 0))) != NULL) {
		kind = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(j, "event"));
		if (kind != NULL && strcmp(kind, event) == 0)
			return j;
		if (kind == NULL || strcmp(kind, "done") == 0 || strcmp(kind, "failed") == 0)
			break;
	}
	return NULL;
}

const char *
flow_said(const struct flow *f)
{
	return f->head.body.p != NULL ? f->head.body.p : "";
}

void
flow_free(struct flow *f)
{
	if (f == NULL)
		return;
	client_close(f->client);
	reply_free(&f->head);
	cJSON_Delete(f->event);
	free(f);
}
