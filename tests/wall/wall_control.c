/* /_wall/: what the tests tell the wall and ask of it. */
#include <stdio.h>

#include "wall.h"

static char *
query(const struct conn *c, const char *name)
{
	return form_get(c->req.query, strlen(c->req.query), name);
}

static int64_t
query_number(const struct conn *c, const char *name, int64_t otherwise)
{
	char	*text = query(c, name);
	int64_t	 n = text != NULL ? strtoll(text, NULL, 10) : otherwise;

	free(text);
	return n;
}

static void
answer_number(struct conn *c, const char *name, double n)
{
	cJSON	*j = cJSON_CreateObject();

	cJSON_AddNumberToObject(j, name, n);
	answer_json(c, 200, j);
}

static void
wall_issue(struct conn *c, const cJSON *body _unused_)
{
	_cleanup_(freep) char	*id = query(c, "client_id"), *secret = query(c, "client_secret");
	_cleanup_(freep) char	*scope = query(c, "scope"), *resource = query(c, "resource");
	_cleanup_(freep) char	*life = query(c, "lifetime");
	struct issue		 i = { id, secret, scope, resource,
	    life != NULL ? (int64_t)(strtod(life, NULL) * 1000) : -1,
	    query_number(c, "renewable", 1) != 0 };

	answer_json(c, 200, oauth_issue(&i));
}

static void
wall_expire(struct conn *c, const cJSON *body _unused_)
{
	oauth_expire();
	answer_text(c, 200, "application/json", "{}");
}

static void
wall_revoke_all(struct conn *c, const cJSON *body _unused_)
{
	oauth_revoke_all();
	answer_text(c, 200, "application/json", "{}");
}

static void
set_text(char **at, const cJSON *item)
{
	free(*at);
	*at = cJSON_IsString(item) ? strdup(item->valuestring) : NULL;
}

static bool
set_one(const cJSON *item)
{
	struct settings	*s = &wall.set;
	const struct { const char *name; bool *at; } flags[] = {
		{ "rotate", &s->rotate }, { "revoke_on_replay", &s->revoke_on_replay },
		{ "revoke_old", &s->revoke_old }, { "omit_refresh", &s->omit_refresh },
		{ "prime", &s->prime }, { "check_resource", &s->check_resource },
	};
	size_t		 i;

	for (i = 0; i < nitems(flags); i++) {
		if (strcmp(item->string, flags[i].name) == 0) {
			*flags[i].at = cJSON_IsTrue(item);
			return true;
		}
	}
	if (strcmp(item->string, "lifetime") == 0)
		s->lifetime = (int64_t)(cJSON_GetNumberValue(item) * 1000);
	else if (strcmp(item->string, "retry_ms") == 0)
		s->retry_ms = (int64_t)cJSON_GetNumberValue(item);
	else if (strcmp(item->string, "expires_in_raw") == 0)
		set_text(&s->expires_in_raw, item);
	else if (strcmp(item->string, "keep_alive") == 0)
		set_text(&s->keep_alive, item);
	else if (strcmp(item->string, "set_cookie") == 0)
		set_text(&s->set_cookie, item);
	else
		return option_set(item);
	return true;
}

static void
wall_set(struct conn *c, const cJSON *body)
{
	const cJSON	*item;

	cJSON_ArrayForEach(item, body) {
		if (!set_one(item)) {
			answer_text(c, 400, "text/plain", "unknown setting\n");
			return;
		}
	}
	answer_text(c, 200, "application/json", "{}");
}

static void
wall_fault(struct conn *c, const cJSON *body)
{
	int64_t	id = fault_add(body);

	if (id < 0)
		answer_text(c, 400, "text/plain", "not a fault\n");
	else
		answer_number(c, "id", (double)id);
}

static void
wall_clear(struct conn *c, const cJSON *body _unused_)
{
	fault_clear();
	answer_text(c, 200, "application/json", "{}");
}

static void
wall_release(struct conn *c, const cJSON *body _unused_)
{
	int64_t	id = query_number(c, "fault", 0);
	int	n = fault_release(id);

	if (id == 0)
		n += tool_release();
	answer_number(c, "released", n);
}

static void
wall_emit(struct conn *c, const cJSON *body)
{
	const char	*text = cJSON_GetStringValue(
	    cJSON_GetObjectItemCaseSensitive(body, "text"));
	const cJSON	*times = cJSON_GetObjectItemCaseSensitive(body, "n");
	const cJSON	*bytes = cJSON_GetObjectItemCaseSensitive(body, "bytes");
	bool		 stamp = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(body, "stamp"));
	int		 n = cJSON_IsNumber(times) ? times->valueint : 1, streams = 0, i;

	for (i = 0; i < n; i++)
		streams = stream_emit(text != NULL ? text : "hello",
		    cJSON_IsNumber(bytes) ? (size_t)bytes->valuedouble : 0, stamp);
	answer_number(c, "streams", streams);
}

