/* What the wall has seen, as one JSON object. */
#include <stdio.h>

#include "jsonrpc.h"
#include "wall.h"

#define NAMES_MAX	1000000		/* then only the totals go on (bench) */

struct counts		counts;
static struct map	sends, executions, violations, responses, notifications, methods;
static int64_t		statuses[600];

void
count_status(int status)
{
	statuses[status >= 0 && status < 600 ? status : 0]++;
}

void
count_method(const char *method)
{
	counts.requests++;
	map_make(&methods, method)->n++;
}

/* Once for each request.  unique: the name is that of one request alone. */
void
count_send(struct conn *c, const char *name, bool unique)
{
	struct entry	*e;

	if (c->req.counted)
		return;
	c->req.counted = true;
	if (sends.n >= NAMES_MAX)
		return;
	e = map_make(&sends, name);
	e->n++;
	if (unique)
		counts.max_sends = MAX(counts.max_sends, e->n);
}

void
count_execution(const char *key)
{
	struct entry	*e;

	counts.executed++;
	if (key == NULL || key[0] == '\0' || executions.n >= NAMES_MAX)
		return;
	e = map_make(&executions, key);
	e->n++;
	counts.max_executions = MAX(counts.max_executions, e->n);
}

void
count_violation(const char *what)
{
	map_make(&violations, what)->n++;
}

void
count_response(const char *id)
{
	map_make(&responses, id)->n++;
}

void
count_notification(const char *method)
{
	map_make(&notifications, method)->n++;
}

static bool
contains(struct slice s, const char *text)
{
	return s.n > 0 && memmem(s.p, s.n, text, strlen(text)) != NULL;
}

static void
count_cookie(struct slice value)
{
	const char	*known = wall.set.set_cookie;
	size_t		 n = known != NULL ? strcspn(known, ";") : 0;

	if (n > 0 && value.n == n && memcmp(value.p, known, n) == 0)
		counts.cookies++;
	else
		count_violation("cookie");
}

static void
count_field(const struct conn *c, const struct http1_field *f, int *authorizations)
{
	static const char *const hops[] = { "Proxy-Connection", "Keep-Alive", "TE", "Upgrade" };
	bool		mcp = !c->other && strncmp(c->req.path, "/mcp", 4) == 0;
	size_t		i;

	if (contains(f->value, "rt_"))
		count_violation("refresh_token");
	if (slice_ieq(f->name, "Authorization")) {
		if (++*authorizations > 1 || (mcp && !contains(f->value, "Bearer at_")))
			count_violation("authorization");
		if (!mcp && contains(f->value, "at_"))
			count_violation("token_bearer");
	} else if (slice_ieq(f->name, "Cookie")) {
		count_cookie(f->value);
	} else if (slice_ieq(f->name, "Proxy-Authorization")) {
		count_violation("proxy_authorization");
	} else if (slice_ieq(f->name, "Origin")) {
		count_violation("origin");
	}
	for (i = 0; i < nitems(hops); i++) {
		if (slice_ieq(f->name, hops[i]))
			count_violation("hop_by_hop");
	}
}

void
count_fields(struct conn *c, const struct http1_head *head)
{
	int		authorizations = 0;
	struct slice	host = http1_get(head, "Host");
	char		name[32];
	size_t		i;

	snprintf(name, sizeof(name), "localhost:%d", c->other ? wall.other_port : wall.port);
	if (!c->local && !slice_eq(host, c->other ? wall.other_authority : wall.authority) &&
	    !slice_eq(host, name))
		count_violation("host");
	/* State and challenge of /authorize are texts of chance. */
	if (strcmp(c->req.path, "/authorize") != 0 &&
	    (contains(head->target, "at_") || contains(head->target, "rt_")))
		count_violation("refresh_token");
	for (i = 0; i < head->nfields; i++)
		count_field(c, &head->fields[i], &authorizations);
}

struct number { const char *name; int64_t n; };

static void
add_numbers(cJSON *to, const char *name, const struct number *numbers, size_t n)
{
	cJSON	*into = name != NULL ? cJSON_AddObjectToObject(to, name) : to;
	size_t	 i;

	for (i = 0; i < n; i++)
		cJSON_AddNumberToObject(into, numbers[i].name, (double)numbers[i].n);
}

#define ADD(to, name, ...) do {						\
	const struct number numbers_[] = { __VA_ARGS__ };		\
	add_numbers(to, name, numbers_, nitems(numbers_));		\
} while (0)

