/* The client's session: begun, lost and begun anew (G1; decisions are lib/session's), ended (L8). */
#include <stdio.h>

#include "front_line_impl.h"
#include "json.h"
#include "log.h"

#define NO_SESSION	"the session was lost and could not be begun anew"
#define INITIALIZE_RETRY (1 * SEC)	/* while the server itself is away */

/* --- what an initialize answer says --- */

static bool
has_true(const cJSON *object, const char *key)
{
	return cJSON_IsTrue(json_member(object, key));
}

static unsigned
capabilities_of(struct slice answer)
{
	static const struct { const char *name; unsigned bit, changed; } known[] = {
		{ "tools", SESSION_TOOLS, SESSION_TOOLS_CHANGED },
		{ "prompts", SESSION_PROMPTS, SESSION_PROMPTS_CHANGED },
		{ "resources", SESSION_RESOURCES, SESSION_RESOURCES_CHANGED },
		{ "logging", SESSION_LOGGING, 0 },
		{ "completions", SESSION_COMPLETIONS, 0 },
	};
	struct slice raw;
	const cJSON *item;
	unsigned bits = 0;
	cJSON *json;
	size_t i;

	if (!mcp_at(answer, &raw, "result", "capabilities", NULL) ||
	    (json = json_parse(raw.p, raw.n, NULL)) == NULL)
		return 0;
	cJSON_ArrayForEach(item, json) {
		for (i = 0; item->string != NULL && i < nitems(known); i++)
			if (strcmp(item->string, known[i].name) == 0)
				break;
		bits |= i < nitems(known) ? known[i].bit : SESSION_OTHERS;
		if (i < nitems(known) && has_true(item, "listChanged"))
			bits |= known[i].changed;
		if (i < nitems(known) && known[i].bit == SESSION_RESOURCES &&
		    has_true(item, "subscribe"))
			bits |= SESSION_SUBSCRIBE;
	}
	cJSON_Delete(json);
	return bits;
}

/* false: it is no answer to an initialize. */
static bool
version_of(struct slice answer, struct buf *out)
{
	struct slice raw;

	return mcp_at(answer, &raw, "result", "protocolVersion", NULL) && mcp_text(raw, out) == 0 &&
	    out->len > 0 && http1_is_value(out->p, out->len);
}

static void
take_id(struct line_client *c, struct line_exchange *x)
{
	secret_free(c->session_id);
	c->session_id = x->session_id;
	x->session_id = NULL;
}

/* --- repeats --- */

static void
repeat_drop(struct line_client *c, struct line_repeat *r)
{
	TAILQ_REMOVE(&c->repeats, r, entry);
	c->nrepeats--;
	c->repeat_bytes -= r->text.len;
	buf_free(&r->text);
	free(r);
}

/* uri {NULL, 0}: the level. */
static void
repeat_forget(struct line_client *c, struct slice uri)
{
	struct line_repeat *r, *next;

	for (r = TAILQ_FIRST(&c->repeats); r != NULL; r = next) {
		next = TAILQ_NEXT(r, entry);
		if ((uri.p == NULL) == (r->uri.p == NULL) &&
		    (uri.p == NULL || mcp_same_id(r->uri, uri)))
			repeat_drop(c, r);
	}
}

static void
repeat_add(struct line_client *c, const struct line_exchange *x, struct slice uri)
{
	struct line_repeat *r;

	if (c->nrepeats == REPEATS_MAX || c->repeat_bytes + x->text.len > (size_t)REPEAT_BYTES ||
	    (r = calloc(1, sizeof(*r))) == NULL || buf_add(&r->text, x->text.p, x->text.len) < 0) {
		log_warn(line_name(c), "session", "a %s would not be repeated on a new session: "
		    "there are too many", x->rpc.method);
		return;
	}
	if (uri.p != NULL)
		r->uri = (struct slice){ r->text.p + (uri.p - x->text.p), uri.n };
	TAILQ_INSERT_TAIL(&c->repeats, r, entry);
	c->nrepeats++;
	c->repeat_bytes += r->text.len;
}

