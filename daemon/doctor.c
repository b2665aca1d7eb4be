#include <assert.h>
#include <stdarg.h>
#include <stdio.h>

#include "credential.h"
#include "doctor_impl.h"
#include "fetch.h"
#include "when.h"

#define ALL_OF_IT	(60 * SEC)	/* a person waits */
#define LOAD_TICK	20		/* ms: a credential is loaded from a local file */
#define LOAD_WAIT	(5 * SEC)
#define EXPIRES_SOON	(14LL * 24 * HOUR_MS)	/* a certificate: time to renew it */
#define SKEW_FINE	(30 * SEC)	/* clocks differ, and Date counts seconds */
#define SKEW_ASSERTION	ASSERTION_LIFE	/* beyond it no assertion of ours is valid there */

static const char *const step_names[] = {
	[DOCTOR_DNS] = "dns",
	[DOCTOR_CONNECT] = "connect",
	[DOCTOR_TLS] = "tls",
	[DOCTOR_CHALLENGE] = "challenge",
	[DOCTOR_METADATA] = "metadata",
	[DOCTOR_ISSUER] = "issuer",
	[DOCTOR_CLIENT] = "client",
	[DOCTOR_SCOPES] = "scopes",
	[DOCTOR_TOKEN] = "token",
	[DOCTOR_REQUEST] = "request",
	[DOCTOR_CLOCK] = "clock",
};
static_assert(nitems(step_names) == DOCTOR_STEPS, "a name for each step");

static const char *const result_names[] = {
	[DOCTOR_OK] = "ok",
	[DOCTOR_WARN] = "warn",
	[DOCTOR_FAIL] = "fail",
	[DOCTOR_SKIP] = "skip",
};

static void	examine_token(void *);

/* --- what the asker is told --- */

static void
tell(struct doctor *d, struct buf *b, int e)
{
	/* Without memory this line is missing; `done` still counts the step. */
	if (e == 0 && buf_adds(b, "\n") == 0)
		d->ops->event(d->arg, b->p, b->len);
	buf_free(b);
}

void
doctor_say(struct doctor *d, enum doctor_step step, enum doctor_result result, const char *hint,
    const char *fmt, ...)
{
	struct buf b = BUF_INIT(0);
	char text[1200];
	va_list ap;
	int e = 0;

	assert(step == d->next);
	d->next++;
	d->failed += result == DOCTOR_FAIL;
	d->warned += result == DOCTOR_WARN;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	e |= buf_addf(&b, "{\"step\":\"%s\",\"result\":\"%s\",\"message\":", step_names[step],
	    result_names[result]);
	e |= buf_addjson(&b, text, strlen(text));
	e |= buf_adds(&b, ",\"hint\":");
	e |= hint != NULL ? buf_addjson(&b, hint, strlen(hint)) : buf_adds(&b, "null");
	e |= buf_adds(&b, "}");
	tell(d, &b, e);
}

void
doctor_skip(struct doctor *d, enum doctor_step end, const char *why)
{
	while (d->next < end)
		doctor_say(d, d->next, DOCTOR_SKIP, NULL, "%s", why);
}

static void
bury(void *arg)
{
	struct doctor *d = arg;

	buf_free(&d->body);
	free(d);
}

/* Lets go of whatever runs. */
static void
stop(struct doctor *d)
{
	d->over = true;
	link_free(d->link);
	d->link = NULL;
	discover_cancel(d->discover);
	d->discover = NULL;
	if (d->relay != NULL)
		relay_abandon(d->relay);
	d->relay = NULL;
	timer_clear(&d->limit);
	timer_clear(&d->load);
	loop_undefer(d->up->loop, d);
	d->up->doctor = NULL;
	loop_defer(d->up->loop, bury, d);
}

static void
finish(struct doctor *d)
{
	const struct doctor_ops *ops = d->ops;
	struct buf b = BUF_INIT(0);
	void *arg = d->arg;
	int e;

	e = buf_addf(&b,
	    "{\"event\":\"done\",\"ok\":%s,\"login_required\":%s,\"failed\":%u,\"warned\":%u}",
	    d->failed == 0 ? "true" : "false",
	    d->login_required ? "true" : "false", d->failed, d->warned);
	tell(d, &b, e);
	stop(d);
	ops->ended(arg);
}

