/* Faults on command: which request meets one, and what then happens to it. */
#include <stdio.h>

#include "wall.h"

struct fault {
	TAILQ_ENTRY(fault) entry;
	int64_t		 id;
	enum fault_group group;
	cJSON		*spec, *what, *match;
	int64_t		 left;		/* -1: for ever */
	int64_t		 hits, waiting;
};

TAILQ_HEAD(waiters, conn);
static TAILQ_HEAD(, fault) faults = TAILQ_HEAD_INITIALIZER(faults);
static struct waiters	held = TAILQ_HEAD_INITIALIZER(held);
static int64_t		last_id;

const cJSON *
fault_get(const struct fault *f, const char *what)
{
	return f != NULL ? cJSON_GetObjectItemCaseSensitive(f->what, what) : NULL;
}

bool
fault_is(const struct fault *f, const char *what)
{
	const cJSON	*item = fault_get(f, what);

	return item != NULL && !cJSON_IsFalse(item);
}

int64_t
fault_number(const struct fault *f, const char *what, int64_t otherwise)
{
	const cJSON	*item = fault_get(f, what);

	return cJSON_IsNumber(item) ? (int64_t)item->valuedouble : otherwise;
}

static const char *
fault_text(const struct fault *f, const char *what)
{
	return cJSON_GetStringValue(fault_get(f, what));
}

/* "close": "before" and "reset" are other words for what exists. */
static void
translate(cJSON *what)
{
	const cJSON	*close = cJSON_GetObjectItemCaseSensitive(what, "close");
	const char	*how = cJSON_GetStringValue(close);

	if (how != NULL) {
		cJSON_AddTrueToObject(what, strcmp(how, "before") == 0 ? "close_before" :
		    strcmp(how, "during") == 0 ? "close_during" : "close_after_read");
	}
	if (cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(what, "reset")))
		cJSON_AddTrueToObject(what, "reset_after_read");
	if (cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(what, "rotate_then_cut"))) {
		cJSON_AddTrueToObject(what, "rotate");
		cJSON_AddTrueToObject(what, "half_body");
	}
}

int64_t
fault_add(const cJSON *spec)
{
	static const char *const groups[FAULT_MAX] = { "mcp", "token", "metadata", "authorize",
	    "register", "device", "revoke", "idp" };
	struct fault	*f = calloc(1, sizeof(*f));
	const cJSON	*times;
	size_t		 i;

	if (f == NULL)
		die("no memory");
	f->spec = cJSON_Duplicate(spec, true);
	for (i = 0; i < nitems(groups) && f->what == NULL; i++) {
		f->group = (enum fault_group)i;
		f->what = cJSON_GetObjectItemCaseSensitive(f->spec, groups[i]);
	}
	if (!cJSON_IsObject(f->what)) {
		cJSON_Delete(f->spec);
		free(f);
		return -1;
	}
	translate(f->what);
	f->match = cJSON_GetObjectItemCaseSensitive(f->spec, "match");
	times = cJSON_GetObjectItemCaseSensitive(f->spec, "times");
	f->left = cJSON_IsNumber(times) ? (int64_t)times->valuedouble : -1;
	f->id = ++last_id;
	TAILQ_INSERT_TAIL(&faults, f, entry);
	return f->id;
}

cJSON *
fault_json(void)
{
	cJSON		*list = cJSON_CreateArray(), *item;
	struct fault	*f;

	TAILQ_FOREACH(f, &faults, entry) {
		item = cJSON_CreateObject();
		cJSON_AddNumberToObject(item, "id", (double)f->id);
		cJSON_AddNumberToObject(item, "hits", (double)f->hits);
		cJSON_AddNumberToObject(item, "left", (double)f->left);
		cJSON_AddItemToArray(list, item);
	}
	return list;
}

static bool
of_head(const struct fault *f)
{
	return fault_is(f, "close_before") || fault_is(f, "close_during") ||
	    fault_is(f, "reset_before") || fault_is(f, "stall_read") || fault_is(f, "at_head");
}

