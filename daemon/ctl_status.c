#include "bounds.h"
#include "ctl_status.h"
#include "json.h"

#define CELL	96		/* of the table; longer text is cut */

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

static int64_t
count(const cJSON *object, const char *key)
{
	int64_t v = 0;

	number(object, key, &v);
	return v;
}

static const char *
text(const cJSON *object, const char *key, char *out)
{
	const char *s = json_string(object, key);

	return text_escape(out, CELL, s != NULL ? s : "-", s != NULL ? strlen(s) : 1);
}

const char *
ctl_when(int64_t seconds, char *out, size_t size)
{
	static const struct { int64_t from, unit; const char *word; } units[] = {
		{ 48 * 3600, 24 * 3600, "days" }, { 2 * 3600, 3600, "h" },
		{ 120, 60, "min" }, { 1, 1, "s" },
	};
	int64_t n = seconds < 0 ? -seconds : seconds;
	size_t i;

	snprintf(out, size, "now");
	for (i = 0; i < nitems(units); i++) {
		if (n < units[i].from)
			continue;
		snprintf(out, size, seconds < 0 ? "%lld %s ago" : "in %lld %s",
		    (long long)(n / units[i].unit), units[i].word);
		break;
	}
	return out;
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
	return ctl_when(at - wall, out, CELL);
}

static const char *
state_words(const cJSON *up, char *out)
{
	const cJSON *cred = json_member(up, "credential");
	const char *s = json_string(cred, "state");

	if (s == NULL)
		snprintf(out, CELL, "%s", "no login needed");
	else if (strcmp(s, "login_required") == 0)
		snprintf(out, CELL, "login required");
	else if (strcmp(s, "logged_in") == 0)
		snprintf(out, CELL, "logged in");
	else if (strcmp(s, "store_fault") == 0)
		snprintf(out, CELL, "store fault");
	else
		text(cred, "state", out);
	return out;
}

static bool
login_required(const cJSON *up)
{
	const char *s = json_string(json_member(up, "credential"), "state");

	return s != NULL && strcmp(s, "login_required") == 0;
}

/* The table */

#define COLUMNS	5

static void
fill_row(const cJSON *up, int64_t wall, char row[COLUMNS][CELL])
{
	const cJSON *cred = json_member(up, "credential");
	bool has = cJSON_IsObject(cred);

	text(up, "name", row[0]);
	state_words(up, row[1]);
	time_words(cred, "expires_at", has && !login_required(up) ? "unknown" : "-", wall, row[2]);
	if (has)
		snprintf(row[3], CELL, "%lld", (long long)count(cred, "generation"));
	else
		snprintf(row[3], CELL, "-");
	time_words(cred, "refreshed_at", has ? "never" : "-", wall, row[4]);
}

static void
print_row(FILE *out, char row[COLUMNS][CELL], const size_t width[COLUMNS])
{
	size_t i;

	for (i = 0; i < COLUMNS; i++)
		fprintf(out, "%-*s%s", i + 1 < COLUMNS ? (int)width[i] : 0, row[i],
		    i + 1 < COLUMNS ? "  " : "\n");
}

static void
widen(char row[COLUMNS][CELL], size_t width[COLUMNS])
{
	size_t i;

	for (i = 0; i < COLUMNS; i++)
		width[i] = MAX(width[i], strlen(row[i]));
}

static void
print_table(FILE *out, const cJSON *ups, int64_t wall)
{
	char head[COLUMNS][CELL] = { "NAME", "STATE", "EXPIRES", "GENERATION", "LAST REFRESH" };
	size_t width[COLUMNS] = { 0 };
	char row[COLUMNS][CELL];
	const cJSON *up;

	widen(head, width);
	cJSON_ArrayForEach(up, ups) {
		fill_row(up, wall, row);
		widen(row, width);
	}
	print_row(out, head, width);
	cJSON_ArrayForEach(up, ups) {
		fill_row(up, wall, row);
		print_row(out, row, width);
	}
}

/* What needs somebody's attention, one line each, with what to do. */
static void
print_troubles(FILE *out, const cJSON *up)
{
	const cJSON *cred = json_member(up, "credential");
	char name[CELL], why[4 * CELL];
	const char *trouble = json_string(cred, "trouble");

	text(up, "name", name);
	if (login_required(up))
		fprintf(out, "%s: login required: mcp-authctl token import %s < token.json\n",
		    name, name);
	if (cJSON_IsTrue(json_member(cred, "unpersisted")))
		fprintf(out, "%s: the new token could not be stored yet; do not stop the daemon: "
		    "make room or mend the store's folder\n", name);
	if (trouble != NULL)
		fprintf(out, "%s: %s\n", name,
		    text_escape(why, sizeof(why), trouble, strlen(trouble)));
}

/* One upstream */

static void
print_line(FILE *out, const char *label, const char *value)
{
	fprintf(out, "%-14s%s\n", label, value);
}

static void
print_credential(FILE *out, const cJSON *cred, int64_t wall)
{
	char v[CELL];

	if (!cJSON_IsObject(cred))
		return;
	print_line(out, "expires", time_words(cred, "expires_at", "unknown", wall, v));
	print_line(out, "renewable", cJSON_IsTrue(json_member(cred, "renewable")) ? "yes" : "no");
	snprintf(v, sizeof(v), "%lld%s", (long long)count(cred, "generation"),
	    cJSON_IsTrue(json_member(cred, "proven")) ? "" : " (not proven yet)");
	print_line(out, "generation", v);
	print_line(out, "last refresh", time_words(cred, "refreshed_at", "never", wall, v));
	print_line(out, "last result", text(cred, "last_result", v));
	print_line(out, "issuer", text(cred, "issuer", v));
	print_line(out, "scope", text(cred, "scope", v));
	print_line(out, "breaker", text(cred, "breaker", v));
}

static void
print_one(FILE *out, const cJSON *up, int64_t wall)
{
	const cJSON *links = json_member(up, "links");
	char v[CELL];

	print_line(out, "name", text(up, "name", v));
	print_line(out, "url", text(up, "url", v));
	print_line(out, "state", state_words(up, v));
	print_credential(out, json_member(up, "credential"), wall);
	snprintf(v, sizeof(v), "%lld, %lld under way", (long long)count(up, "exchanges"),
	    (long long)count(up, "active"));
	print_line(out, "exchanges", v);
	snprintf(v, sizeof(v), "%lld open, %lld idle, %lld waiting, %lld streams",
	    (long long)count(links, "open"), (long long)count(links, "idle"),
	    (long long)count(links, "queued"), (long long)count(links, "streams"));
	print_line(out, "links", v);
}

static void
print_daemon(FILE *out, const cJSON *doc)
{
	const cJSON *store = json_member(doc, "store");
	char version[CELL], backend[CELL], path[CELL], up[CELL];

	fprintf(out, "mcp-authd %s, pid %lld, started %s, %lld clients%s\n",
	    text(doc, "version", version), (long long)count(doc, "pid"),
	    ctl_when(-count(doc, "uptime_s"), up, sizeof(up)), (long long)count(doc, "clients"),
	    cJSON_IsTrue(json_member(doc, "draining")) ? ", stopping" : "");
	fprintf(out, "store: %s, %s\n", text(store, "backend", backend), text(store, "path", path));
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
			print_one(out, up, wall);
		if (out != NULL)
			print_troubles(out, up);
		if (name != NULL && login_required(up))
			rc = CTL_LOGIN;
	}
	cJSON_Delete(doc);
	return rc;
}
