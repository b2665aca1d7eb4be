/* What the control socket can have done to the store as a whole. */
#include "control_impl.h"
#include "json.h"

static void
moved(void *arg, struct store_reply *reply)
{
	struct control_client *c = arg;
	struct buf b = BUF_INIT(0);
	int e;

	c->moving = false;
	if (reply->result != STORE_OK) {
		control_error(c, 503, "store", reply->why);
		return;
	}
	e = buf_adds(&b, "{\"status\":\"ok\",\"message\":");
	e |= buf_addjson(&b, reply->why, strlen(reply->why));
	e |= buf_adds(&b, "}");
	if (e < 0)
		buf_free(&b);
	control_answer(c, 200, &b);
}

/* CONFIG_STORE_AUTO: none of them. */
static enum config_backend
backend_of(const char *name)
{
	static const char *const names[] = {
		[CONFIG_STORE_AUTO] = "", [CONFIG_STORE_FILE] = "file",
		[CONFIG_STORE_ENCRYPTED] = "encrypted", [CONFIG_STORE_KEYRING] = "keyring"
	};
	size_t i;

	for (i = 1; name != NULL && i < nitems(names); i++)
		if (strcmp(names[i], name) == 0)
			return (enum config_backend)i;
	return CONFIG_STORE_AUTO;
}

static void
migrate(struct control_client *c, _unused_ struct upstream *u)
{
	cJSON *doc = c->body.len > 0 ? json_parse(c->body.p, c->body.len, NULL) : NULL;
	enum config_backend to = backend_of(json_string(doc, "to"));

	cJSON_Delete(doc);
	if (to == CONFIG_STORE_AUTO) {
		control_error(c, 400, "bad_request", "say where to: {\"to\": \"file\"}, \"encrypted\" or "
		    "\"keyring\"");
		return;
	}
	c->moving = true;
	store_migrate(c->control->store, to, moved, c);
}

static void
rekey(struct control_client *c, _unused_ struct upstream *u)
{
	cJSON *doc = c->body.len > 0 ? json_parse(c->body.p, c->body.len, NULL) : NULL;
	const char *file = json_string(doc, "newKey");

	if (file == NULL || file[0] != '/') {
		control_error(c, 400, "bad_request", "name the new key's file: {\"newKey\": "
		    "\"/absolute/path\"}");
	} else {
		c->moving = true;
		store_rekey(c->control->store, file, moved, c);
	}
	cJSON_Delete(doc);
}

void
control_route_store(struct control_client *c, const struct http1_head *h, struct slice rest)
{
	control_take take = slice_eq(rest, "migrate") ? migrate : slice_eq(rest, "rekey") ? rekey : NULL;

	if (take == NULL)
		control_error(c, 404, "not_found", "known are /v1/store/migrate and /v1/store/rekey");
	else if (!slice_eq(h->method, "POST"))
		control_error(c, 405, "method", "POST does it; /v1/status says how it is");
	else if (c->control->front->draining)
		control_error(c, 503, "draining", "the daemon is stopping");
	else
		control_expect(c, h, NULL, take);
}

/* What was begun goes on. */
void
control_store_gone(struct control_client *c)
{
	if (c->moving)
		store_forget(c->control->store, c);
	c->moving = false;
}