void
doctor_give_up(struct doctor *d, const char *hint, const char *why)
{
	doctor_say(d, d->next, DOCTOR_FAIL, hint, "%s", why);
	doctor_skip(d, DOCTOR_STEPS, why);
	finish(d);
}

static void
on_limit(void *arg)
{
	struct doctor *d = arg;
	char why[64];

	snprintf(why, sizeof(why), "no answer within the %lld s that all of this may take",
	    ALL_OF_IT / SEC);
	doctor_give_up(d, "try again; if it stays so, the server or a proxy hangs", why);
}

static int64_t
left(const struct doctor *d)
{
	return MAX(d->began + ALL_OF_IT - loop_now(d->up->loop).boot, 1);
}

/* --- clock: the server's Date --- */

void
doctor_saw_date(struct doctor *d, int64_t date)
{
	if (date == 0)
		return;
	d->has_date = true;
	d->skew = date - loop_now(d->up->loop).wall;
}

/* Who signs assertions has them judged by the other clock. */
static bool
signs(const struct config_upstream *u)
{
	return u->auth == CONFIG_OAUTH &&
	    (u->oauth.grant == CONFIG_ID_JAG || u->oauth.private_key_file != NULL);
}

void
doctor_clock(struct doctor *d)
{
	const char *hint = "set the clock here (timedatectl shows whether it is synchronized), or "
	    "tell whoever runs the server";
	int64_t off = d->skew < 0 ? -d->skew : d->skew;
	const char *way = d->skew < 0 ? "ahead of" : "behind";
	enum doctor_result bad = DOCTOR_WARN;

	if (off > SKEW_ASSERTION && signs(d->up->config))
		bad = DOCTOR_FAIL;
	if (!d->has_date)
		doctor_say(d, DOCTOR_CLOCK, DOCTOR_SKIP, NULL, "the server has not said what time "
		    "it is");
	else if (off <= SKEW_FINE)
		doctor_say(d, DOCTOR_CLOCK, DOCTOR_OK, NULL, "as the server's");
	else
		doctor_say(d, DOCTOR_CLOCK, bad, hint, "the clock here is %lld s %s the server's",
		    (long long)(off / SEC), way);
	finish(d);
}

/* --- token --- */

static void
examine_token(void *arg)
{
	struct doctor *d = arg;
	unsigned failed = d->failed;

	if (!doctor_read_token(d)) {
		if (d->load_until == 0)
			d->load_until = loop_now(d->up->loop).boot + LOAD_WAIT;
		if (loop_now(d->up->loop).boot < d->load_until) {
			timer_set(&d->load, LOAD_TICK);
			return;
		}
		doctor_say(d, DOCTOR_TOKEN, DOCTOR_FAIL, "look at the store's folder and the log",
		    "the store does not answer");
	}
	if (d->connected && d->failed == failed) {
		doctor_request(d);
		return;
	}
	doctor_skip(d, DOCTOR_CLOCK, d->connected ? "there is no token to send" :
	    "there is no connection");
	doctor_clock(d);
}

/* --- challenge and metadata --- */