void
line_session_learn(struct line_client *c, const struct line_exchange *x)
{
	struct slice uri = { NULL, 0 }, text = { x->text.p, x->text.len };
	const char *method = x->rpc.method;
	bool subscribes = strcmp(method, "resources/subscribe") == 0;

	if (x->modern || x->text.len == 0 || x->rpc.kind == JSONRPC_BATCH)
		return;
	if (strcmp(method, "logging/setLevel") != 0) {
		if ((!subscribes && strcmp(method, "resources/unsubscribe") != 0) ||
		    !mcp_at(text, &uri, "params", "uri", NULL))
			return;
	}
	repeat_forget(c, uri);
	if (subscribes || uri.p == NULL)
		repeat_add(c, x, uri);
}

static unsigned
repeat_all(struct line_client *c)
{
	struct line_exchange *x;
	struct line_repeat *r;
	unsigned n = 0;

	TAILQ_FOREACH(r, &c->repeats, entry) {
		x = line_new_own(c, LINE_OWN_REPEAT, (struct slice){ r->text.p, r->text.len });
		if (x == NULL)
			continue;
		line_send(x);
		n++;
	}
	return n;
}

/* --- the client's own beginning --- */

static void
forget_old(struct line_client *c)
{
	line_stream_close(c);
	if (c->session_id != NULL)
		line_session_delete(c);
	line_asked_clear(c);
	while (!TAILQ_EMPTY(&c->repeats))
		repeat_drop(c, TAILQ_FIRST(&c->repeats));
	c->initialized = false;
}

void
line_session_opened(struct line_exchange *x, struct slice answer)
{
	_cleanup_(buf_free) struct buf version = BUF_INIT(sizeof(x->client->session.version));
	struct line_client *c = x->client;
	unsigned actions;

	if (!version_of(answer, &version) || session_opened(&c->session,
	    (struct slice){ version.p, version.len }, capabilities_of(answer)) < 0) {
		log_warn(line_name(c), "session", "the answer to initialize names no protocol version");
		return;
	}
	forget_old(c);
	take_id(c, x);
	buf_free(&c->initialize);
	(void)buf_add(&c->initialize, x->text.p, x->text.len);	/* without it a lost session stays lost */
	(void)session_step(&c->session, SESSION_INITIALIZED, &actions);
	log_debug(line_name(c), "session", "a line client speaks %s", c->session.version);
}

/* --- lost --- */

bool
line_session_starting(const struct line_client *c)
{
	return c->session.state == SESSION_STARTING || c->session.state == SESSION_CONFIRMING;
}

static void step(struct line_client *c, enum session_event, const struct failure *);

/* What stood on the old session and cannot go on. */
static void
fail_resting(struct line_client *c)
{
	struct line_exchange *x, *next;

	for (x = TAILQ_FIRST(&c->exchanges); x != NULL; x = next) {
		next = TAILQ_NEXT(x, entry);
		if (x->state == LINE_RESTING && line_is_request(x))
			line_fails(x, REASON_UPSTREAM_UNREACHABLE,
			    "the stream broke and the session is lost; what became of it is unknown");
	}
}

static void
initialize_again(struct line_client *c)
{
	struct line_exchange *x = NULL;

	log_info(line_name(c), "session", "the session is lost: a new one is begun for its client");
	secret_free(c->session_id);
	c->session_id = NULL;
	line_stream_close(c);
	fail_resting(c);
	c->begin_until = loop_now(c->loop).boot + c->up->config->recovery;
	if (c->initialize.len > 0)
		x = line_new_own(c, LINE_OWN_INITIALIZE,
		    (struct slice){ c->initialize.p, c->initialize.len });
	if (x != NULL)
		line_send(x);
	else
		step(c, SESSION_REFUSED, NULL);
}

static void
confirm(struct line_client *c)
{
	static const char text[] = "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/initialized\"}";
	struct line_exchange *x;

	if (!c->initialized) {		/* the client has not got so far, either */
		step(c, SESSION_CONFIRMED, NULL);
		return;
	}
	x = line_new_own(c, LINE_OWN_INITIALIZED, slice_of(text));
	if (x != NULL)
		line_send(x);
	else
		step(c, SESSION_REFUSED, NULL);
}

static unsigned
resend_joined(struct line_client *c)
{
	struct line_exchange *x, *next;
	unsigned n = 0;

	for (x = TAILQ_FIRST(&c->exchanges); x != NULL; x = next) {
		next = TAILQ_NEXT(x, entry);
		if (x->state != LINE_JOINED)
			continue;
		line_send(x);
		n++;
	}
	return n;
}