static void
wall_ask(struct conn *c, const cJSON *body _unused_)
{
	char	 id[32];
	int	 streams = stream_ask(id, sizeof(id));
	cJSON	*j = cJSON_CreateObject();

	cJSON_AddStringToObject(j, "id", id);
	cJSON_AddNumberToObject(j, "streams", streams);
	answer_json(c, 200, j);
}

static void
wall_drop(struct conn *c, const cJSON *body)
{
	const char	*how = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(body, "how"));
	const cJSON	*one = cJSON_GetObjectItemCaseSensitive(body, "one");

	if (how == NULL)
		how = "cut";
	answer_number(c, "streams", cJSON_IsNumber(one) ?
	    stream_drop_one(how, (unsigned)one->valueint) : stream_drop(how));
}

static void
wall_lose_sessions(struct conn *c, const cJSON *body)
{
	const cJSON	*one = cJSON_GetObjectItemCaseSensitive(body, "one");
	bool		 requests = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(body, "requests"));

	answer_number(c, "sessions", cJSON_IsNumber(one) ?
	    session_lose_one((unsigned)one->valueint, requests) : session_lose(requests));
}

static void
wall_reset(struct conn *c, const cJSON *body _unused_)
{
	fault_clear();
	settings_default(&wall.set);
	count_reset();
	answer_text(c, 200, "application/json", "{}");
}

static void
wall_client(struct conn *c, const cJSON *body)
{
	if (client_configure(body))
		answer_text(c, 200, "application/json", "{}");
	else
		answer_text(c, 400, "text/plain", "no client_id\n");
}

static void
wall_forget_clients(struct conn *c, const cJSON *body _unused_)
{
	clients_forget();
	answer_text(c, 200, "application/json", "{}");
}

static void
wall_device(struct conn *c, const cJSON *body _unused_)
{
	_cleanup_(freep) char	*what = query(c, "do");

	if (what != NULL && device_control(what))
		answer_text(c, 200, "application/json", "{}");
	else
		answer_text(c, 400, "text/plain", "approve, deny or expire\n");
}

static void
wall_latest(struct conn *c, const cJSON *body _unused_)
{
	answer_json(c, 200, seen_latest_json());
}

static void
wall_counts(struct conn *c, const cJSON *body _unused_)
{
	answer_json(c, 200, count_json(query_number(c, "brief", 0) != 0));
}

/* %ORIGIN% and %OTHER% of a body are replaced. */
static cJSON *
body_json(const struct buf *in)
{
	const struct { const char *mark, *text; } all[] = {
		{ "%ORIGIN%", wall.origin }, { "%OTHER%", wall.other_origin },
	};
	struct buf	 b = BUF_INIT(256L * 1024 * 1024);
	const char	*p = in->p, *end = p + in->len, *mark;
	cJSON		*j;
	size_t		 i;

	for (; p < end; p = mark) {
		mark = memchr(p, '%', (size_t)(end - p));
		if (mark == NULL)
			mark = end;
		buf_add(&b, p, (size_t)(mark - p));
		for (i = 0; i < nitems(all) && mark < end; i++) {
			if ((size_t)(end - mark) >= strlen(all[i].mark) &&
			    memcmp(mark, all[i].mark, strlen(all[i].mark)) == 0)
				break;
		}
		if (mark < end && i < nitems(all)) {
			buf_adds(&b, all[i].text);
			mark += strlen(all[i].mark);
		} else if (mark < end) {
			buf_add(&b, mark++, 1);
		}
	}
	j = cJSON_ParseWithLength(b.p != NULL ? b.p : "", b.len);
	buf_free(&b);
	return j;
}

void
control_request(struct conn *c)
{
	static const struct {
		const char	*name;
		void		(*run)(struct conn *, const cJSON *);
	} controls[] = {
		{ "issue", wall_issue }, { "expire", wall_expire },
		{ "revoke-all", wall_revoke_all }, { "set", wall_set },
		{ "fault", wall_fault }, { "clear", wall_clear }, { "release", wall_release },
		{ "emit", wall_emit }, { "ask", wall_ask }, { "drop", wall_drop },
		{ "lose-sessions", wall_lose_sessions }, { "reset", wall_reset },
		{ "counts", wall_counts }, { "client", wall_client },
		{ "forget-clients", wall_forget_clients }, { "device", wall_device },
		{ "latest", wall_latest },
	};
	cJSON	*body = body_json(&c->req.body);
	size_t	 i;

	for (i = 0; i < nitems(controls); i++) {
		if (strcmp(c->req.path + 7, controls[i].name) == 0)
			break;
	}
	if (i == nitems(controls))
		answer_text(c, 404, "text/plain", "no such control\n");
	else if (body == NULL && c->req.body.len > 0)
		answer_text(c, 400, "text/plain", "not JSON\n");
	else
		controls[i].run(c, body);
	cJSON_Delete(body);
}
