/*
 * The demo: a real daemon in front of the wall, the main job as a transcript,
 * the counts at the end; exits 1 if one is wrong.
 *   demo		the story (make demo)
 *   demo --keep	leaves the same set-up running and says what to try
 *			(make run); --stay is the same
 */
#include <getopt.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support.h"

#define CALLS	8
#define PATIENCE 10000

struct demo {
	struct world	*w;
	struct authd	*a;
	struct ask	 ask;
	char		*session;
	struct client	*stream;
	char		 last_event[32];
	int		 asked, answered, wrong;
	int64_t		 started;
};

static void
say(const char *fmt, ...) _printf_(1, 2);

static void
say(const char *fmt, ...)
{
	va_list	ap;

	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	putchar('\n');
	fflush(stdout);
}

/* One line of the transcript, and whether it is what should have come. */
static void
line(struct demo *d, bool right, const char *what, const char *fmt, ...) _printf_(4, 5);

static void
line(struct demo *d, bool right, const char *what, const char *fmt, ...)
{
	char	text[512];
	va_list	ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	say("   %-44s %s%s", what, text, right ? "" : "   <-- WRONG");
	d->wrong += !right;
}

static bool
answered(struct demo *d, int rc)
{
	d->asked++;
	d->answered += rc == 0;
	return rc == 0;
}

/* The text that a tool answered; static buffer. */
static const char *
tool_text(const struct reply *r)
{
	static char	 text[128];
	cJSON		*j = reply_json(r);
	const cJSON	*at = cJSON_GetObjectItem(cJSON_GetObjectItem(j, "result"), "content");
	const char	*s = cJSON_GetStringValue(
	    cJSON_GetObjectItem(cJSON_GetArrayItem(at, 0), "text"));

	snprintf(text, sizeof(text), "%s", s != NULL ? s : "");
	cJSON_Delete(j);
	return text;
}

static int
occurrences(const char *text, const char *word)
{
	int	n = 0;

	for (; text != NULL && (text = strstr(text, word)) != NULL; text++)
		n++;
	return n;
}

static void
set_up(struct demo *d)
{
	d->started = now_ms();
	d->w = world_new(0);
	world_upstream(d->w, "demo", NULL);
	d->a = authd_start(d->w, &(struct authd_options){ .log_level = "info" });
	world_login(d->w, d->a, "demo", NULL);
	d->ask = (struct ask){ .socket = authd_socket(d->a, "demo") };
	say("mcp-authd demo\n");
	say("   upstream   %s/mcp", d->w->origin);
	say("              an MCP server behind an OAuth wall: single-use refresh tokens, and");
	say("              the whole family is revoked if one is ever sent twice");
	say("   daemon     pid %d, tokens imported over its control socket", (int)d->a->pid);
	say("   client     speaks HTTP to %s", d->ask.socket);
	say("              and never sees a token");
}

/* The next event of the stream that has data; its text is checked for `want`. */
static void
expect_event(struct demo *d, const char *what, const char *want)
{
	struct buf	 event = BUF_INIT(0);
	const char	*id;
	int		 rc;

	do {
		rc = client_event(d->stream, &event, PATIENCE);
		if (rc == 1 && (id = strstr(event.p, "id: ")) != NULL)
			snprintf(d->last_event, sizeof(d->last_event), "%.*s",
			    (int)strcspn(id + 4, "\r\n"), id + 4);
	} while (rc == 1 && strstr(event.p, "data: {") == NULL);
	line(d, rc == 1 && strstr(event.p, want) != NULL, what, "event %s: %s",
	    d->last_event, rc == 1 && strstr(event.p, want) != NULL ? want : "missing");
	buf_free(&event);
}