static void
give_changed(struct line_client *c)
{
	static const struct { unsigned bit; const char *line; } lists[] = {
#define CHANGED(what)	"{\"jsonrpc\":\"2.0\",\"method\":\"notifications/" what "/list_changed\"}"
		{ SESSION_TOOLS_CHANGED, CHANGED("tools") },
		{ SESSION_PROMPTS_CHANGED, CHANGED("prompts") },
		{ SESSION_RESOURCES_CHANGED, CHANGED("resources") },
	};

	for (size_t i = 0; c->initialized && i < nitems(lists); i++)
		if (c->session.capabilities & lists[i].bit)
			line_write(c, slice_of(lists[i].line));
}

/* Is it no word about the server? */
static bool
is_own(const struct failure *f)
{
	return f != NULL && f->reason != REASON_UPSTREAM_UNREACHABLE &&
	    f->reason != REASON_UPSTREAM_MALFORMED && f->reason != REASON_RECOVERY_TIMEOUT;
}

/*
 * Whoever waited for the new session is told, and the connection goes on: a
 * stdio client whose connection ends has lost its server for good.
 */
static void
fail_joined(struct line_client *c, const struct failure *why)
{
	struct failure f = { .reason = REASON_UPSTREAM_UNREACHABLE,
	    .retry_ms = MAX(c->begin_after - loop_now(c->loop).boot, 0), .detail = NO_SESSION };
	struct line_exchange *x, *next;

	if (is_own(why))
		f = *why;
	for (x = TAILQ_FIRST(&c->exchanges); x != NULL; x = next) {
		next = TAILQ_NEXT(x, entry);
		if (x->state == LINE_JOINED)
			line_fail(x, &f);
		else if (x->kind == LINE_OWN_INITIALIZE || x->kind == LINE_OWN_INITIALIZED)
			line_over(x);
	}
}

/* Only what asked the server in vain makes the next one wait. */
static void
back_off(struct line_client *c, const struct failure *why)
{
	int64_t ms = SESSION_RETRY_MIN << MIN(c->begin_tries, 5u);

	log_warn(line_name(c), "session", "%s (%s%s%s): the client's next message tries again",
	    NO_SESSION, reason_name(why != NULL ? why->reason : REASON_UPSTREAM_UNREACHABLE),
	    why != NULL && why->detail[0] != '\0' ? ": " : "", why != NULL ? why->detail : "");
	if (c->session_id != NULL)
		line_session_delete(c);
	if (is_own(why))
		return;
	c->begin_after = loop_now(c->loop).boot + MIN(ms, SESSION_RETRY_MAX);
	c->begin_tries++;
}

/* `why`: of SESSION_REFUSED, or NULL. */
static void
step(struct line_client *c, enum session_event event, const struct failure *why)
{
	unsigned actions, repeated, sent;

	if (session_step(&c->session, event, &actions) < 0) {
		log_err(line_name(c), "session", "event %d in state %d", (int)event,
		    (int)c->session.state);
		return;
	}
	if (actions & SESSION_DO_INITIALIZE)
		initialize_again(c);
	if (actions & SESSION_DO_CONFIRM)
		confirm(c);
	if (actions & SESSION_DO_RESEND_ALL) {
		repeated = repeat_all(c);
		sent = resend_joined(c);
		log_info(line_name(c), "session", "a new session stands in for the lost one: "
		    "%u messages sent again, %u settings and subscriptions repeated", sent, repeated);
		c->begin_tries = 0;
		if (c->initialized)
			line_stream_open(c);
	}
	if (actions & SESSION_DO_CHANGED)
		give_changed(c);
	if (actions & SESSION_DO_BACKOFF)
		back_off(c, why);
	if (actions & SESSION_DO_FAIL)
		fail_joined(c, why);
	if (actions & SESSION_DO_CLOSE)
		line_break(c, "the session was lost, and the new one has another protocol version "
		    "or fewer capabilities");
}

/* The client begins anew by itself. */
static bool
is_initializing(const struct line_client *c)
{
	const struct line_exchange *x;

	TAILQ_FOREACH(x, &c->exchanges, entry)
		if (x->kind == LINE_INITIALIZE)
			return true;
	return false;
}