static void
say_challenge(struct doctor *d, const struct discover_seen *seen)
{
	const struct challenge *c = seen->challenge;
	bool bearer = c != NULL && c->bearer;
	int status = seen->status;

	d->silent = status == 0;
	if (status == 0)
		doctor_say(d, DOCTOR_CHALLENGE, DOCTOR_FAIL, "try again; if it stays so, tell "
		    "whoever runs the server", "a request without a token was not answered: %s",
		    seen->why != NULL ? seen->why : "no answer");
	else if (status == 401 && bearer)
		doctor_say(d, DOCTOR_CHALLENGE, DOCTOR_OK, NULL, "the server wants a token (401)%s",
		    c->resource_metadata != NULL ? " and says where to look" : "");
	else if (status == 401)
		doctor_say(d, DOCTOR_CHALLENGE, DOCTOR_WARN, "tell whoever runs the server: a 401 "
		    "needs WWW-Authenticate: Bearer with resource_metadata (RFC 9728)",
		    "the server wants a token (401), but does not say that a Bearer token is "
		    "meant");
	else if (status / 100 == 2)
		doctor_say(d, DOCTOR_CHALLENGE, DOCTOR_OK, NULL,
		    "a ping is answered without a token; other requests may need one");
	else if (status / 100 == 3)
		doctor_say(d, DOCTOR_CHALLENGE, DOCTOR_FAIL, "put the URL to which it redirects "
		    "into \"url\" in the config, if you trust it",
		    "the server redirects elsewhere (%d)", status);
	else if (status >= 500)
		doctor_say(d, DOCTOR_CHALLENGE, DOCTOR_FAIL, "try again later, or tell whoever "
		    "runs the server", "the server is in trouble (%d)", status);
	else
		doctor_say(d, DOCTOR_CHALLENGE, DOCTOR_WARN, "is \"url\" in the config the one of "
		    "the MCP endpoint?", "a request without a token was answered with %d, where "
		    "401 was expected", status);
}

static void
on_look(void *arg, const struct discover_seen *seen)
{
	struct doctor *d = arg;

	if (seen->need == DISCOVERY_PROBE && d->next == DOCTOR_CHALLENGE)
		say_challenge(d, seen);
}

static void
on_discovered(void *arg, struct discover_reply *reply)
{
	struct doctor *d = arg;

	d->discover = NULL;
	doctor_saw_date(d, reply->date);
	doctor_skip(d, DOCTOR_METADATA, "the server was not asked");
	if (d->silent)
		doctor_skip(d, DOCTOR_TOKEN, "the server did not answer");
	else
		doctor_read_metadata(d, reply);
	examine_token(d);
}

static void
examine_login(struct doctor *d)
{
	struct discover_request r = {
		.config = d->up->config,
		.timeout_ms = MIN(left(d), DISCOVERY_WAIT),
		.look = on_look,
		.done = on_discovered,
		.arg = d,
	};

	if (d->up->config->auth != CONFIG_OAUTH) {
		doctor_skip(d, DOCTOR_TOKEN, d->up->config->auth == CONFIG_BEARER ?
		    "the token is not ours to obtain (\"auth\": \"bearer\")" :
		    "nobody logs in (\"auth\": \"none\")");
		examine_token(d);
		return;
	}
	d->discover = discover_start(d->up->connector, &r);
	if (d->discover == NULL)
		doctor_give_up(d, "try again", "out of memory");
}

/* --- dns, connect, tls --- */

static void
say_tls(struct doctor *d, const struct link_facts *f)
{
	int64_t left_ms = f->expires_at - loop_now(d->up->loop).wall;
	char when[WHEN_BYTES];

	if (f->tls[0] == '\0')
		doctor_say(d, DOCTOR_TLS, DOCTOR_SKIP, NULL, "plain http");
	else if (f->expires_at == 0)
		doctor_say(d, DOCTOR_TLS, DOCTOR_OK, NULL, "%s", f->tls);
	else if (left_ms < EXPIRES_SOON)
		doctor_say(d, DOCTOR_TLS, DOCTOR_WARN, "tell whoever runs the server to renew it",
		    "%s; the server's certificate expires %s", f->tls,
		    when_words(left_ms / SEC, when));
	else
		doctor_say(d, DOCTOR_TLS, DOCTOR_OK, NULL, "%s, certificate expires %s", f->tls,
		    when_words(left_ms / SEC, when));
}

static void
on_up(void *arg)
{
	struct doctor *d = arg;
	const char *host = d->up->config->url.host;
	struct link_facts f;

	link_look(d->link, &f);
	link_free(d->link);
	d->link = NULL;
	d->connected = true;
	if (f.proxied)
		doctor_say(d, DOCTOR_DNS, DOCTOR_SKIP, NULL, "the proxy resolves the name");
	else if (strcmp(host, f.address) == 0)
		doctor_say(d, DOCTOR_DNS, DOCTOR_OK, NULL, "%s needs none", host);
	else
		doctor_say(d, DOCTOR_DNS, DOCTOR_OK, NULL, "%s is %s", host, f.address);
	doctor_say(d, DOCTOR_CONNECT, DOCTOR_OK, NULL, "port %u%s", d->up->config->url.port,
	    f.proxied ? ", through the proxy" : "");
	say_tls(d, &f);
	examine_login(d);
}