static void
one_session(struct demo *d)
{
	struct reply	r = { 0 };
	int		rc;

	say("\n1. A session, a tool call, a stream\n");
	d->session = session_open(&d->ask);
	d->ask.session = d->session;
	d->asked += 2;
	d->answered += 2;
	line(d, true, "POST initialize, notifications/initialized", "200, 202: a session");
	d->ask.key = "echo";
	rc = tool(&d->ask, 1, "echo", "{\"text\":\"hello\"}", &r, PATIENCE);
	line(d, answered(d, rc) && strcmp(tool_text(&r), "hello") == 0,
	    "POST tools/call echo", "%d \"%s\"", r.status, tool_text(&r));
	d->ask.key = "progress";
	rc = tool(&d->ask, 2, "sse", "{\"n\":3,\"delay_ms\":50}", &r, PATIENCE);
	line(d, answered(d, rc) && occurrences(r.body.p, "notifications/progress") == 3,
	    "POST tools/call sse", "%d, %d progress notifications, then the result", r.status,
	    occurrences(r.body.p, "notifications/progress"));
	reply_free(&r);
	d->ask.key = "stream";
	d->stream = stream_open(&d->ask, NULL);
	d->asked++;
	d->answered++;
	wall_do(d->w, "emit", "{\"text\":\"good morning\"}");
	expect_event(d, "GET stream, the server says something", "good morning");
}

/*
 * All eight are at the wall before the first 401 leaves it.  The tokens that
 * follow live 2 s, for the next scene.
 */
static void
early_401(struct demo *d)
{
	struct shot	shots[CALLS] = { 0 };
	struct ask	ask = d->ask;
	char		key[32];
	struct buf	body = BUF_INIT(0);
	size_t		good;
	int		i;

	say("\n2. Eight concurrent tool calls meet an early 401\n");
	wall_do(d->w, "set", "{\"lifetime\":2}");
	wall_do(d->w, "expire", NULL);
	line(d, true, "the server rejects the token", "an hour before its time");
	wall_fault(d->w, "{\"mcp\":{\"gather\":8},\"times\":8,\"match\":{\"auth\":\"bad\"}}");
	for (i = 0; i < CALLS; i++) {
		snprintf(key, sizeof(key), "call %d", i + 1);
		ask.key = key;
		buf_reset(&body);
		tool_json(&body, 10 + i, "count", NULL);
		shots[i] = (struct shot){ .socket = ask.socket, .method = "POST" };
		request_post(&shots[i].request, &ask, body.p);
	}
	good = volley(shots, CALLS, PATIENCE);
	d->asked += CALLS;
	d->answered += (int)good;
	line(d, good == CALLS && shots_status(shots, CALLS, 200) == CALLS,
	    "8 x POST tools/call count", "%zu answered, %zu with 200", good,
	    shots_status(shots, CALLS, 200));
	line(d, wall_count(d->w, "token.requests") == 1, "what the server saw",
	    "%lld rejected, then %lld token request, %lld executions",
	    (long long)wall_count(d->w, "auth.expired"),
	    (long long)wall_count(d->w, "token.requests"),
	    (long long)wall_count(d->w, "executed") - 2);
	shots_free(shots, CALLS);
	buf_free(&body);
}

static void
dropped_stream(struct demo *d)
{
	struct buf	event = BUF_INIT(0);
	int		rc;

	say("\n3. A dropped stream reconnects with an expired token\n");
	wall_do(d->w, "drop", NULL);
	while ((rc = client_event(d->stream, &event, PATIENCE)) == 1)
		;
	line(d, rc == -ECONNRESET, "the server drops the connection", "the stream %s",
	    rc == -ECONNRESET ? "breaks off" : "does not break off");
	client_close(d->stream);
	wall_do(d->w, "emit", "{\"text\":\"said meanwhile\"}");
	wall_do(d->w, "set", "{\"lifetime\":3600}");
	pause_ms(2200);		/* not for a state: the token lives 2 s */
	line(d, true, "2 s pass", "the access token expires");
	d->ask.key = "reconnect";
	d->stream = stream_open(&d->ask, d->last_event);
	d->asked++;
	d->answered++;
	line(d, wall_count(d->w, "token.requests") == 2, "GET stream with Last-Event-ID",
	    "200 with a new token, no 401");
	expect_event(d, "nothing was lost", "said meanwhile");
	buf_free(&event);
}