bool
line_session_lost(struct line_client *c, struct line_exchange *x, bool join, unsigned epoch)
{
	enum session_event event = session_saw_lost(&c->session, epoch);
	bool resend = event == SESSION_LOST_BEFORE && c->session.state == SESSION_OPEN;

	if (c->leaving || c->session.state == SESSION_NONE || is_initializing(c))
		return false;
	if (event == SESSION_LOST && !c->up->config->session_recovery) {
		secret_free(c->session_id);
		c->session_id = NULL;
		line_break(c, "the session was lost, and sessionRecovery is off");
		return x != NULL && x->state == LINE_OVER;
	}
	if (x != NULL && join) {
		x->state = LINE_JOINED;
		x->again = true;
		x->why = EXCHANGE_RESESSION;
	}
	step(c, event, NULL);
	if (x == NULL || !join)
		return x != NULL && x->state == LINE_OVER;
	if (resend && x->state == LINE_JOINED)
		line_send(x);
	return true;
}

void
line_session_send(struct line_exchange *x)
{
	struct failure f = { .reason = REASON_UPSTREAM_UNREACHABLE, .detail = NO_SESSION };
	struct line_client *c = x->client;
	int64_t now = loop_now(c->loop).boot;
	bool absent = c->session.state == SESSION_ABSENT;

	if ((!absent && !line_session_starting(c)) || (absent && x->kind == LINE_INITIALIZE)) {
		line_send(x);
	} else if (absent && now < c->begin_after) {
		f.retry_ms = c->begin_after - now;
		line_fail(x, &f);
	} else {
		x->state = LINE_JOINED;
		step(c, SESSION_WANTED, NULL);
	}
}

/* --- our own requests --- */

/*
 * The server is away for a moment, or what stands before it has not found it
 * yet: that says nothing of the session.
 */
static bool
try_again(struct line_exchange *x, const struct failure *f)
{
	struct line_client *c = x->client;

	if (f == NULL || (f->reason != REASON_UPSTREAM_UNREACHABLE && x->status != 404) || c->draining || c->leaving ||
	    loop_now(c->loop).boot + INITIALIZE_RETRY >= c->begin_until)
		return false;
	x->state = LINE_RESTING;
	timer_set(&x->timer, INITIALIZE_RETRY);
	return true;
}

static void
initialize_answered(struct line_exchange *x, struct slice answer, const struct failure *f)
{
	_cleanup_(buf_free) struct buf version = BUF_INIT(sizeof(x->client->session.version));
	struct line_client *c = x->client;
	enum session_event event = SESSION_REFUSED;

	if (version_of(answer, &version)) {
		event = session_saw_initialize(&c->session,
		    (struct slice){ version.p, version.len }, capabilities_of(answer));
		take_id(c, x);
	}
	line_over(x);
	if (!c->leaving)
		step(c, event, f);
}

void
line_session_own(struct line_exchange *x, struct slice answer, const struct failure *f)
{
	struct line_client *c = x->client;
	enum line_kind kind = x->kind;
	struct slice result;

	if (kind == LINE_OWN_INITIALIZE) {
		if (!try_again(x, f))
			initialize_answered(x, answer, f);
		return;
	}
	if (kind == LINE_OWN_REPEAT && (f != NULL || !mcp_member(answer, "result", &result)))
		log_warn(line_name(c), "session", "%s could not be repeated on the new session",
		    x->rpc.method);
	line_over(x);
	if (kind == LINE_OWN_INITIALIZED && !c->leaving)
		step(c, f != NULL ? SESSION_REFUSED : SESSION_CONFIRMED, f);
}

/* --- the end --- */

/* Takes the id. */
static void
end_session(struct line_client *c, char **id)
{
	struct line_exchange *x = line_new(c, LINE_DELETE);

	if (x != NULL) {
		x->session_id = *id;
		*id = NULL;
		line_send(x);
	}
	secret_free(*id);
	*id = NULL;
}

void
line_session_delete(struct line_client *c)
{
	end_session(c, &c->session_id);
}

void
line_session_discard(struct line_exchange *x)
{
	end_session(x->client, &x->session_id);
}

void
line_session_free(struct line_client *c)
{
	secret_free(c->session_id);
	buf_free(&c->initialize);
	line_asked_clear(c);
	while (!TAILQ_EMPTY(&c->repeats))
		repeat_drop(c, TAILQ_FIRST(&c->repeats));
}
