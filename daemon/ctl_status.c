#include "ctl_colour.h"
#include "ctl_status.h"
#include "json.h"
#include "when.h"

#define CELL	512		/* of a text; longer text is cut */
#define NARROW	32		/* what a column shows of a remote text */

/* Of a JSON document; absent, null and other types all read as nothing. */
static bool
number(const cJSON *object, const char *key, int64_t *ret)
{
	const cJSON *item = json_member(object, key);

	if (!cJSON_IsNumber(item))
		return false;
	*ret = (int64_t)item->valuedouble;
	return true;
}

static long long
count(const cJSON *object, const char *key)
{
	int64_t v = 0;

	number(object, key, &v);
	return v;
}

static bool
is_true(const cJSON *object, const char *key)
{
	return cJSON_IsTrue(json_member(object, key));
}

static const char *
text(const cJSON *object, const char *key, char *out)
{
	const char *s = json_string(object, key);

	return text_escape(out, CELL, s != NULL ? s : "-", s != NULL ? strlen(s) : 1);
}

/* A time of the credential (epoch seconds) in words. */
static const char *
time_words(const cJSON *cred, const char *key, const char *absent, int64_t wall, char *out)
{
	int64_t at;

	if (!number(cred, key, &at)) {
		snprintf(out, CELL, "%s", absent);
		return out;
	}
	return when_words(at - wall, out);
}

/* --- what an upstream is in a word --- */

static bool
login_required(const cJSON *up)
{
	const char *s = json_string(json_member(up, "credential"), "state");

	return s != NULL && strcmp(s, "login_required") == 0;
}

static bool
login_runs(const cJSON *up)
{
	return is_true(json_member(up, "login"), "running");
}

static bool
breaker_open(const cJSON *cred)
{
	const char *s = json_string(cred, "breaker");

	return s != NULL && strcmp(s, "closed") != 0;
}

static const char *
state_words(const cJSON *up, char *out)
{
	const cJSON *cred = json_member(up, "credential");
	const char *s = json_string(cred, "state");

	if (login_runs(up))
		snprintf(out, CELL, "logging in, %lld s left",
		    count(json_member(up, "login"), "left_s"));
	else if (s == NULL)
		snprintf(out, CELL, "%s", "no login needed");
	else if (login_required(up))
		snprintf(out, CELL, "login required");
	else if (strcmp(s, "logged_in") == 0)
		snprintf(out, CELL, "logged in");
	else if (strcmp(s, "store_fault") == 0)
		snprintf(out, CELL, "store fault");
	else
		text(cred, "state", out);
	return out;
}

static enum ctl_colour
state_colour(const cJSON *up)
{
	const cJSON *cred = json_member(up, "credential");
	const char *s = json_string(cred, "state");

	if (s == NULL)
		return COLOUR_FAINT;
	if (strcmp(s, "logged_in") != 0)
		return login_runs(up) || strcmp(s, "loading") == 0 ? COLOUR_WARN : COLOUR_BAD;
	return json_string(cred, "trouble") != NULL || breaker_open(cred) ||
	    is_true(cred, "unpersisted") ? COLOUR_WARN : COLOUR_GOOD;
}

/* "2 h ago", and how it ended if not well. */
static const char *
refresh_words(const cJSON *cred, int64_t wall, char *out)
{
	const char *result = json_string(cred, "last_result");
	char when[CELL], word[CELL];

	time_words(cred, "refreshed_at", "never", wall, when);
	if (result == NULL || strcmp(result, "ok") == 0)
		snprintf(out, CELL, "%s", when);
	else
		snprintf(out, CELL, "%.*s, then %.*s", NARROW, when, NARROW,
		    text(cred, "last_result", word));
	return out;
}

static const char *
breaker_words(const cJSON *cred, char *out)
{
	if (!breaker_open(cred))
		snprintf(out, CELL, "closed");
	else if (count(cred, "probe_in") > 0)
		snprintf(out, CELL, "open, probe in %lld s", count(cred, "probe_in"));
	else
		snprintf(out, CELL, "open, next request probes");
	return out;
}

/* --- the table --- */

