/* Logins and logouts over the control socket. */
#include "control_impl.h"
#include "json.h"

/* --- login --- */

static void
on_event(void *arg, const char *json, size_t n)
{
	struct control_client *c = arg;

	serve_write(c->serve, json, n);
	serve_turn(c->serve);
}

static void
on_ended(void *arg, _unused_ bool ok)
{
	struct control_client *c = arg;

	c->login = NULL;
	serve_end(c->serve);
}

static void
begin_events(struct control_client *c, struct login *l)
{
	c->login = l;
	control_begin_lines(c);
}

static void
refuse(struct control_client *c, int e, const char *why)
{
	switch (e) {
	case -EBUSY:
		control_error(c, 409, "busy", "another login of this upstream runs, of another kind or for "
		    "other scopes: finish it or end it first");
		break;
	case -EAGAIN:
		control_error(c, 503, "draining", "the daemon is stopping");
		break;
	case -EINVAL:
		control_error(c, 400, "bad_login", why);
		break;
	default:
		control_error(c, 503, "memory", "out of memory");
	}
}

/* The body's object; NULL: not one, or with members other than these. */
static cJSON *
parse_body(const struct control_client *c, const char *const *members)
{
	cJSON *doc = c->body.len > 0 ? json_parse(c->body.p, c->body.len, NULL) :
	    cJSON_CreateObject();
	const cJSON *item;
	bool ok = cJSON_IsObject(doc);

	for (item = ok ? doc->child : NULL; item != NULL && ok; item = item->next) {
		ok = false;
		for (size_t i = 0; members[i] != NULL; i++)
			ok |= strcmp(item->string, members[i]) == 0;
	}
	if (ok)
		return doc;
	cJSON_Delete(doc);
	return NULL;
}

/* Absent, or of its type. */
static bool
flag(const cJSON *doc, const char *key, bool *ret)
{
	const cJSON *item = json_member(doc, key);

	*ret = cJSON_IsTrue(item);
	return item == NULL || cJSON_IsBool(item);
}

static void
take_login(struct control_client *c, struct upstream *u)
{
	static const char *const members[] = { "device", "manual", "scope", NULL };
	struct login_wish wish = { 0 };
	const char *why = "";
	cJSON *doc;
	int e;

	if (!control_takes_tokens(c, u))
		return;
	doc = parse_body(c, members);
	wish.scope = json_string(doc, "scope");
	if (doc == NULL || !flag(doc, "device", &wish.device) ||
	    !flag(doc, "manual", &wish.manual) ||
	    (wish.scope == NULL && json_member(doc, "scope") != NULL)) {
		control_error(c, 400, "bad_login", "the body is a JSON object with device and manual "
		    "(true or false) and scope (a string), all optional");
	} else {
		c->watcher = (struct login_watcher){ .event = on_event, .ended = on_ended, .arg = c };
		e = login_watch(u->login, &wish, &c->watcher, &why);
		if (e == 0)
			begin_events(c, u->login);
		else
			refuse(c, e, why);
	}
	cJSON_Delete(doc);
}

static void
take_redirect(struct control_client *c, struct upstream *u)
{
	static const char *const members[] = { "redirect", NULL };
	const char *text, *why = "";
	cJSON *doc;
	int e;

	if (!control_takes_tokens(c, u))
		return;
	doc = parse_body(c, members);
	text = json_string(doc, "redirect");
	if (text == NULL) {
		control_error(c, 400, "bad_redirect", "the body is a JSON object with redirect: the URL "
		    "that the browser was sent to, or the code alone");
		cJSON_Delete(doc);
		return;
	}
	e = login_paste(u->login, text, strlen(text), &why);
	if (e == 0)
		control_word(c, 200, "ok");
	else if (e == -ENOENT)
		control_error(c, 409, "no_login", "no login of this upstream waits for a redirect");
	else
		control_error(c, 400, "bad_redirect", why);
	cJSON_Delete(doc);
}

void
control_route_login(struct control_client *c, const struct http1_head *h, struct slice rest)
{
	const char *slash = memchr(rest.p, '/', rest.n);
	struct slice name = { rest.p, slash != NULL ? (size_t)(slash - rest.p) : rest.n };
	struct slice more = { rest.p + name.n, rest.n - name.n };
	struct upstream *u = control_find(c->control, name);

	if (more.n > 0 && !slice_eq(more, "/redirect"))
		control_error(c, 404, "not_found", "known are /v1/login/NAME and /v1/login/NAME/redirect");
	else if (!slice_eq(h->method, "POST"))
		control_error(c, 405, "method", "POST logs in");
	else if (control_takes_tokens(c, u))
		control_expect(c, h, u, more.n > 0 ? take_redirect : take_login);
}