static void
response_and_delete(struct demo *d)
{
	struct reply	 r = { 0 };
	struct buf	 b = BUF_INIT(0);
	cJSON		*j;
	const char	*id;
	int		 rc;

	say("\n4. A response POST and a DELETE meet a 401\n");
	j = wall_post(d->w, "ask", NULL);
	id = cJSON_GetStringValue(cJSON_GetObjectItem(j, "id"));
	expect_event(d, "the server asks over the stream", "sampling/createMessage");
	wall_do(d->w, "expire", NULL);
	d->ask.key = "response";
	buf_addf(&b, "{\"jsonrpc\":\"2.0\",\"id\":\"%s\",\"result\":{\"role\":\"assistant\","
	    "\"content\":{\"type\":\"text\",\"text\":\"yes\"},\"model\":\"none\"}}", id);
	rc = rpc(&d->ask, b.p, &r, PATIENCE);
	line(d, answered(d, rc) && r.status == 202, "POST response, token rejected", "%d",
	    r.status);
	wall_do(d->w, "expire", NULL);
	d->ask.key = "delete";
	buf_reset(&b);
	request_delete(&b, &d->ask);
	rc = roundtrip(d->ask.socket, "DELETE", b.p, b.len, &r, PATIENCE);
	line(d, answered(d, rc) && r.status == 204, "DELETE session, token rejected", "%d",
	    r.status);
	client_close(d->stream);
	d->stream = NULL;
	cJSON_Delete(j);
	buf_free(&b);
	reply_free(&r);
}

static void
check(struct demo *d, const char *what, int64_t is, int64_t should)
{
	say("   %-44s %4lld   %s", what, (long long)is, is == should ? "ok" : "WRONG");
	d->wrong += is != should;
}

/* Tokens that stand in the daemon's log: there must be none. */
static int
leaked(struct demo *d)
{
	char	*secrets = file_read(d->w->secrets, NULL), *log = authd_log(d->a), *t, *save;
	int	 n = 0;

	for (t = strtok_r(secrets, "\n", &save); t != NULL; t = strtok_r(NULL, "\n", &save))
		n += strstr(log, t) != NULL;
	free(secrets);
	free(log);
	return n;
}

static void
check_sends(struct demo *d, const char *name, int64_t should)
{
	char	what[64], path[64];

	snprintf(what, sizeof(what), "sends of \"%s\"", name);
	snprintf(path, sizeof(path), "sends.%s", name);
	check(d, what, wall_count(d->w, path), should);
}

static void
counts(struct demo *d)
{
	char	name[32];
	int	i;

	say("\nWhat the server counted\n");
	check(d, "refreshes (token requests)", wall_count(d->w, "token.requests"), 4);
	check(d, "replays of a spent refresh token", wall_count(d->w, "token.replays"), 0);
	check(d, "revoked families", wall_count(d->w, "token.revoked_families"), 0);
	check(d, "requests answered 401", wall_count(d->w, "status.401"), CALLS + 2);
	check_sends(d, "echo", 1);
	check_sends(d, "progress", 1);
	check_sends(d, "stream", 1);
	for (i = 0; i < CALLS; i++) {
		snprintf(name, sizeof(name), "call %d", i + 1);
		check_sends(d, name, 2);
		snprintf(name, sizeof(name), "executions.call %d", i + 1);
		d->wrong += wall_count(d->w, name) != 1;
	}
	check_sends(d, "reconnect", 1);
	check_sends(d, "response", 2);
	check_sends(d, "delete", 2);
	check(d, "most executions of one tool call", wall_count(d->w, "max_executions"), 1);
	check(d, "sessions deleted", wall_count(d->w, "sessions.deleted"), 1);
	check(d, "header violations", wall_violations(d->w), 0);
	say("\nWhat the client counted\n");
	check(d, "requests", d->asked, CALLS + 8);
	check(d, "unanswered", d->asked - d->answered, 0);
	check(d, "tokens in the daemon's log", leaked(d), 0);
	check(d, "exit status of the daemon after SIGTERM", authd_stop(d->a), 0);
}