enum column {
	COL_NAME, COL_STATE, COL_EXPIRES, COL_REFRESH, COL_GENERATION, COL_BREAKER, COL_SESSIONS,
	COL_LINKS, COL_STREAMS, COL_ISSUER, COL_SCOPE, COLUMNS
};

static const char *const heads[COLUMNS] = { "NAME", "STATE", "EXPIRES", "LAST REFRESH", "GEN",
    "BREAKER", "SESSIONS", "LINKS", "STREAMS", "ISSUER", "SCOPE" };

/* A column is no place for a long remote text. */
static void
narrow(char *cell)
{
	if (strlen(cell) > NARROW)
		strcpy(cell + NARROW - 3, "...");
}

static void
fill_row(const cJSON *up, int64_t wall, char row[COLUMNS][CELL])
{
	const cJSON *cred = json_member(up, "credential"), *links = json_member(up, "links");
	bool has = cJSON_IsObject(cred);

	for (int i = 0; i < COLUMNS; i++)
		snprintf(row[i], CELL, "-");
	text(up, "name", row[COL_NAME]);
	state_words(up, row[COL_STATE]);
	snprintf(row[COL_SESSIONS], CELL, "%lld", count(up, "sessions"));
	snprintf(row[COL_LINKS], CELL, "%lld", count(links, "open"));
	snprintf(row[COL_STREAMS], CELL, "%lld", count(links, "streams"));
	if (!has)
		return;
	time_words(cred, "expires_at", login_required(up) ? "-" : "unknown", wall,
	    row[COL_EXPIRES]);
	refresh_words(cred, wall, row[COL_REFRESH]);
	snprintf(row[COL_GENERATION], CELL, "%lld", count(cred, "generation"));
	snprintf(row[COL_BREAKER], CELL, "%s", breaker_open(cred) ? "open" : "closed");
	text(cred, "issuer", row[COL_ISSUER]);
	text(cred, "scope", row[COL_SCOPE]);
	narrow(row[COL_ISSUER]);
	narrow(row[COL_SCOPE]);
}

/* The state is coloured with its padding, so that columns stay in line. */
static void
print_row(FILE *out, char row[COLUMNS][CELL], const size_t width[COLUMNS], const char *colour)
{
	for (int i = 0; i < COLUMNS; i++)
		fprintf(out, "%s%-*s%s%s", i == COL_STATE ? colour : "",
		    i + 1 < COLUMNS ? (int)width[i] : 0, row[i],
		    i == COL_STATE && *colour != '\0' ? ctl_colour(out, COLOUR_END) : "",
		    i + 1 < COLUMNS ? "  " : "\n");
}

static void
widen(char row[COLUMNS][CELL], size_t width[COLUMNS])
{
	for (int i = 0; i < COLUMNS; i++)
		width[i] = MAX(width[i], strlen(row[i]));
}

static void
print_table(FILE *out, const cJSON *ups, int64_t wall)
{
	size_t width[COLUMNS] = { 0 };
	char row[COLUMNS][CELL];
	const cJSON *up;

	cJSON_ArrayForEach(up, ups) {
		fill_row(up, wall, row);
		widen(row, width);
	}
	for (int i = 0; i < COLUMNS; i++)
		snprintf(row[i], CELL, "%s", heads[i]);
	widen(row, width);
	print_row(out, row, width, "");
	cJSON_ArrayForEach(up, ups) {
		fill_row(up, wall, row);
		print_row(out, row, width, ctl_colour(out, state_colour(up)));
	}
}

/* --- what needs somebody's attention --- */

