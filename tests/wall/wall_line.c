/* What clients of column N of WIRE are tried with: mirrored parameters, streams that can be resumed. */
#include <ctype.h>
#include <stdio.h>

#include <openssl/evp.h>

#include "wall.h"

/* ---- header fields of the latest requests ---- */

void
line_record(struct conn *c, const struct http1_head *h)
{
	char	name[128], value[8192];
	size_t	i, k;

	if (!option_is("record") && !option_is("tools_pages"))
		return;
	c->req.fields = cJSON_CreateObject();
	for (i = 0; i < h->nfields; i++) {
		snprintf(name, sizeof(name), "%.*s", (int)h->fields[i].name.n, h->fields[i].name.p);
		for (k = 0; name[k] != '\0'; k++)
			name[k] = (char)tolower((unsigned char)name[k]);
		snprintf(value, sizeof(value), "%.*s", (int)h->fields[i].value.n,
		    h->fields[i].value.p);
		if (strcmp(name, "authorization") != 0)
			cJSON_AddStringToObject(c->req.fields, name, value);
	}
}

void
line_recorded(struct conn *c)
{
	char	kind[160];
	bool	post = strcmp(c->req.method, "POST") == 0;

	if (!option_is("record") || c->req.fields == NULL)
		return;
	snprintf(kind, sizeof(kind), "mcp %s", !post ? c->req.method :
	    c->req.rpc[0] != '\0' ? c->req.rpc : "response");
	seen_latest(kind, cJSON_Duplicate(c->req.fields, true));
}

/* ---- mirrored parameters ---- */

static const char *
region_header(void)
{
	const char	*name = option_text("region_header");

	return name != NULL ? name : "Region";
}

void
line_tools(struct conn *c)
{
	const cJSON	*params = cJSON_GetObjectItemCaseSensitive(c->req.json, "params");
	const char	*cursor = cJSON_GetStringValue(
	    cJSON_GetObjectItemCaseSensitive(params, "cursor"));
	struct buf	 b = BUF_INIT(0);

	if (cursor == NULL) {
		buf_adds(&b, "{\"tools\":[{\"name\":\"bad\",\"inputSchema\":{\"type\":\"object\","
		    "\"properties\":{\"x\":{\"type\":\"number\",\"x-mcp-header\":\"X\"}}}}, "
		    "{\"name\":\"echo\",\"inputSchema\":{\"type\":\"object\"}}],"
		    "\"nextCursor\":\"two\"}");
	} else {
		buf_addf(&b, "{\"tools\":[{\"name\":\"region\",\"inputSchema\":{\"type\":\"object\","
		    "\"properties\":{\"region\":{\"type\":\"string\",\"x-mcp-header\":\"%s\"},"
		    "\"flag\":{\"type\":\"boolean\",\"x-mcp-header\":\"Flag\"},"
		    "\"where\":{\"type\":\"object\",\"properties\":{\"limit\":"
		    "{\"type\":\"integer\",\"x-mcp-header\":\"Limit\"}}}}}}]}", region_header());
	}
	mcp_result(c, b.p, b.len);
	buf_free(&b);
}

/* The text that a header value stands for. */
static void
decoded(const char *value, char *out, size_t size)
{
	size_t		n = strlen(value);
	unsigned char	plain[6200];
	int		len, pad = 0;

	if (n < 11 || n > 8000 || strncmp(value, "=?base64?", 9) != 0) {
		snprintf(out, size, "%s", value);
		return;
	}
	while (pad < 2 && value[n - 3 - (size_t)pad] == '=')
		pad++;
	len = EVP_DecodeBlock(plain, (const unsigned char *)value + 9, (int)(n - 11));
	snprintf(out, size, "%.*s", len > 0 ? len - pad : 0, (const char *)plain);
}

/* Does the header say what the argument says, or both nothing? */
static bool
mirrored(const struct conn *c, const char *header, const cJSON *argument)
{
	char		 name[160], said[8192], is[8192];
	const char	*value;
	size_t		 k;

	snprintf(name, sizeof(name), "mcp-param-%s", header);
	for (k = 0; name[k] != '\0'; k++)
		name[k] = (char)tolower((unsigned char)name[k]);
	value = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(c->req.fields, name));
	if (argument == NULL || cJSON_IsNull(argument) || value == NULL)
		return (argument == NULL || cJSON_IsNull(argument)) == (value == NULL);
	decoded(value, said, sizeof(said));
	if (cJSON_IsString(argument))
		snprintf(is, sizeof(is), "%s", argument->valuestring);
	else if (cJSON_IsBool(argument))
		snprintf(is, sizeof(is), "%s", cJSON_IsTrue(argument) ? "true" : "false");
	else
		snprintf(is, sizeof(is), "%.17g", argument->valuedouble);
	return strcmp(said, is) == 0;
}