/* --- logout --- */

/* One logout of a request. */
struct one {
	struct logouts	*set;
	struct login	*login;		/* NULL: it is done */
	char		*name, *why, *revoked;
};

struct logouts {
	struct control_client *client;
	bool		 all;
	size_t		 n, left;
	struct one	 one[];
};

static void
free_logouts(struct logouts *set)
{
	for (size_t i = 0; i < set->n; i++) {
		free(set->one[i].name);
		free(set->one[i].why);
		free(set->one[i].revoked);
	}
	free(set);
}

static int
add_text(struct buf *b, const char *before, const char *text)
{
	int e = buf_adds(b, before);

	return e | buf_addjson(b, text, strlen(text));
}

static int
add_one(struct buf *b, const struct one *one)
{
	int e;

	e = add_text(b, "{\"name\":", one->name);
	if (one->why != NULL)
		e |= add_text(b, ",\"status\":\"failed\",\"message\":", one->why);
	else
		e |= add_text(b, ",\"status\":\"ok\",\"revoked\":", one->revoked);
	return e | buf_adds(b, "}");
}

static void
answer_all(struct logouts *set)
{
	struct buf b = BUF_INIT(0);
	int e = buf_adds(&b, "[");

	for (size_t i = 0; i < set->n; i++) {
		if (i > 0)
			e |= buf_adds(&b, ",");
		e |= add_one(&b, &set->one[i]);
	}
	if ((e | buf_adds(&b, "]")) < 0)
		buf_free(&b);
	control_answer(set->client, 200, &b);
}

static void
answer_one(struct logouts *set)
{
	const struct one *one = &set->one[0];
	struct buf b = BUF_INIT(0);
	int e;

	if (one->why != NULL) {
		control_error(set->client, 503, "store", one->why);
		return;
	}
	e = add_text(&b, "{\"status\":\"ok\",\"revoked\":", one->revoked);
	if ((e | buf_adds(&b, "}")) < 0)
		buf_free(&b);
	control_answer(set->client, 200, &b);
}

static void
done_one(struct logouts *set)
{
	if (--set->left > 0)
		return;
	set->client->logouts = NULL;
	if (set->all)
		answer_all(set);
	else
		answer_one(set);
	free_logouts(set);
}

static char *
copy(const char *text)
{
	char *s = strdup(text);

	if (s == NULL)
		abort();
	return s;
}

static void
on_logout(void *arg, const char *why, const char *revoked)
{
	struct one *one = arg;

	one->login = NULL;
	if (why != NULL)
		one->why = copy(why);
	else
		one->revoked = copy(revoked);
	done_one(one->set);
}

static void
begin_logouts(struct control_client *c, const struct upstream *only)
{
	const struct front *f = c->control->front;
	struct logouts *set = calloc(1, sizeof(*set) + f->nupstreams * sizeof(set->one[0]));
	struct one *one;
	size_t i;

	if (set == NULL) {
		control_error(c, 503, "memory", "out of memory");
		return;
	}
	*set = (struct logouts){ .client = c, .all = only == NULL, .left = 1 };
	c->logouts = set;
	for (i = 0; i < f->nupstreams; i++) {
		if ((only != NULL && only != f->upstreams[i]) || f->upstreams[i]->login == NULL)
			continue;
		one = &set->one[set->n++];
		*one = (struct one){ .set = set, .login = f->upstreams[i]->login,
		    .name = copy(f->upstreams[i]->config->name) };
		set->left++;
		login_logout(one->login, on_logout, one);
	}
	done_one(set);
}

void
control_route_logout(struct control_client *c, const struct http1_head *h, struct slice rest)
{
	struct upstream *u = control_find(c->control, rest);

	if (!slice_eq(h->method, "POST"))
		control_error(c, 405, "method", "POST logs out");
	else if (rest.n > 0 && !control_takes_tokens(c, u))
		return;
	else if (c->control->front->draining)
		control_error(c, 503, "draining", "the daemon is stopping");
	else
		begin_logouts(c, rest.n > 0 ? u : NULL);
}

void
control_login_gone(struct control_client *c)
{
	struct logouts *set = c->logouts;

	if (c->login != NULL)
		login_unwatch(c->login, &c->watcher);
	c->login = NULL;
	if (set == NULL)
		return;
	for (size_t i = 0; i < set->n; i++)
		if (set->one[i].login != NULL)
			login_logout_forget(set->one[i].login, &set->one[i]);
	free_logouts(set);
	c->logouts = NULL;
}
