#include <check.h>

#include "scene.h"

#define PATIENCE	10000

struct scene
scene_begin(int flags, const char *members, const char *top)
{
	struct scene s = { .w = world_new((flags & SCENE_TLS) != 0 ? WORLD_TLS : 0) };

	world_upstream(s.w, "wall", members);
	if (top != NULL)
		world_top(s.w, top);
	s.a = authd_start(s.w, NULL);
	s.ask.socket = authd_socket(s.a, "wall");
	if ((flags & SCENE_NO_LOGIN) != 0)
		return s;
	world_login(s.w, s.a, "wall", NULL);
	s.ask.session = s.session = session_open(&s.ask);
	s.bystander = stream_open(&s.ask, NULL);
	hear_event(s.bystander, "id: 0");
	return s;
}

void
scene_end(struct scene *s)
{
	struct buf event = BUF_INIT(0);

	if (s->bystander != NULL) {
		wall_do(s->w, "clear", NULL);
		wall_do(s->w, "emit", "{\"text\":\"still here\"}");
		do
			ck_assert_int_eq(client_event(s->bystander, &event, PATIENCE), 1);
		while (strstr(event.p, "still here") == NULL);
		s->ask.key = NULL;
		ck_assert_str_eq(ask_tool(&s->ask, "echo", NULL), "");
	}
	ck_assert_int_eq(wall_violations(s->w), 0);
	buf_free(&event);
	client_close(s->bystander);
	free(s->session);
	world_free(s->w);
}

void
say(struct client *c, const char *text)
{
	ck_assert_int_eq(client_send(c, text, strlen(text), PATIENCE), 0);
}

void
hear(struct client *c, const char *method, struct reply *r, int status)
{
	ck_assert_int_eq(client_reply(c, method, r, PATIENCE), 0);
	ck_assert_msg(r->status == status, "status %d, not %d: %s", r->status, status,
	    r->body.p != NULL ? r->body.p : "");
	ck_assert_ptr_null(reply_field(r, "WWW-Authenticate").p);	/* A1 */
}

void
hear_event(struct client *c, const char *text)
{
	struct buf event = BUF_INIT(0);

	ck_assert_int_eq(client_event(c, &event, PATIENCE), 1);
	ck_assert_msg(strstr(event.p, text) != NULL, "%s, not %s", event.p, text);
	buf_free(&event);
}

struct client *
begin_rpc(const struct ask *ask, const char *body)
{
	struct client *c = client_open(ask->socket);
	struct buf request = BUF_INIT(0);

	request_post(&request, ask, body);
	ck_assert_int_eq(client_send(c, request.p, request.len, PATIENCE), 0);
	buf_free(&request);
	return c;
}

struct client *
begin_tool(const struct ask *ask, const char *name, const char *args)
{
	struct buf body = BUF_INIT(0);
	struct client *c;

	tool_json(&body, 7, name, args);
	c = begin_rpc(ask, body.p);
	buf_free(&body);
	return c;
}

void
ask_rpc(const struct ask *ask, const char *body, struct reply *r, int status)
{
	struct client *c = begin_rpc(ask, body);

	hear(c, "POST", r, status);
	client_close(c);
}

const char *
ask_tool(const struct ask *ask, const char *name, const char *args)
{
	struct client *c = begin_tool(ask, name, args);
	struct reply r = { 0 };
	const char *reason;

	hear(c, "POST", &r, 200);
	reason = reply_reason(&r);
	client_close(c);
	reply_free(&r);
	return reason;
}

bool
wait_queued(const struct scene *s, int n, int ms)
{
	int64_t deadline = now_ms() + ms;
	cJSON *status, *links;
	int queued;

	for (;;) {
		status = authd_status(s->a);
		links = cJSON_GetObjectItem(cJSON_GetArrayItem(
		    cJSON_GetObjectItem(status, "upstreams"), 0), "links");
		queued = cJSON_GetObjectItem(links, "queued")->valueint;
		cJSON_Delete(status);
		if (queued == n || now_ms() > deadline)
			return queued == n;
		pause_ms(2);
	}
}

void
is_refusal(const struct reply *r, const char *word)
{
	cJSON *json = reply_json(r);
	const char *error = cJSON_GetStringValue(cJSON_GetObjectItem(json, "error"));
	const char *message = cJSON_GetStringValue(cJSON_GetObjectItem(json, "message"));

	ck_assert_msg(error != NULL && message != NULL, "no reason: %s", r->body.p);
	ck_assert(slice_eq(reply_field(r, "Content-Type"), "application/json"));
	ck_assert_int_lt(r->body.len, 256);
	if (word != NULL)
		ck_assert_str_eq(error, word);
	cJSON_Delete(json);
}
