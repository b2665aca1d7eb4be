/* `mcp-authctl login` and `logout`: the daemon does it, this shows it to a person. */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <unistd.h>

#include "bounds.h"
#include "ctl.h"
#include "json.h"
#include "url.h"

#define SILENCE		60000	/* ms: the daemon says something every 15 s */
#define PASTE_BYTES	(4 * URL_BYTES)

extern char **environ;

/* One login as it is watched. */
struct watch {
	const struct ctl *ctl;
	const char	*name;
	struct ctl_stream *stream;
	struct buf	 pasted;	/* what was read of a line from stdin; secret */
	bool		 reads;		/* stdin is listened to */
	bool		 over;		/* done or failed was said */
	enum ctl_exit	 rc;
};

/* --- words for people; all text of the daemon's answer may be remote --- */

/* Escaped; free() it.  NULL if absent. */
static char *
shown(const cJSON *doc, const char *key)
{
	const char *text = json_string(doc, key);
	size_t size = text != NULL ? 4 * strlen(text) + 1 : 0;
	char *out = text != NULL ? malloc(size) : NULL;

	if (out != NULL)
		text_escape(out, size, text, strlen(text));
	return out;
}

static void
say(const struct watch *w, const char *words)
{
	fprintf(stderr, "%s: %s\n", w->name, words != NULL ? words : "?");
}

/* --- the browser --- */

/* Only what a browser on this machine should be sent to; never through a shell. */
static bool
may_be_opened(const char *text)
{
	struct url url;
	bool ok;

	if (url_parse(text, strlen(text), &url) < 0)
		return false;
	ok = url.https || url_is_loopback(&url);
	url_free(&url);
	return ok;
}

/* The first word of $BROWSER, else xdg-open. */
static void
browser_name(char *out, size_t size)
{
	const char *configured = getenv("BROWSER");
	size_t n = configured != NULL ? strcspn(configured, " \t:") : 0;

	if (n > 0 && n < size)
		snprintf(out, size, "%.*s", (int)n, configured);
	else
		snprintf(out, size, "xdg-open");
}

static bool
has_display(void)
{
	const char *x = getenv("DISPLAY"), *wayland = getenv("WAYLAND_DISPLAY");

	return (x != NULL && x[0] != '\0') || (wayland != NULL && wayland[0] != '\0');
}

static int
spawn_browser(char *program, char *url)
{
	char *argv[] = { program, url, NULL };
	posix_spawn_file_actions_t fa;
	posix_spawnattr_t attr;
	sigset_t all, none;
	pid_t pid;
	int e;

	sigfillset(&all);
	sigemptyset(&none);
	posix_spawn_file_actions_init(&fa);
	posix_spawnattr_init(&attr);
	posix_spawn_file_actions_addopen(&fa, 0, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_addopen(&fa, 1, "/dev/null", O_WRONLY, 0);
	posix_spawn_file_actions_addopen(&fa, 2, "/dev/null", O_WRONLY, 0);
	posix_spawn_file_actions_addclosefrom_np(&fa, 3);
	/* A group of its own: Ctrl-C here is not meant for the browser. */
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGDEF |
	    POSIX_SPAWN_SETSIGMASK);
	posix_spawnattr_setsigdefault(&attr, &all);
	posix_spawnattr_setsigmask(&attr, &none);
	e = posix_spawnp(&pid, program, &fa, &attr, argv, environ);
	posix_spawnattr_destroy(&attr);
	posix_spawn_file_actions_destroy(&fa);
	return e;
}

static void
open_browser(const struct watch *w, const char *url)
{
	char program[256], *copy;
	int e;

	if (w->ctl->no_browser || !has_display())
		return;
	if (!may_be_opened(url)) {
		say(w, "the address is not opened: it is neither https nor on this machine");
		return;
	}
	browser_name(program, sizeof(program));
	copy = strdup(url);
	e = copy != NULL ? spawn_browser(program, copy) : ENOMEM;
	free(copy);
	if (e != 0)
		fprintf(stderr, "%s: no browser was opened (%s: %s): open the address yourself\n",
		    w->name, program, strerror(e));
}

/* --- events --- */

static void
on_url(struct watch *w, const cJSON *doc)
{
	const char *url = json_string(doc, "url");
	char *text = shown(doc, "url");

	if (url == NULL || text == NULL)
		return;
	say(w, "log in with a browser at this address:");
	fflush(stderr);
	printf("%s\n", text);
	fflush(stdout);
	if (w->reads)
		say(w, "if the browser cannot come back here, paste the address that it ended at:");
	open_browser(w, url);
	free(text);
}

