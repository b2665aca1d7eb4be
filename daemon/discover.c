#include <stdio.h>

#include "discover.h"
#include "fetch.h"

#define PROBE_BODY	"{\"jsonrpc\":\"2.0\",\"id\":\"mcp-authd\",\"method\":\"ping\"}"

struct discover {
	struct loop	*loop;
	struct connector *connector;
	const struct config_upstream *config;
	struct discovery *discovery;
	char		*issuer;
	bool		 server_only;
	discover_step	 step;
	discover_look	 look;
	discover_done	 done;
	void		*arg;
	int64_t		 deadline;	/* boot ms */
	enum discovery_need need;
	struct url	 url;		/* of the request that runs, redirects followed */
	unsigned	 hops;
	struct fetch	*fetch;
	bool		 seen, seen_public;	/* connections to the MCP origin */
	int64_t		 date;
	bool		 finished;
};

static void	advance(void *arg);

static void
bury(void *arg)
{
	struct discover *d = arg;

	discovery_free(d->discovery);
	url_free(&d->url);
	free(d->issuer);
	free(d);
}

/* --- A15 --- */

static bool
is_public(const struct discover *d)
{
	if (transfer_names_private(&d->config->url))
		return false;
	return !d->seen || d->seen_public;
}

static bool
refuses_private(const struct discover *d)
{
	return !d->server_only && !d->config->oauth.allow_private && is_public(d);
}

/* We do not connect there, but a browser would. */
static bool
leads_browser_inside(const struct discover *d, const struct discovery_result *res)
{
	const char *text = res->authorization_endpoint;
	struct url url;
	bool private;

	if (!res->refuse_private || text == NULL || d->config->oauth.authorization_endpoint != NULL ||
	    url_parse(text, strlen(text), &url) < 0)
		return false;
	private = transfer_names_private(&url);
	url_free(&url);
	return private;
}

/* --- the end --- */

static void
finish(struct discover *d, const char *why)
{
	struct discovery_result res = { 0 };
	struct discover_reply reply = { .date = d->date, .why = why,
	    .at_server = discovery_at_server(d->discovery) };

	d->finished = true;
	if (why == NULL && d->issuer != NULL) {
		reply.mismatch = !discovery_names_issuer(d->discovery, d->issuer);
	} else if (why == NULL) {
		discovery_take(d->discovery, &res);
		res.refuse_private = refuses_private(d);
		reply.result = &res;
		if (leads_browser_inside(d, &res))
			reply.why = "the authorization endpoint is a private address, and the MCP "
			    "server is public (\"oauth.allowPrivate\": true lets it)";
	}
	reply.ok = reply.why == NULL;
	if (!reply.ok)
		reply.result = NULL;
	d->done(d->arg, &reply);
	discovery_result_free(&res);
	loop_defer(d->loop, bury, d);
}

/* --- one request --- */

static void
answer(struct discover *d, const struct discovery_answer *a)
{
	if (d->look != NULL)
		d->look(d->arg, &(struct discover_seen){ .need = d->need, .status = a->status,
		    .challenge = a->challenge, .why = a->why });
	if (d->finished)
		return;
	/* Without memory it has failed, and says so. */
	(void)discovery_answer(d->discovery, a);
	advance(d);
}

static void
answer_nothing(struct discover *d, const char *why)
{
	answer(d, &(struct discovery_answer){ .why = why });
}

static bool	hop(struct discover *, const struct fetch_reply *);

static void
fetched(void *arg, struct fetch_reply *r)
{
	struct discover *d = arg;

	d->fetch = NULL;
	if (r->date != 0)
		d->date = r->date;
	if (r->outcome != FETCH_ANSWER) {
		answer_nothing(d, r->why);
		return;
	}
	if (url_same_origin(&d->url, &d->config->url)) {
		d->seen = true;
		d->seen_public |= !r->private_peer;
	}
	if (hop(d, r))
		return;
	answer(d, &(struct discovery_answer){ .status = r->status, .body = r->body.p,
	    .n = r->body.len, .challenge = &r->challenge });
}