/* What is on this machine to be mended, and what there. */
static const char *
hint_of(const struct doctor *d, enum link_error why)
{
	const struct config_upstream *u = d->up->config;

	switch (why) {
	case LINK_DNS:
		return "is the name in \"url\" right, and does this machine have a network?  A "
		    "\"proxy\" in the config may be needed";
	case LINK_TLS:
		return "the server's certificate has to be renewed or match the name in \"url\"; "
		    "a private CA goes into \"caFile\" and a client certificate into \"certFile\" "
		    "and \"keyFile\" of \"tls\"";
	case LINK_FAILED:
		return "correct what the config says of proxy and tls; the log says more";
	case LINK_CONNECT:
	case LINK_SLOW:
	case LINK_CLOSED:
	case LINK_CUT:
	case LINK_RESET:
	case LINK_PRIVATE:
		break;
	}
	return u->proxy != NULL ? "does the server run, and is \"proxy\" in the config right?" :
	    "does the server run, are host and port in \"url\" right, and is a firewall in "
	    "between, or a \"proxy\" needed?";
}

static void
on_down(void *arg, enum link_error why, const char *words)
{
	struct doctor *d = arg;
	const char *hint = hint_of(d, why);

	link_free(d->link);
	d->link = NULL;
	if (why == LINK_DNS) {
		doctor_say(d, DOCTOR_DNS, DOCTOR_FAIL, hint, "%s: %s", d->up->config->url.host,
		    words);
	} else {
		if (d->up->config->proxy != NULL)
			doctor_skip(d, DOCTOR_CONNECT, "a proxy may have to resolve the name");
		else
			doctor_say(d, DOCTOR_DNS, DOCTOR_OK, NULL, "%s is known",
			    d->up->config->url.host);
		if (why == LINK_TLS)
			doctor_say(d, DOCTOR_CONNECT, DOCTOR_OK, NULL, "port %u",
			    d->up->config->url.port);
		doctor_say(d, d->next, DOCTOR_FAIL, hint, "%s", words);
	}
	doctor_skip(d, DOCTOR_TOKEN, "there is no connection");
	examine_token(d);
}

static const struct link_ops link_ops = {
	.up = on_up,
	.down = on_down,
};

static void
examine_link(void *arg)
{
	struct doctor *d = arg;
	const struct config_upstream *u = d->up->config;
	struct link_target target = { .url = u->url, .way = way_of(u), .connect_ms = u->connect };

	d->link = link_open(d->up->connector, &target, &link_ops, d);
	if (d->link == NULL)
		doctor_give_up(d, "try again", "out of memory");
}

/* --- from outside --- */

int
doctor_start(struct upstream *up, uid_t uid, const struct doctor_ops *ops, void *arg,
    struct doctor **ret)
{
	struct doctor *d;

	if (up->doctor != NULL)
		return -EBUSY;
	d = calloc(1, sizeof(*d));
	if (d == NULL)
		return -ENOMEM;
	*d = (struct doctor){ .up = up, .uid = uid, .ops = ops, .arg = arg,
	    .body = BUF_SECRET(PEEK_BYTES), .began = loop_now(up->loop).boot };
	if (doctor_needs_nobody(up->config))
		snprintf(d->login, sizeof(d->login), "correct \"oauth\" in the config, then "
		    "mcp-authctl reload");
	else
		snprintf(d->login, sizeof(d->login), "mcp-authctl login %s", up->config->name);
	timer_init(&d->limit, up->loop, on_limit, d);
	timer_init(&d->load, up->loop, examine_token, d);
	timer_set(&d->limit, ALL_OF_IT);
	loop_defer(up->loop, examine_link, d);
	up->doctor = d;
	*ret = d;
	return 0;
}

void
doctor_cancel(struct doctor *d)
{
	if (!d->over)
		stop(d);
}

void
doctor_end(struct upstream *up, const char *why)
{
	if (up->doctor != NULL)
		doctor_give_up(up->doctor, "run it again", why);
}