static void
on_device(struct watch *w, const cJSON *doc)
{
	char *code = shown(doc, "user_code"), *uri = shown(doc, "verification_uri");
	char *complete = shown(doc, "verification_uri_complete");

	if (code != NULL && uri != NULL) {
		say(w, "on any device open the address and enter the code:");
		fflush(stderr);
		printf("%s\n%s\n", uri, code);
		if (complete != NULL)
			printf("%s\n", complete);
		fflush(stdout);
	}
	free(code);
	free(uri);
	free(complete);
}

static void
on_done(struct watch *w, const cJSON *doc)
{
	char *words = shown(doc, "message"), *scope = shown(doc, "scope");
	char *issuer = shown(doc, "issuer");

	say(w, words);
	if (issuer != NULL)
		fprintf(stderr, "%s: by %s\n", w->name, issuer);
	if (scope != NULL)
		fprintf(stderr, "%s: scope: %s\n", w->name, scope);
	free(words);
	free(scope);
	free(issuer);
	w->over = true;
	w->rc = CTL_OK;
}

static void
on_failed(struct watch *w, const cJSON *doc)
{
	char *words = shown(doc, "message"), *hint = shown(doc, "hint");

	fprintf(stderr, "%s: the login failed: %s\n", w->name, words != NULL ? words : "?");
	if (hint != NULL)
		say(w, hint);
	free(words);
	free(hint);
	w->over = true;
}

static void
on_line(void *arg, const char *line, size_t n)
{
	struct watch *w = arg;
	const char *event;
	char *words;
	cJSON *doc;

	if (ctl_stream_status(w->stream) != 200) {
		w->rc = ctl_refused(ctl_stream_status(w->stream), (struct slice){ line, n });
		w->over = true;
		return;
	}
	doc = json_parse(line, n, NULL);
	event = json_string(doc, "event");
	if (event == NULL) {
		say(w, "the daemon says something that is not understood; are both of one version?");
	} else if (strcmp(event, "url") == 0) {
		on_url(w, doc);
	} else if (strcmp(event, "device") == 0) {
		on_device(w, doc);
	} else if (strcmp(event, "done") == 0) {
		on_done(w, doc);
	} else if (strcmp(event, "failed") == 0) {
		on_failed(w, doc);
	} else {
		words = shown(doc, "message");
		say(w, words);
		free(words);
	}
	cJSON_Delete(doc);
}

/* --- pasted --- */

static void
send_pasted(struct watch *w, const char *text, size_t n)
{
	struct buf body = BUF_SECRET(8 * PASTE_BYTES);
	struct ctl_reply r;
	char target[96];

	while (n > 0 && strchr(" \t\r", text[n - 1]) != NULL)
		n--;
	if (n == 0)
		return;
	snprintf(target, sizeof(target), "/v1/login/%s/redirect", w->name);
	if (buf_adds(&body, "{\"redirect\":") == 0 && buf_addjson(&body, text, n) == 0 &&
	    buf_adds(&body, "}") == 0 && ctl_ask(w->ctl, "POST", target,
	    (struct slice){ body.p, body.len }, &r) == CTL_OK) {
		if (r.status != 200)
			ctl_refused(r.status, (struct slice){ r.body.p, r.body.len });
		buf_free(&r.body);
	}
	buf_free(&body);
}

static void
read_pasted(struct watch *w)
{
	char chunk[4096], *end;
	ssize_t n = read(STDIN_FILENO, chunk, sizeof(chunk));

	if (n <= 0) {
		if (n == -1 && (errno == EINTR || errno == EAGAIN))
			return;
		send_pasted(w, w->pasted.len > 0 ? w->pasted.p : "", w->pasted.len);
		w->reads = false;
	} else if (buf_add(&w->pasted, chunk, n) < 0) {
		say(w, "what was pasted is too long for an address");
		buf_reset(&w->pasted);
	}
	explicit_bzero(chunk, sizeof(chunk));
	while (w->pasted.len > 0 && (end = memchr(w->pasted.p, '\n', w->pasted.len)) != NULL) {
		send_pasted(w, w->pasted.p, end - w->pasted.p);
		buf_consume(&w->pasted, end + 1 - w->pasted.p);
	}
}

/* --- the loop --- */

static volatile sig_atomic_t stopped;

static void
on_signal(_unused_ int sig)
{
	stopped = 1;
}

/* They are let in while poll waits, and never lost. */
static void
catch_signals(sigset_t *ret_before)
{
	struct sigaction act = { .sa_handler = on_signal };
	static const int wanted[] = { SIGINT, SIGTERM, SIGHUP };
	sigset_t set;

	sigemptyset(&set);
	for (size_t i = 0; i < nitems(wanted); i++) {
		sigaddset(&set, wanted[i]);
		sigaction(wanted[i], &act, NULL);
	}
	sigprocmask(SIG_BLOCK, &set, ret_before);
	signal(SIGCHLD, SIG_IGN);	/* the browser's start is not awaited */
}

