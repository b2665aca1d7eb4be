#include <check.h>
#include <stdio.h>

#include "logins.h"

#define PATIENCE	30000

static void
copy(char *to, size_t size, const cJSON *event, const char *name)
{
	const char *s = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(event, name));

	snprintf(to, size, "%s", s != NULL ? s : "");
}

/* The person does what the event asks for. */
static void
act(struct world *w, const cJSON *event, const char *kind, struct outcome *o)
{
	struct reply page = { 0 };

	if (strcmp(kind, "device") == 0) {
		wall_do(w, "device?do=approve", NULL);
	} else if (strcmp(kind, "url") == 0) {
		copy(o->url, sizeof(o->url), event, "url");
		ck_assert_int_eq(browse(w, o->url, 3, &page, PATIENCE), 0);
		o->page = page.status;
		reply_free(&page);
	}
}

static const struct outcome *
run(struct world *w, const struct authd *a, const char *upstream, const char *wish, bool person)
{
	static struct outcome o;
	struct flow *f = flow_begin(a, upstream, wish);
	const cJSON *event;
	char kind[32] = "";

	o = (struct outcome){ .status = flow_status(f) };
	while ((event = flow_next(f, PATIENCE)) != NULL) {
		copy(kind, sizeof(kind), event, "event");
		if (person)
			act(w, event, kind, &o);
		o.done = strcmp(kind, "done") == 0;
		if (!o.done && strcmp(kind, "failed") != 0)
			continue;
		copy(o.reason, sizeof(o.reason), event, "reason");
		copy(o.message, sizeof(o.message), event, "message");
		copy(o.hint, sizeof(o.hint), event, "hint");
		copy(o.scope, sizeof(o.scope), event, "scope");
		break;
	}
	if (o.status == 200 && !o.done && strcmp(kind, "failed") != 0)
		ck_abort_msg("the flow has no end: %s", flow_said(f));
	flow_free(f);
	return &o;
}

const struct outcome *
log_in(struct world *w, const struct authd *a, const char *upstream, const char *wish)
{
	return run(w, a, upstream, wish, true);
}

const struct outcome *
log_in_unseen(struct world *w, const struct authd *a, const char *upstream, const char *wish)
{
	return run(w, a, upstream, wish, false);
}

int
log_out(const struct authd *a, const char *upstream, const char **ret)
{
	static char revoked[400];
	struct reply r = { 0 };
	char path[128];
	cJSON *json;
	int status;

	snprintf(path, sizeof(path), "/v1/logout/%s", upstream);
	ck_assert_int_eq(http(a->control, "POST", path, NULL, &r, PATIENCE), 0);
	json = reply_json(&r);
	copy(revoked, sizeof(revoked), json, "revoked");
	if (ret != NULL)
		*ret = revoked;
	status = r.status;
	cJSON_Delete(json);
	reply_free(&r);
	return status;
}

const char *
login_param(struct world *w, const char *endpoint, const char *name)
{
	static char text[8192];
	cJSON *all = wall_post(w, "latest", NULL);
	const cJSON *item = cJSON_GetObjectItemCaseSensitive(
	    cJSON_GetObjectItemCaseSensitive(all, endpoint), name);

	if (cJSON_IsString(item))
		snprintf(text, sizeof(text), "%s", item->valuestring);
	cJSON_Delete(all);
	return item != NULL ? text : NULL;
}

const char *
login_status(const struct authd *a, const char *object, const char *name)
{
	static char text[800];
	cJSON *all = authd_status(a);
	const cJSON *item = cJSON_GetObjectItemCaseSensitive(cJSON_GetObjectItemCaseSensitive(
	    cJSON_GetArrayItem(cJSON_GetObjectItemCaseSensitive(all, "upstreams"), 0), object),
	    name);
	bool there = cJSON_IsString(item);

	if (there)
		snprintf(text, sizeof(text), "%s", item->valuestring);
	cJSON_Delete(all);
	return there ? text : NULL;
}