static bool
matches(const struct fault *f, const struct conn *c)
{
	const struct { const char *name, *value; } has[] = {
		{ "path", c->req.path }, { "method", c->req.method }, { "tool", c->req.tool },
		{ "rpc", c->req.rpc }, { "key", c->req.key },
		{ "grant", c->req.grant },
		{ "auth", c->req.verdict == AUTH_OK ? "ok" : "bad" },
	};
	const char	*want;
	size_t		 i;

	for (i = 0; i < nitems(has); i++) {
		want = cJSON_GetStringValue(
		    cJSON_GetObjectItemCaseSensitive(f->match, has[i].name));
		if (want != NULL && strcmp(want, has[i].value) != 0)
			return false;
	}
	return true;
}

/* Finds it and uses it up by one. */
static struct fault *
find(const struct conn *c, enum fault_group group, bool at_head)
{
	struct fault	*f;

	if (c->other)
		return NULL;
	TAILQ_FOREACH(f, &faults, entry) {
		if (f->group != group || f->left == 0 || of_head(f) != at_head || !matches(f, c))
			continue;
		if (f->left > 0)
			f->left--;
		f->hits++;
		return f;
	}
	return NULL;
}

bool
fault_at_head(struct conn *c, enum fault_group group)
{
	struct fault	*f = find(c, group, true);

	if (f == NULL)
		return false;
	if (fault_is(f, "close_before") || fault_is(f, "reset_before")) {
		conn_kill(c, fault_is(f, "reset_before"));
	} else if (fault_is(f, "close_during")) {
		c->cut_body = true;
	} else if (fault_is(f, "stall_read")) {
		conn_stall(c);
	} else {
		c->fault = f;
		if (fault_is(f, "reject_all"))
			mcp_unauthorized(c);
		else
			fault_commit(c);
	}
	return true;
}

static void
act_now(struct conn *c)
{
	int64_t	delay = fault_number(c->fault, "delay_ms", 0);

	if (delay > 0)
		conn_after(c, delay, c->later);
	else
		c->later(c);
}

/* The first that waits for fault `id` (0: any). */
static struct conn *
first_held(int64_t id)
{
	struct conn	*c;

	TAILQ_FOREACH(c, &held, waiting) {
		if (id == 0 || (c->fault != NULL && c->fault->id == id))
			return c;
	}
	return NULL;
}

/* A connection that is held has died. */
void
fault_forget(struct conn *c)
{
	TAILQ_REMOVE(&held, c, waiting);
	c->held = false;
	counts.held--;
	if (c->fault != NULL)
		c->fault->waiting--;
}

/* Lets go what fault `id` holds (0: everything, also what is stalled). */
int
fault_release(int64_t id)
{
	struct conn	*c, *next;
	int64_t		 most = counts.held;
	int		 n = 0;

	while (n < most && (c = first_held(id)) != NULL) {
		fault_forget(c);
		n++;
		act_now(c);
	}
	for (c = LIST_FIRST(&conns); c != NULL && id == 0; c = next) {
		next = LIST_NEXT(c, all);
		if (c->stalled) {
			conn_unstall(c);
			n++;
		}
	}
	return n;
}

void
fault_clear(void)
{
	struct fault	*f;
	struct conn	*c;

	LIST_FOREACH(c, &conns, all) {
		if (!c->held)
			c->fault = NULL;
	}
	while ((c = first_held(0)) != NULL) {
		fault_forget(c);
		c->fault = NULL;
		c->later(c);
	}
	while ((f = TAILQ_FIRST(&faults)) != NULL) {
		TAILQ_REMOVE(&faults, f, entry);
		cJSON_Delete(f->spec);
		free(f);
	}
}

void
fault_meet(struct conn *c, enum fault_group group, void (*act)(struct conn *))
{
	struct fault	*f = find(c, group, false);
	int64_t		 gather = fault_number(f, "gather", 0);

	c->fault = f;
	if (f == NULL) {
		act(c);
		return;
	}
	c->later = act;
	if (gather == 0 && !fault_is(f, "hold")) {
		act_now(c);
		return;
	}
	TAILQ_INSERT_TAIL(&held, c, waiting);
	c->held = true;
	counts.held++;
	if (++f->waiting >= gather && gather > 0)
		fault_release(f->id);
}