static void
send_request(struct discover *d)
{
	const struct config_upstream *u = d->config;
	bool own = !d->server_only && url_same_origin(&d->url, &u->url);
	bool probe = d->need == DISCOVERY_PROBE;
	struct fetch_request req = {
		.url = d->url.text,
		.header_lines = own ? u->header_lines : NULL,
		.refuse_private = !own && refuses_private(d),
		.way = way_of(u),
		.timeout_ms = d->deadline - loop_now(d->loop).boot,
		.max_body = METADATA_BODY,
		.allow_insecure = u->allow_insecure,
	};

	if (d->server_only)	/* it is neither the upstream nor the upstream's server */
		req.way.cert_file = req.way.key_file = NULL;
	if (probe) {
		req.form = slice_of(PROBE_BODY);
		req.content_type = "application/json";
		req.accept = "application/json, text/event-stream";
		req.head_only = true;
	}
	if (req.timeout_ms <= 0) {
		answer_nothing(d, "no answer in time");
		return;
	}
	d->fetch = fetch_start(d->connector, &req, fetched, d);
	if (d->fetch == NULL)
		answer_nothing(d, errno == EINVAL ? "it must be https" : "out of memory");
}

/* Metadata may be elsewhere; the MCP endpoint only at its own origin, the method kept. */
static bool
is_redirect(const struct discover *d, int status)
{
	if (d->need == DISCOVERY_PROBE)
		return status == 307 || status == 308;
	return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

/* Follows a redirect: true, unless the reply is none. */
static bool
hop(struct discover *d, const struct fetch_reply *r)
{
	struct url url;
	int e;

	if (!is_redirect(d, r->status) || r->location == NULL)
		return false;
	e = url_resolve(&d->url, r->location, strlen(r->location), &url);
	if (e == 0 && d->need == DISCOVERY_PROBE && !url_same_origin(&url, &d->config->url)) {
		url_free(&url);
		return false;
	}
	if (e < 0) {
		answer_nothing(d, e == -ENOMEM ? "out of memory" :
		    "it redirects to what is no http URL");
		return true;
	}
	url_free(&d->url);
	d->url = url;
	if (d->hops++ == DISCOVERY_HOPS)
		answer_nothing(d, "it redirects again and again");
	else if (!url.https && !url_is_loopback(&url) && !d->config->allow_insecure)
		answer_nothing(d, "it redirects to plain http");
	else
		send_request(d);
	return true;
}

static void
advance(void *arg)
{
	struct discover *d = arg;
	const struct url *url = NULL;
	char words[512];

	if (d->finished)
		return;
	d->need = discovery_next(d->discovery, &url);
	if (d->need == DISCOVERY_DONE || d->need == DISCOVERY_FAILED) {
		finish(d, d->need == DISCOVERY_DONE ? NULL : discovery_why(d->discovery));
		return;
	}
	url_free(&d->url);
	if (url_copy(url, &d->url) < 0) {
		finish(d, "out of memory");
		return;
	}
	d->hops = 0;
	if (d->step != NULL)
		d->step(d->arg, discovery_step(d->discovery, words, sizeof(words)));
	if (!d->finished)
		send_request(d);
}

struct discover *
discover_start(struct connector *c, const struct discover_request *r)
{
	struct discover *d = calloc(1, sizeof(*d));

	if (d == NULL)
		return NULL;
	d->loop = connector_loop(c);
	d->connector = c;
	d->config = r->config;
	d->step = r->step;
	d->look = r->look;
	d->done = r->done;
	d->arg = r->arg;
	d->deadline = loop_now(d->loop).boot + r->timeout_ms;
	d->issuer = r->issuer != NULL ? strdup(r->issuer) : NULL;
	d->server_only = r->server != NULL;
	d->discovery = r->server != NULL ? discovery_new_server(r->config, r->server) :
	    discovery_new(r->config, r->known, r->issuer != NULL);
	if (d->discovery == NULL || (r->issuer != NULL && d->issuer == NULL)) {
		bury(d);
		return NULL;
	}
	loop_defer(d->loop, advance, d);
	return d;
}

void
discover_cancel(struct discover *d)
{
	if (d == NULL || d->finished)
		return;
	d->finished = true;
	fetch_cancel(d->fetch);
	loop_defer(d->loop, bury, d);
}
