#include <check.h>
#include <stdio.h>

#include "linescene.h"

struct linescene
linescene_begin(const char *members, const char *top)
{
	struct linescene s = { .w = world_new(0) };
	struct authd_options as_configured = { .log_level = "" };
	bool logs = top != NULL && strstr(top, "\"log\"") != NULL;

	world_upstream(s.w, "wall", members);
	if (top != NULL)
		world_top(s.w, top);
	s.a = authd_start(s.w, logs ? &as_configured : NULL);
	s.socket = authd_socket(s.a, "wall");
	world_login(s.w, s.a, "wall", NULL);
	wall_do(s.w, "set", "{\"record\":true}");
	return s;
}

void
linescene_end(struct linescene *s)
{
	wall_do(s->w, "clear", NULL);
	ck_assert_msg(wall_wait_is(s->w, "sessions.open", 0, PATIENCE), "%d sessions are left",
	    (int)wall_count(s->w, "sessions.open"));
	ck_assert(wall_wait_is(s->w, "streams.open", 0, PATIENCE));
	ck_assert_int_eq(wall_violations(s->w), 0);
	ck_assert_int_eq(authd_stop(s->a), 0);
	world_free(s->w);
}

struct liner *
liner_ready(const struct linescene *s)
{
	struct liner *l = liner_open(s->socket);
	int64_t n = wall_count(s->w, "streams.open");

	liner_begin(l, NULL);
	ck_assert(wall_wait(s->w, "streams.open", n + 1, PATIENCE));
	return l;
}

const char *
heard(struct liner *l, const char *holds)
{
	const char *line = liner_hear(l, holds, PATIENCE);

	ck_assert_msg(line != NULL, "no line with %s", holds);
	return line;
}

void
call(struct liner *l, const char *id, const char *tool, const char *args)
{
	char text[1024];

	snprintf(text, sizeof(text), "{\"jsonrpc\":\"2.0\",\"id\":%s,\"method\":\"tools/call\","
	    "\"params\":{\"name\":\"%s\",\"arguments\":%s}}", id, tool, args != NULL ? args : "{}");
	liner_say(l, text);
}

void
call_modern(struct liner *l, const char *id, const char *tool, const char *args)
{
	char text[1024];

	snprintf(text, sizeof(text), "{\"jsonrpc\":\"2.0\",\"id\":%s,\"method\":\"tools/call\","
	    "\"params\":{\"name\":\"%s\",\"arguments\":%s,\"_meta\":{"
	    "\"io.modelcontextprotocol/protocolVersion\":\"2026-07-28\"}}}", id, tool,
	    args != NULL ? args : "{}");
	liner_say(l, text);
}

const char *
latest(const struct linescene *s, const char *kind, const char *field)
{
	static char out[2048];
	cJSON *j = wall_post(s->w, "latest", NULL);
	const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(
	    cJSON_GetObjectItemCaseSensitive(j, kind), field));

	snprintf(out, sizeof(out), "%s", text != NULL ? text : "");
	cJSON_Delete(j);
	return out;
}

void
is_logged(const struct linescene *s, const char *text)
{
	int64_t deadline = now_ms() + PATIENCE;
	bool found = false;
	char *log;

	while (!found && now_ms() < deadline) {
		log = authd_log(s->a);
		found = strstr(log, text) != NULL;
		free(log);
		if (!found)
			pause_ms(5);
	}
	ck_assert_msg(found, "not logged: %s", text);
}