/* What to run next, or what else to do; false: nothing. */
static bool
next_words(const cJSON *up, char *out)
{
	const cJSON *cred = json_member(up, "credential"), *login = json_member(up, "login");
	const char *state = json_string(cred, "state"), *auth = json_string(up, "auth");
	const char *grant = json_string(cred, "grant");
	/* Who asks for tokens by itself is helped by no login. */
	bool person = auth != NULL && strcmp(auth, "oauth") == 0 && (grant == NULL ||
	    (strcmp(grant, "client_credentials") != 0 && strcmp(grant, "id_jag") != 0));
	char name[CELL];

	text(up, "name", name);
	if (login_runs(up))
		snprintf(out, CELL, "finish the login; `mcp-authctl login %.48s` shows it", name);
	else if (is_true(cred, "unpersisted"))
		snprintf(out, CELL, "do not stop the daemon: make room or mend the store's folder");
	else if (login_required(up) && person && count(login, "retry_in") > 0)
		snprintf(out, CELL, "mcp-authctl login %.48s (by itself no login begins for %lld "
		    "s)", name,
		    count(login, "retry_in"));
	else if (login_required(up) && person)
		snprintf(out, CELL, "mcp-authctl login %.48s", name);
	else if (state != NULL && (strcmp(state, "logged_in") != 0 || breaker_open(cred) ||
	    json_string(cred, "trouble") != NULL))
		snprintf(out, CELL, "mcp-authctl doctor %.48s", name);
	else
		return false;
	return true;
}

static const char *
trouble_words(const cJSON *up, char *out)
{
	const cJSON *cred = json_member(up, "credential");

	if (json_string(cred, "trouble") != NULL)
		return text(cred, "trouble", out);
	if (is_true(cred, "unpersisted"))
		snprintf(out, CELL, "the new token could not be stored yet");
	else if (login_required(up))
		snprintf(out, CELL, "login required");
	else
		state_words(up, out);
	return out;
}

/* One line each, with what to do. */
static void
print_trouble(FILE *out, const cJSON *up)
{
	char name[CELL], why[CELL], next[CELL];

	if (next_words(up, next))
		fprintf(out, "%s: %s: %s\n", text(up, "name", name), trouble_words(up, why), next);
}

/* --- one upstream --- */

static void
print_line(FILE *out, const char *label, const char *value)
{
	fprintf(out, "%-14s%s\n", label, value);
}

static void
print_text(FILE *out, const char *label, const cJSON *object, const char *key)
{
	char v[CELL];

	if (json_string(object, key) != NULL)
		print_line(out, label, text(object, key, v));
}

static void
print_credential(FILE *out, const cJSON *cred, int64_t wall)
{
	char v[CELL];

	if (!cJSON_IsObject(cred))
		return;
	print_line(out, "expires", time_words(cred, "expires_at", "unknown", wall, v));
	print_line(out, "renewable", is_true(cred, "renewable") ? "yes" : "no");
	snprintf(v, sizeof(v), "%lld%s", count(cred, "generation"),
	    is_true(cred, "proven") ? "" : " (not proven yet)");
	print_line(out, "generation", v);
	print_line(out, "last refresh", refresh_words(cred, wall, v));
	if (count(cred, "retry_in") > 0) {
		snprintf(v, sizeof(v), "in %lld s", count(cred, "retry_in"));
		print_line(out, "next try", v);
	}
	snprintf(v, sizeof(v), "%lld, %lld of them refreshes; %lld adopted",
	    count(cred, "token_requests"), count(cred, "refreshes"), count(cred, "adoptions"));
	print_line(out, "requests", v);
	print_text(out, "grant", cred, "grant");
	print_text(out, "client", cred, "client");
	print_line(out, "issuer", text(cred, "issuer", v));
	print_line(out, "scope", text(cred, "scope", v));
	print_text(out, "scope needed", cred, "needed_scope");
	print_line(out, "breaker", breaker_words(cred, v));
	print_text(out, "trouble", cred, "trouble");
	print_text(out, "last error", cred, "last_error");
}

static void
print_login(FILE *out, const cJSON *up)
{
	const cJSON *login = json_member(up, "login");
	char v[CELL], step[CELL], by[CELL];

	if (login_runs(up)) {
		snprintf(v, sizeof(v), "%.*s, begun by a %.*s, %lld watch it, %lld s left", NARROW,
		    text(login, "step", step), NARROW, text(login, "by", by),
		    count(login, "watchers"), count(login, "left_s"));
		print_line(out, "login", v);
	}
	print_text(out, "last login", login, "last_failure");
}