static int
story(struct demo *d)
{
	one_session(d);
	early_401(d);
	dropped_stream(d);
	response_and_delete(d);
	counts(d);
	say("\n%s (%lld.%lld s)",
	    d->wrong == 0 ? "All as it should be" : "SOMETHING IS WRONG",
	    (long long)(now_ms() - d->started) / 1000,
	    (long long)(now_ms() - d->started) % 1000 / 100);
	if (d->wrong != 0)
		say("KEEP_WORLD=1 build/demo names a directory; the daemon's log is run.log in it");
	return d->wrong != 0;
}

static void
invitation(struct demo *d)
{
	const char	*build = getenv("BUILD");
	int		 dir = (int)(strlen(d->a->runtime) - strlen("/mcp-authd"));

	say("\nThis set-up runs until Ctrl-C.  Access tokens live 20 s.  In another terminal:\n");
	say("   S=%s", d->ask.socket);
	say("   H='Accept: application/json, text/event-stream'");
	say("   J='Content-Type: application/json'\n");
	say(" A tool call (repeat it: the token is renewed when it is due)");
	say("   curl -s --unix-socket $S -H \"$H\" -H \"$J\" http://localhost/mcp -d \\");
	say("     '{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\",\"params\":"
	    "{\"name\":\"echo\",\"arguments\":{\"text\":\"hi\"}}}'");
	say(" A session, and its stream");
	say("   ID=$(curl -si --unix-socket $S -H \"$H\" -H \"$J\" http://localhost/mcp -d \\");
	say("     '{\"jsonrpc\":\"2.0\",\"id\":0,\"method\":\"initialize\",\"params\":"
	    "{\"protocolVersion\":\"2025-11-25\",\"capabilities\":{},\"clientInfo\":"
	    "{\"name\":\"me\",\"version\":\"1\"}}}' | tr -d '\\r' | "
	    "sed -n 's/^mcp-session-id: //Ip')");
	say("   curl -sN --unix-socket $S -H \"Mcp-Session-Id: $ID\" "
	    "-H 'Accept: text/event-stream' http://localhost/mcp");
	say(" Make the server speak, reject every token, drop streams; what it counted");
	say("   curl -s %s/_wall/emit -d '{\"text\":\"hello\"}'", d->w->origin);
	say("   curl -s -X POST %s/_wall/expire", d->w->origin);
	say("   curl -s -X POST %s/_wall/drop", d->w->origin);
	say("   curl -s %s/_wall/counts", d->w->origin);
	say(" Ask the daemon");
	say("   XDG_RUNTIME_DIR=%.*s %s/mcp-authctl status", dir, d->a->runtime,
	    build != NULL ? build : "build");
	say("   curl -s --unix-socket %s http://localhost/v1/status", d->a->control);
	say("   tail -f %s\n", d->a->log);
}

/* Until Ctrl-C, or until the daemon or the wall ends by itself. */
static int
stay(struct demo *d, const sigset_t *set)
{
	const struct timespec	second = { .tv_sec = 1 };
	int			sig, rc = 0;

	wall_do(d->w, "set", "{\"lifetime\":20}");
	world_login(d->w, d->a, "demo", NULL);
	invitation(d);
	do {
		sig = sigtimedwait(set, NULL, &second);
		if (waitpid(-1, NULL, WNOHANG) > 0) {
			say("the daemon or the wall has ended by itself");
			rc = 1;
		}
	} while (sig < 0 && rc == 0);
	say("\nEnding.");
	authd_stop(d->a);
	return rc;
}

static bool
wants_stay(int argc, char **argv)
{
	static const struct option longs[] = {
		{ "keep", no_argument, NULL, 'k' },
		{ "stay", no_argument, NULL, 'k' },
		{ 0 }
	};
	bool	keep = false;
	int	ch;

	while ((ch = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		if (ch != 'k') {
			fputs("usage: demo [--keep]\n", stderr);
			exit(2);
		}
		keep = true;
	}
	return keep;
}

int
main(int argc, char **argv)
{
	struct demo	d = { 0 };
	bool		keep = wants_stay(argc, argv);
	sigset_t	set;
	int		rc;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	if (keep)
		sigprocmask(SIG_BLOCK, &set, NULL);
	set_up(&d);
	rc = keep ? stay(&d, &set) : story(&d);
	free(d.session);
	world_free(d.w);
	return rc;
}