/* One round.  false: it is over. */
static bool
look(struct watch *w, const sigset_t *mask)
{
	struct timespec wait = { .tv_sec = SILENCE / 1000 };
	struct pollfd fds[2] = {
		{ .fd = ctl_stream_fd(w->stream), .events = POLLIN },
		{ .fd = w->reads ? STDIN_FILENO : -1, .events = POLLIN },
	};
	int n = ppoll(fds, nitems(fds), &wait, mask), r = 1;

	if (stopped) {
		say(w, "the login was given up");
		return false;
	}
	if (n == -1)
		return errno == EINTR;
	if (n == 0) {
		ctl_fail(CTL_FAILED, "the daemon says nothing any more");
		return false;
	}
	if (fds[1].revents != 0)
		read_pasted(w);
	if (fds[0].revents != 0)
		r = ctl_stream_read(w->stream, on_line, w);
	if (r == 1)
		return true;
	if (!w->over)
		ctl_fail(CTL_FAILED, "the daemon ended the login without saying how: see its log");
	return false;
}

static int
compose_wish(const struct ctl *c, struct buf *out)
{
	int e;

	e = buf_addf(out, "{\"device\":%s,\"manual\":%s", c->device ? "true" : "false",
	    c->no_browser ? "true" : "false");
	if (c->scope != NULL) {
		e |= buf_adds(out, ",\"scope\":");
		e |= buf_addjson(out, c->scope, strlen(c->scope));
	}
	return e | buf_adds(out, "}");
}

struct opening {
	struct watch	*w;
	const char	*target;
	struct slice	 body;
};

static enum ctl_exit
open_stream(void *arg, const char *path, char *why)
{
	struct opening *o = arg;

	return ctl_stream_open(path, "POST", o->target, o->body, &o->w->stream, why);
}

enum ctl_exit
ctl_login(const struct ctl *c)
{
	struct watch w = { .ctl = c, .rc = CTL_FAILED, .pasted = BUF_SECRET(PASTE_BYTES) };
	struct buf body = BUF_INIT(0);
	char target[80];
	struct opening opening = { .w = &w, .target = target };
	sigset_t before;
	enum ctl_exit rc;

	if (!ctl_one_name(c))
		return ctl_usage("login takes one name");
	w.name = c->args[0];
	w.reads = !c->device && (c->no_browser || isatty(STDIN_FILENO));
	snprintf(target, sizeof(target), "/v1/login/%s", w.name);
	if (compose_wish(c, &body) < 0)
		return ctl_fail(CTL_FAILED, "out of memory");
	opening.body = (struct slice){ body.p, body.len };
	catch_signals(&before);
	rc = ctl_reach(c, open_stream, &opening);
	if (rc == CTL_OK) {
		while (look(&w, &before))
			;
		rc = w.rc;
	}
	ctl_stream_close(w.stream);
	buf_free(&w.pasted);
	buf_free(&body);
	return rc;
}

/* --- logout --- */

static enum ctl_exit
print_logout(const char *name, const cJSON *doc)
{
	char *revoked = shown(doc, "revoked"), *message = shown(doc, "message");
	enum ctl_exit rc = CTL_OK;

	if (message != NULL)
		rc = ctl_fail(CTL_FAILED, "%s: not logged out: %s", name, message);
	else
		printf("%s: logged out; %s\n", name, revoked != NULL ? revoked : "?");
	free(revoked);
	free(message);
	return rc;
}

static enum ctl_exit
print_logouts(const cJSON *doc)
{
	enum ctl_exit rc = CTL_OK;
	const cJSON *item;
	char *name;

	cJSON_ArrayForEach(item, doc) {
		name = shown(item, "name");
		if (print_logout(name != NULL ? name : "?", item) != CTL_OK)
			rc = CTL_FAILED;
		free(name);
	}
	return rc;
}

enum ctl_exit
ctl_logout(const struct ctl *c)
{
	struct ctl_reply r;
	char target[80];
	enum ctl_exit rc;
	cJSON *doc;

	if (c->all ? c->nargs > 0 : !ctl_one_name(c))
		return ctl_usage("logout takes one name, or --all");
	snprintf(target, sizeof(target), "/v1/logout%s%s", c->all ? "" : "/",
	    c->all ? "" : c->args[0]);
	rc = ctl_ask(c, "POST", target, (struct slice){ NULL, 0 }, &r);
	if (rc != CTL_OK)
		return rc;
	if (r.status == 200) {
		doc = json_parse(r.body.p, r.body.len, NULL);
		rc = c->all ? print_logouts(doc) : print_logout(c->args[0], doc);
		cJSON_Delete(doc);
	} else {
		rc = ctl_refused(r.status, (struct slice){ r.body.p, r.body.len });
	}
	buf_free(&r.body);
	return rc;
}