void
line_region(struct conn *c)
{
	static const char	good[] = "{\"content\":[{\"type\":\"text\",\"text\":\"mirrored\"}]}";
	const cJSON	*args = c->req.args;
	const cJSON	*where = cJSON_GetObjectItemCaseSensitive(args, "where");

	if (mirrored(c, region_header(), cJSON_GetObjectItemCaseSensitive(args, "region")) &&
	    mirrored(c, "Flag", cJSON_GetObjectItemCaseSensitive(args, "flag")) &&
	    mirrored(c, "Limit", cJSON_GetObjectItemCaseSensitive(where, "limit")))
		mcp_result(c, good, sizeof(good) - 1);
	else
		mcp_error(c, 400, -32020, "Mcp-Param header mismatch");
}

/* ---- streams that can be resumed ---- */

#define EVENTS_MAX	1000

struct resumable {
	LIST_ENTRY(resumable) entry;
	int		 number, n, cut_after;
	bool		 properly;
	char		 session[64];
	char		*result;
};

static LIST_HEAD(, resumable) resumables = LIST_HEAD_INITIALIZER(resumables);
static int		nresumables;

/* Events behind `from`, until the next cut or the result. */
static void
resumable_send(struct conn *c, struct resumable *r, int from)
{
	char	id[64], data[256];
	struct buf b = BUF_INIT(0);
	int	i;

	if (option_number("post_retry_ms", 0) > 0) {
		buf_addf(&b, "retry: %lld\n\n", (long long)option_number("post_retry_ms", 0));
		stream_send(c, b.p, b.len);
	}
	for (i = from + 1; i <= r->n && (r->cut_after <= 0 || i <= from + r->cut_after); i++) {
		snprintf(id, sizeof(id), "r%d-%d", r->number, i);
		snprintf(data, sizeof(data), "{\"jsonrpc\":\"2.0\",\"method\":"
		    "\"notifications/progress\",\"params\":{\"progressToken\":%d,\"progress\":%d}}",
		    r->number, i);
		buf_reset(&b);
		buf_addf(&b, "id: %s\ndata: %s\n\n", id, data);
		stream_send(c, b.p, b.len);
	}
	buf_reset(&b);
	if (i > r->n) {
		buf_addf(&b, "id: r%d-%d\ndata: %s\n\n", r->number, r->n + 1, r->result);
		stream_send(c, b.p, b.len);
		stream_end(c);
	} else if (r->properly) {
		stream_end(c);
	} else {
		c->cut_body = true;
		conn_end(c, false);
	}
	buf_free(&b);
}

void
line_resumable(struct conn *c)
{
	static const char	done[] = "{\"content\":[{\"type\":\"text\",\"text\":\"resumed\"}]}";
	struct resumable	*r = calloc(1, sizeof(*r));
	struct buf		 b = BUF_INIT(0);
	const cJSON		*how = cJSON_GetObjectItemCaseSensitive(c->req.args, "how");
	const cJSON		*n = cJSON_GetObjectItemCaseSensitive(c->req.args, "n");
	const cJSON		*cut = cJSON_GetObjectItemCaseSensitive(c->req.args, "cut_after");

	if (r == NULL)
		die("no memory");
	r->number = ++nresumables;
	r->n = cJSON_IsNumber(n) ? MIN(n->valueint, EVENTS_MAX) : 4;
	r->cut_after = cJSON_IsNumber(cut) ? cut->valueint : 0;
	r->properly = cJSON_IsString(how) && strcmp(how->valuestring, "end") == 0;
	snprintf(r->session, sizeof(r->session), "%s", c->req.session);
	mcp_result_json(&b, c, done, sizeof(done) - 1);
	r->result = buf_steal(&b);
	LIST_INSERT_HEAD(&resumables, r, entry);
	stream_begin(c, STREAM_POST, NULL);
	if (c->state != CONN_DEAD)
		resumable_send(c, r, 0);
}

bool
line_resume(struct conn *c)
{
	struct resumable	*r;
	int			 number, at;

	if (sscanf(c->req.last_event, "r%d-%d", &number, &at) != 2)
		return false;
	LIST_FOREACH(r, &resumables, entry) {
		if (r->number != number || strcmp(r->session, c->req.session) != 0)
			continue;
		stream_begin(c, STREAM_POST, NULL);
		if (c->state != CONN_DEAD)
			resumable_send(c, r, at);
		return true;
	}
	return false;
}