static cJSON *
status_json(void)
{
	cJSON	*json = cJSON_CreateObject();
	char	 name[16];
	int	 i;

	for (i = 0; i < 600; i++) {
		if (statuses[i] == 0)
			continue;
		snprintf(name, sizeof(name), "%d", i);
		cJSON_AddNumberToObject(json, name, (double)statuses[i]);
	}
	return json;
}

static void
add_groups(cJSON *j)
{
	const struct counts	*k = &counts;

	ADD(j, NULL, { "requests", k->requests }, { "max_sends", k->max_sends },
	    { "executed", k->executed }, { "max_executions", k->max_executions },
	    { "cookies", k->cookies }, { "held", k->held }, { "hanging", k->hanging },
	    { "stalled", k->stalled });
	ADD(j, "auth", { "ok", k->auth[AUTH_OK] }, { "missing", k->auth[AUTH_MISSING] },
	    { "unknown", k->auth[AUTH_UNKNOWN] }, { "expired", k->auth[AUTH_EXPIRED] },
	    { "revoked", k->auth[AUTH_REVOKED] });
	ADD(j, "token", { "requests", k->token_requests }, { "granted", k->granted },
	    { "replays", k->replays }, { "revoked_families", k->revoked_families },
	    { "refused", k->refused }, { "revocations", k->revocations },
	    { "bad_client", k->bad_client }, { "bad_resource", k->bad_resource },
	    { "with_scope", k->with_scope });
	ADD(j, "metadata", { "resource", k->metadata_resource },
	    { "server", k->metadata_server });
	ADD(j, "authorize", { "requests", k->authorize_requests }, { "codes", k->codes },
	    { "denied", k->authorize_denied }, { "pages", k->authorize_pages },
	    { "code_replays", k->code_replays }, { "bad_pkce", k->bad_pkce });
	ADD(j, "register", { "requests", k->register_requests }, { "registered", k->registered },
	    { "refused", k->register_refused });
	ADD(j, "device", { "requests", k->device_requests }, { "polls", k->device_polls },
	    { "too_fast", k->device_fast });
	ADD(j, "exchange", { "requests", k->exchange_requests }, { "granted", k->exchanged });
	ADD(j, "connections", { "open", k->open }, { "peak", k->peak },
	    { "accepted", k->accepted }, { "abandoned", k->abandoned });
	ADD(j, "streams", { "open", k->streams_open }, { "opened", k->streams_opened },
	    { "left", k->streams_left }, { "dropped", k->streams_dropped },
	    { "replayed", k->streams_replayed });
	ADD(j, "listens", { "open", k->listens_open }, { "opened", k->listens_opened },
	    { "left", k->listens_left });
	ADD(j, "sessions", { "open", k->sessions_open }, { "opened", k->sessions_opened },
	    { "deleted", k->sessions_deleted });
}

cJSON *
count_json(bool brief)
{
	static const char *const known[] = { "authorization", "cookie", "proxy_authorization",
	    "hop_by_hop", "host", "origin", "refresh_token", "token_bearer", "malformed" };
	cJSON	*j = cJSON_CreateObject();
	size_t	 i;

	add_groups(j);
	for (i = 0; i < nitems(known); i++)
		map_make(&violations, known[i]);
	cJSON_AddItemToObject(j, "violations", map_json(&violations));
	cJSON_AddItemToObject(j, "methods", map_json(&methods));
	cJSON_AddItemToObject(j, "status", status_json());
	cJSON_AddItemToObject(j, "responses", map_json(&responses));
	cJSON_AddItemToObject(j, "notifications", map_json(&notifications));
	cJSON_AddItemToObject(j, "faults", fault_json());
	cJSON_AddItemToObject(j, "grants", grants_json());
	cJSON_AddItemToObject(j, "assertions", assertions_json());
	seen_count(j);
	if (!brief) {
		cJSON_AddItemToObject(j, "sends", map_json(&sends));
		cJSON_AddItemToObject(j, "executions", map_json(&executions));
	}
	return j;
}

/* What is open, held or hanging stays: it is a state, not a count. */
void
count_reset(void)
{
	struct map *const maps[] = { &sends, &executions, &violations, &responses,
	    &notifications, &methods };
	struct counts	old = counts;
	size_t		i;

	for (i = 0; i < nitems(maps); i++)
		map_clear(maps[i], NULL);
	memset(statuses, 0, sizeof(statuses));
	grants_reset();
	assertions_reset();
	seen_reset();
	counts = (struct counts){ .open = old.open, .peak = old.open,
	    .streams_open = old.streams_open, .listens_open = old.listens_open,
	    .sessions_open = old.sessions_open, .held = old.held, .hanging = old.hanging,
	    .stalled = old.stalled };
}