/* What another backend holds of this entry, too (contract I5). */
static void
print_drift(FILE *out, const cJSON *doc, const char *entry)
{
	const cJSON *stray, *drift = json_member(json_member(doc, "store"), "drift");
	const char *name;
	char v[CELL];

	cJSON_ArrayForEach(stray, drift) {
		name = json_string(stray, "entry");
		if (name != NULL && strcmp(name, entry) == 0)
			print_line(out, "drift", text(stray, "message", v));
	}
}

static void
print_store(FILE *out, const cJSON *up, const cJSON *doc)
{
	const cJSON *store = json_member(up, "store");
	const char *entry = json_string(store, "entry"), *suffix = "";
	char backend[CELL], path[CELL], shown[CELL];

	if (entry == NULL)
		return;
	text(store, "backend", backend);
	text(json_member(doc, "store"), "path", path);
	if (strcmp(backend, "file") == 0)
		suffix = ".json";
	else if (strcmp(backend, "encrypted") == 0)
		suffix = ".sealed";
	fprintf(out, "%-14s%s, %s%s%s%s\n", "store", backend, *suffix != '\0' ? path : "",
	    *suffix != '\0' ? "/" : "", text(store, "entry", shown), suffix);
	print_drift(out, doc, entry);
}

static void
print_one(FILE *out, const cJSON *doc, const cJSON *up, int64_t wall)
{
	const cJSON *links = json_member(up, "links");
	char v[CELL];

	print_line(out, "name", text(up, "name", v));
	print_line(out, "url", text(up, "url", v));
	print_line(out, "auth", text(up, "auth", v));
	print_text(out, "socket", up, "socket");
	fprintf(out, "%-14s%s%s%s\n", "state", ctl_colour(out, state_colour(up)),
	    state_words(up, v), ctl_colour(out, COLOUR_END));
	print_credential(out, json_member(up, "credential"), wall);
	print_login(out, up);
	print_store(out, up, doc);
	snprintf(v, sizeof(v), "%lld, %lld under way", count(up, "exchanges"), count(up, "active"));
	print_line(out, "exchanges", v);
	snprintf(v, sizeof(v), "%lld", count(up, "sessions"));
	print_line(out, "sessions", v);
	snprintf(v, sizeof(v), "%lld open, %lld idle, %lld waiting, %lld streams",
	    count(links, "open"), count(links, "idle"), count(links, "queued"),
	    count(links, "streams"));
	print_line(out, "links", v);
	print_line(out, "next", next_words(up, v) ? v : "nothing to do");
}

static void
print_daemon(FILE *out, const cJSON *doc)
{
	const cJSON *store = json_member(doc, "store"), *stray;
	char version[CELL], backend[CELL], path[CELL], how[CELL], up[WHEN_BYTES];

	fprintf(out, "mcp-authd %s, pid %lld, started %s, %lld clients%s\n",
	    text(doc, "version", version), count(doc, "pid"),
	    when_words(-count(doc, "uptime_s"), up), count(doc, "clients"),
	    is_true(doc, "draining") ? ", stopping" : "");
	fprintf(out, "store: %s (%s), %s\n", text(store, "backend", backend),
	    text(store, "resolved", how), text(store, "path", path));
	cJSON_ArrayForEach(stray, json_member(store, "drift"))
		fprintf(out, "store: %s %s\n", text(stray, "entry", version),
		    text(stray, "message", how));
}

enum ctl_exit
ctl_status_print(FILE *out, const char *json, size_t n, const char *name, int64_t wall)
{
	enum ctl_exit rc = CTL_OK;
	const cJSON *ups, *up;
	cJSON *doc;

	doc = json_parse(json, n, NULL);
	ups = json_member(doc, "upstreams");
	if (!cJSON_IsArray(ups)) {
		cJSON_Delete(doc);
		return CTL_FAILED;
	}
	if (name == NULL && out != NULL) {
		print_daemon(out, doc);
		print_table(out, ups, wall);
	}
	cJSON_ArrayForEach(up, ups) {
		if (name != NULL && out != NULL)
			print_one(out, doc, up, wall);
		else if (out != NULL)
			print_trouble(out, up);
		if (name != NULL && login_required(up))
			rc = CTL_LOGIN;
	}
	cJSON_Delete(doc);
	return rc;
}