void
fault_fields(const struct fault *f, struct buf *b)
{
	const cJSON	*headers = fault_get(f, "headers"), *h;

	cJSON_ArrayForEach(h, headers)
		buf_addf(b, "%s: %s\r\n", h->string, cJSON_GetStringValue(h));
}

static void
commit_raw(struct conn *c)
{
	const char	*raw = fault_text(c->fault, "raw"), *hex = fault_text(c->fault, "raw_hex");
	struct buf	 b = BUF_INIT(0);
	unsigned	 byte;
	char		 ch;
	bool		 keep = fault_is(c->fault, "keep");

	if (raw != NULL)
		buf_adds(&b, raw);
	for (; hex != NULL && sscanf(hex, "%2x", &byte) == 1 && hex[0] != '\0'; hex += 2) {
		ch = (char)byte;
		buf_add(&b, &ch, 1);
		if (hex[1] == '\0')
			break;
	}
	conn_raw(c, b.p != NULL ? b.p : "", b.len);
	buf_free(&b);
	if (!keep)
		conn_end(c, false);
}

/* What is answered when an answer is cut: plausible, and then not finished. */
static void
commit_half(struct conn *c)
{
	static const char	body[] = "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"cut\":true}}";
	const char		*text = fault_text(c->fault, "body");
	bool			 chunked = fault_is(c->fault, "half_chunked");
	struct buf		 b = BUF_INIT(0);
	size_t			 n;

	if (text == NULL)
		text = c->req.answer.len > 0 ? c->req.answer.p : body;
	n = strlen(text);
	answer_head(&b, c, (int)fault_number(c->fault, "status", 200), "application/json", NULL,
	    chunked ? -1 : (ssize_t)n);
	if (fault_is(c->fault, "half_head")) {
		b.len /= 2;
	} else {
		if (chunked)
			buf_addf(&b, "%zx\r\n", n);
		buf_add(&b, text, n / 2);
	}
	c->cut_body = true;
	conn_raw(c, b.p, b.len);
	buf_free(&b);
	conn_end(c, false);
}

static void
commit_answer(struct conn *c)
{
	const cJSON	*redirect = fault_get(c->fault, "redirect");
	const char	*body = fault_text(c->fault, "body"), *to;
	int64_t		 status = fault_number(c->fault, "status", 200);
	struct buf	 b = BUF_INIT(0);

	fault_fields(c->fault, &b);
	if (redirect != NULL) {
		to = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(redirect, "location"));
		status = (int64_t)cJSON_GetNumberValue(
		    cJSON_GetObjectItemCaseSensitive(redirect, "status"));
		if (to != NULL)
			buf_addf(&b, "Location: %s\r\n", to);
	}
	if (body == NULL)
		body = "{\"error\":\"server_error\"}";
	answer(c, (int)status, "application/json", b.p, body, strlen(body));
	buf_free(&b);
}

static bool
is_half(const struct fault *f)
{
	return fault_is(f, "half_head") || fault_is(f, "half_body") || fault_is(f, "half_chunked");
}

static bool
is_answer(const struct fault *f)
{
	return fault_get(f, "status") != NULL || fault_get(f, "body") != NULL ||
	    fault_get(f, "redirect") != NULL;
}

static bool
is_raw(const struct fault *f)
{
	return fault_get(f, "raw") != NULL || fault_get(f, "raw_hex") != NULL;
}

bool
fault_commits(const struct fault *f)
{
	return f != NULL && (fault_is(f, "hang") || fault_is(f, "close_after_read") ||
	    fault_is(f, "reset_after_read") || is_half(f) || is_raw(f) || is_answer(f));
}

bool
fault_commit(struct conn *c)
{
	const struct fault	*f = c->fault;

	if (!fault_commits(f))
		return false;
	if (fault_is(f, "hang"))
		return true;
	if (fault_is(f, "close_after_read") || fault_is(f, "reset_after_read")) {
		c->cut_body = true;
		conn_kill(c, fault_is(f, "reset_after_read"));
	} else if (is_half(f)) {
		commit_half(c);
	} else if (is_raw(f)) {
		commit_raw(c);
	} else {
		commit_answer(c);
	}
	return true;
}
