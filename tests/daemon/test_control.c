/*
 * The control socket and mcp-authctl: a real loop, store and credentials in a
 * directory of our own; the command line runs as a child ($BUILD/mcp-authctl).
 */
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#include <check.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "control.h"
#include "credential.h"
#include "json.h"
#include "listen.h"
#include "login.h"

#define DEADLINE	(20 * SEC)

static const char config_text[] = "{ \"mcpServers\": {"
    "\"one\": { \"url\": \"https://one.example/mcp\" },"
    "\"two\": { \"url\": \"https://two.example/mcp\" },"
    "\"open\": { \"url\": \"https://open.example/mcp\", \"auth\": \"none\" } } }";

#define TOKEN	"{\"access_token\":\"at-SECRET\",\"refresh_token\":\"rt-SECRET\"," \
    "\"expires_in\":3600,\"token_endpoint\":\"https://one.example/token\",\"client_id\":\"c\"}"

/* The daemon's side */

static char top[64];
static struct loop *loop;
static struct timer tick;
static int64_t give_up;
static bool (*condition)(void);

static struct config config;
static struct front front;
static struct control control;
static struct runtime *runtime;
static struct connector *connector;
static struct listener *listener;
static int raw_fd = -1;			/* of a faked daemon */

static void
accepted(_unused_ void *arg, int fd)
{
	control_open(&control, fd);
}

static const char *
path_to(const char *name)
{
	static char paths[4][256];
	static unsigned turn;
	char *p = paths[turn++ % 4];

	snprintf(p, sizeof(paths[0]), "%s/%s", top, name);
	return p;
}

static void
open_upstreams(void)
{
	size_t i;

	front.upstreams = calloc(config.nupstreams, sizeof(struct upstream *));
	for (i = 0; i < config.nupstreams; i++) {
		front.upstreams[i] = upstream_new(loop, connector, &config, &config.upstreams[i]);
		ck_assert_ptr_nonnull(front.upstreams[i]);
		front.nupstreams++;
		if (config.upstreams[i].auth != CONFIG_NONE)
			front.upstreams[i]->credential = credential_new(loop, control.store,
			    connector, &config.upstreams[i]);
		if (config.upstreams[i].auth == CONFIG_OAUTH)
			front.upstreams[i]->login = login_new(loop, connector, control.store,
			    front.upstreams[i]->credential, &config.upstreams[i], &config);
	}
}

static void on_tick(void *);

static void
setup(void)
{
	static const struct listener_access ours = { 0600, (gid_t)-1 };
	struct config_error e;
	char why[512] = "";

	signal(SIGPIPE, SIG_IGN);
	strcpy(top, "/tmp/mcp-authd-control.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(top));
	config_init(&config);
	ck_assert_msg(config_parse(&config, "t", config_text, sizeof(config_text) - 1, NULL, NULL,
	    &e) == 0, "%s", e.what);
	ck_assert_int_eq(config_finish(&config, top, &e), 0);
	loop = loop_new();
	timer_init(&tick, loop, on_tick, NULL);
	connector = connector_new(loop);
	runtime = runtime_open(path_to("run"), why, sizeof(why));
	ck_assert_msg(runtime != NULL, "%s", why);
	control.store = store_open(loop, &(struct store_options){ .path = path_to("state"),
	    .allow_network_fs = true, .backend = CONFIG_STORE_FILE }, why, sizeof(why));
	ck_assert_msg(control.store != NULL, "%s", why);
	front.loop = loop;
	front.config = &config;
	open_upstreams();
	control.front = &front;
	control.version = "9.9.9";
	control_init(&control);
	listener = listener_open(loop, runtime, "control.sock", &ours, accepted, NULL, why, sizeof(why));
	ck_assert_msg(listener != NULL, "%s", why);
}

static void
teardown(void)
{
	struct credential *c;
	char command[128];
	size_t i;

	control_close_all(&control);
	loop_stop(loop);
	loop_run(loop);
	ck_assert_uint_eq(control.clients, 0);
	runtime_close(runtime);
	for (i = 0; i < front.nupstreams; i++) {
		c = front.upstreams[i]->credential;
		login_free(front.upstreams[i]->login);
		upstream_free(front.upstreams[i]);
		credential_free(c);
	}
	free(front.upstreams);
	store_close(control.store);
	connector_free(connector);
	loop_free(loop);
	config_free(&config);
	snprintf(command, sizeof(command), "rm -rf %s", top);
	ck_assert_int_eq(system(command), 0);
}

/* A client in the same process */

static struct {
	int		 fd;
	bool		 ended;
	struct buf	 got;
} client = { .fd = -1 };

/* The child */

static struct {
	pid_t		 pid;		/* 0: ended */
	int		 code;
	char		 out[16384], err[16384];
} child;

static void
client_read(void)
{
	char chunk[4096];
	ssize_t n;

	while (client.fd != -1 && !client.ended) {
		n = recv(client.fd, chunk, sizeof(chunk), MSG_DONTWAIT);
		if (n == -1 && errno == EAGAIN)
			return;
		if (n <= 0)
			client.ended = true;
		else
			ck_assert_int_eq(buf_add(&client.got, chunk, n), 0);
	}
}

static void
child_wait(void)
{
	int status;

	if (child.pid == 0 || waitpid(child.pid, &status, WNOHANG) != child.pid)
		return;
	child.pid = 0;
	child.code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void
on_tick(_unused_ void *arg)
{
	client_read();
	child_wait();
	if (condition() || loop_now(loop).boot > give_up)
		loop_stop(loop);
	else
		timer_set(&tick, 1);
}

static bool
until(bool (*cond)(void))
{
	condition = cond;
	give_up = loop_now(loop).boot + DEADLINE;
	timer_set(&tick, 0);
	loop_run(loop);
	return cond();
}

static bool client_ended(void) { return client.ended; }
static bool child_ended(void) { return child.pid == 0; }

static bool
all_loaded(void)
{
	struct buf b = BUF_INIT(0);
	bool loading;

	ck_assert_int_eq(credential_status(front.upstreams[0]->credential, &b), 0);
	ck_assert_int_eq(credential_status(front.upstreams[1]->credential, &b), 0);
	loading = strstr(b.p, "loading") != NULL;
	buf_free(&b);
	return !loading;
}

/* HTTP */

static void
dial(void)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };

	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", path_to("run/control.sock"));
	client.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	client.ended = false;
	ck_assert_int_eq(connect(client.fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
}

static void
hang_up(void)
{
	close(client.fd);
	client.fd = -1;
	buf_free(&client.got);
}

static void
send_request(const char *method, const char *target, const char *body)
{
	struct buf b = BUF_INIT(0);

	buf_addf(&b, "%s %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n", method, target);
	if (body != NULL)
		buf_addf(&b, "Content-Length: %zu\r\n", strlen(body));
	buf_addf(&b, "\r\n%s", body != NULL ? body : "");
	ck_assert_int_eq(send(client.fd, b.p, b.len, MSG_NOSIGNAL), (ssize_t)b.len);
	buf_free(&b);
}

/* The status; the parsed body in *ret (may be NULL). */
static int
ask(const char *method, const char *target, const char *body, cJSON **ret)
{
	cJSON *doc;
	char *text;
	int status = 0;

	dial();
	send_request(method, target, body);
	ck_assert(until(client_ended));
	ck_assert_uint_gt(client.got.len, 0);
	ck_assert_int_eq(sscanf(client.got.p, "HTTP/1.1 %d ", &status), 1);
	ck_assert_ptr_null(strstr(client.got.p, "SECRET"));
	text = strstr(client.got.p, "\r\n\r\n") + 4;
	doc = json_parse(text, strlen(text), NULL);
	ck_assert_msg(doc != NULL, "%s %s: %s", method, target, text);
	if (ret != NULL)
		*ret = doc;
	else
		cJSON_Delete(doc);
	hang_up();
	return status;
}

START_TEST(routes)
{
	static const struct {
		const char *method, *target, *body;
		int status;
		const char *error;
	} t[] = {
		{ "GET", "/healthz", NULL, 200, NULL },
		{ "GET", "/v1/status", NULL, 200, NULL },
		{ "GET", "/v1/status/one?x=y", NULL, 200, NULL },
		{ "GET", "/v1/status/nobody", NULL, 404, "unknown_upstream" },
		{ "POST", "/v1/status", "{}", 405, "method" },
		{ "GET", "/v1/statusx", NULL, 404, "not_found" },
		{ "GET", "/v1/doctor/nobody", NULL, 404, "unknown_upstream" },
		{ "GET", "/v1/doctor", NULL, 404, "unknown_upstream" },
		{ "POST", "/v1/doctor/one", "{}", 405, "method" },
		{ "GET", "/", NULL, 404, "not_found" },
		{ "GET", "/metrics", NULL, 501, "not_in_this_version" },
		{ "POST", "/v1/reload", "", 501, "not_in_this_version" },
		{ "GET", "/v1/token/one", NULL, 405, "method" },
		{ "POST", "/v1/token/nobody", TOKEN, 404, "unknown_upstream" },
		{ "POST", "/v1/token", TOKEN, 404, "unknown_upstream" },
		{ "POST", "/v1/token/open", TOKEN, 409, "not_oauth" },
		{ "POST", "/v1/token/one", NULL, 400, "bad_token" },
		{ "POST", "/v1/token/one", "", 400, "bad_token" },
		{ "POST", "/v1/token/one", "{\"access_token\":", 400, "bad_token" },
		{ "POST", "/v1/token/one", "{\"refresh_token\":\"rt-SECRET\"}", 400, "bad_token" },
		{ "GET", "/v1/login/one", NULL, 405, "method" },
		{ "POST", "/v1/login", NULL, 404, "unknown_upstream" },
		{ "POST", "/v1/login/nobody", NULL, 404, "unknown_upstream" },
		{ "POST", "/v1/login/open", NULL, 409, "not_oauth" },
		{ "POST", "/v1/login/one/else", NULL, 404, "not_found" },
		{ "POST", "/v1/login/one", "[]", 400, "bad_login" },
		{ "POST", "/v1/login/one", "{\"device\":1}", 400, "bad_login" },
		{ "POST", "/v1/login/one", "{\"scope\":[\"a\"]}", 400, "bad_login" },
		{ "POST", "/v1/login/one", "{\"scope\":\"a \\\\b\"}", 400, "bad_login" },
		{ "POST", "/v1/login/one", "{\"scopes\":\"a\"}", 400, "bad_login" },
		{ "POST", "/v1/login/one/redirect", "{}", 400, "bad_redirect" },
		{ "POST", "/v1/login/one/redirect", "{\"redirect\":\"SECRET\"}", 409, "no_login" },
		{ "GET", "/v1/logout/one", NULL, 405, "method" },
		{ "POST", "/v1/logout/nobody", NULL, 404, "unknown_upstream" },
		{ "POST", "/v1/logout/open", NULL, 409, "not_oauth" },
		{ "POST", "/v1/logout/one", NULL, 200, NULL },
	};
	const char *error;
	cJSON *doc;
	size_t i;

	for (i = 0; i < nitems(t); i++) {
		ck_assert_msg(ask(t[i].method, t[i].target, t[i].body, &doc) == t[i].status, "%s %s",
		    t[i].method, t[i].target);
		error = json_string(doc, "error");
		ck_assert_pstr_eq(error, t[i].error);
		ck_assert(error == NULL || json_string(doc, "message") != NULL);
		cJSON_Delete(doc);
	}
}
END_TEST

static const char *
state_of(const char *name)
{
	static char state[64];
	char target[64];
	const char *s;
	cJSON *doc;

	snprintf(target, sizeof(target), "/v1/status/%s", name);
	ck_assert_int_eq(ask("GET", target, NULL, &doc), 200);
	ck_assert_int_eq(cJSON_GetArraySize(json_member(doc, "upstreams")), 1);
	s = json_string(json_member(cJSON_GetArrayItem(json_member(doc, "upstreams"), 0),
	    "credential"), "state");
	snprintf(state, sizeof(state), "%s", s != NULL ? s : "none");
	cJSON_Delete(doc);
	return state;
}

START_TEST(status_shape)
{
	const cJSON *up;
	cJSON *doc;

	ck_assert_int_eq(ask("GET", "/v1/status", NULL, &doc), 200);
	ck_assert_str_eq(json_string(doc, "version"), "9.9.9");
	ck_assert_int_eq((int)json_member(doc, "pid")->valuedouble, getpid());
	ck_assert(cJSON_IsNumber(json_member(doc, "uptime_s")));
	ck_assert_str_eq(json_string(json_member(doc, "store"), "backend"), "file");
	ck_assert_str_eq(json_string(json_member(doc, "store"), "path"), path_to("state"));
	ck_assert(cJSON_IsNumber(json_member(doc, "clients")));
	ck_assert(cJSON_IsNumber(json_member(doc, "held_bytes")));
	ck_assert_int_eq(cJSON_GetArraySize(json_member(doc, "upstreams")), 3);
	up = cJSON_GetArrayItem(json_member(doc, "upstreams"), 0);
	ck_assert_str_eq(json_string(up, "name"), "one");
	ck_assert_str_eq(json_string(up, "url"), "https://one.example/mcp");
	ck_assert_str_eq(json_string(up, "auth"), "oauth");
	ck_assert(cJSON_IsObject(json_member(up, "credential")));
	ck_assert(cJSON_IsNumber(json_member(json_member(up, "links"), "open")));
	ck_assert(cJSON_IsNumber(json_member(up, "exchanges")));
	ck_assert(cJSON_IsNumber(json_member(up, "active")));
	up = cJSON_GetArrayItem(json_member(doc, "upstreams"), 2);
	ck_assert(cJSON_IsNull(json_member(up, "credential")));
	cJSON_Delete(doc);
	ck_assert_str_eq(state_of("open"), "none");
}
END_TEST

START_TEST(h1_import_and_remove)
{
	ck_assert(until(all_loaded));
	ck_assert_str_eq(state_of("one"), "login_required");
	ck_assert_int_eq(ask("POST", "/v1/token/one", TOKEN, NULL), 200);
	ck_assert_str_eq(state_of("one"), "logged_in");
	ck_assert_str_eq(state_of("two"), "login_required");
	ck_assert_int_eq(ask("DELETE", "/v1/token/one", NULL, NULL), 200);
	ck_assert_str_eq(state_of("one"), "login_required");
	ck_assert_int_eq(ask("DELETE", "/v1/token/one", NULL, NULL), 200);
}
END_TEST

static bool
one_is_logged_in(void)
{
	struct buf b = BUF_INIT(0);
	bool yes;

	ck_assert_int_eq(credential_status(front.upstreams[0]->credential, &b), 0);
	yes = strstr(b.p, "\"logged_in\"") != NULL;
	buf_free(&b);
	return yes;
}

static bool
nobody_connected(void)
{
	return control.clients == 0;
}

START_TEST(h4_logout_here_first)
{
	cJSON *doc;

	ck_assert(until(all_loaded));
	ck_assert_int_eq(ask("POST", "/v1/token/one", TOKEN, NULL), 200);
	ck_assert_int_eq(ask("POST", "/v1/logout/one", NULL, &doc), 200);
	ck_assert_ptr_nonnull(strstr(json_string(doc, "revoked"), "no revocation endpoint"));
	cJSON_Delete(doc);
	ck_assert_str_eq(state_of("one"), "login_required");
	ck_assert_int_eq(ask("POST", "/v1/token/two", TOKEN, NULL), 200);
	/* All: those that have none are no failure, those without OAuth are left out. */
	ck_assert_int_eq(ask("POST", "/v1/logout", NULL, &doc), 200);
	ck_assert_int_eq(cJSON_GetArraySize(doc), 2);
	ck_assert_str_eq(json_string(cJSON_GetArrayItem(doc, 0), "name"), "one");
	ck_assert_str_eq(json_string(cJSON_GetArrayItem(doc, 1), "status"), "ok");
	cJSON_Delete(doc);
	ck_assert_str_eq(state_of("two"), "login_required");
}
END_TEST

/* A login is told as it goes: whole lines, the last one says how it ended. */
START_TEST(h3_login_is_told_line_by_line)
{
	char *line, *next;
	const char *event = "";
	cJSON *doc;
	int lines = 0;

	dial();
	send_request("POST", "/v1/login/one", "{\"manual\":true}");
	ck_assert(until(client_ended));
	ck_assert_ptr_nonnull(strstr(client.got.p, "application/x-ndjson"));
	for (line = strstr(client.got.p, "{"); line != NULL; line = strstr(next, "{")) {
		next = strchr(line, '\n');
		ck_assert_ptr_nonnull(next);
		doc = json_parse(line, next - line, NULL);
		ck_assert_ptr_nonnull(doc);
		event = strcmp(json_string(doc, "event"), "failed") == 0 ? "failed" : "";
		ck_assert(event[0] == '\0' || json_string(doc, "message") != NULL);
		cJSON_Delete(doc);
		lines++;
	}
	/* There is no such server. */
	ck_assert_str_eq(event, "failed");
	ck_assert_int_gt(lines, 1);
	hang_up();
}
END_TEST

/* Who leaves a login or a logout is not told into freed memory. */
START_TEST(h3_leaving_a_login)
{
	ck_assert(until(all_loaded));
	for (int i = 0; i < 4; i++) {
		dial();
		send_request("POST", i % 2 ? "/v1/login/one" : "/v1/logout", NULL);
		hang_up();
		ck_assert(until(nobody_connected));
	}
	ck_assert_int_eq(ask("POST", "/v1/logout/one", NULL, NULL), 200);
}
END_TEST

/* Who leaves in the middle of an import neither stops it nor is answered into freed memory. */
START_TEST(leaving_does_not_stop_an_import)
{
	ck_assert(until(all_loaded));
	dial();
	send_request("POST", "/v1/token/one", TOKEN);
	hang_up();
	ck_assert(until(nobody_connected));
	ck_assert(until(one_is_logged_in));
}
END_TEST

START_TEST(too_large_a_token)
{
	struct buf b = BUF_INIT(0);

	dial();
	/* The head alone: 413 comes without the body. */
	buf_addf(&b, "POST /v1/token/one HTTP/1.1\r\nHost: x\r\nContent-Length: %ld\r\n\r\n",
	    RECORD_BYTES + 1);
	ck_assert_int_eq(send(client.fd, b.p, b.len, 0), (ssize_t)b.len);
	buf_free(&b);
	ck_assert(until(client_ended));
	ck_assert_ptr_nonnull(strstr(client.got.p, "HTTP/1.1 413 "));
	hang_up();
}
END_TEST

START_TEST(k_draining)
{
	cJSON *doc;

	front.draining = true;
	ck_assert_int_eq(ask("GET", "/healthz", NULL, &doc), 503);
	ck_assert_str_eq(json_string(doc, "status"), "draining");
	cJSON_Delete(doc);
	ck_assert_int_eq(ask("POST", "/v1/token/one", TOKEN, NULL), 503);
	ck_assert_int_eq(ask("GET", "/v1/doctor/one", NULL, NULL), 503);
	ck_assert_int_eq(ask("GET", "/v1/status", NULL, NULL), 200);
}
END_TEST

/* SO_PEERCRED of a socketpair is who made it. */
START_TEST(foreign_uid_is_turned_away)
{
	static const char request[] = "GET /v1/status HTTP/1.1\r\nHost: x\r\n\r\n";
	int fds[2];

	if (geteuid() != 0)
		return;
	ck_assert_int_eq(seteuid(12345), 0);
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
	ck_assert_int_eq(seteuid(0), 0);
	client.fd = fds[1];
	client.ended = false;
	ck_assert_int_eq(send(client.fd, request, sizeof(request) - 1, 0), sizeof(request) - 1);
	control_open(&control, fds[0]);
	ck_assert(until(client_ended));
	ck_assert_uint_eq(client.got.len, 0);
	hang_up();
	ck_assert(until(nobody_connected));
}
END_TEST

/* mcp-authctl */

static void
slurp(const char *name, char *out, size_t size)
{
	FILE *f = fopen(path_to(name), "r");

	ck_assert_ptr_nonnull(f);
	out[fread(out, 1, size - 1, f)] = '\0';
	fclose(f);
}

static void
put_file(const char *name, const char *text)
{
	FILE *f = fopen(path_to(name), "w");

	ck_assert_ptr_nonnull(f);
	fputs(text, f);
	fclose(f);
}

static void
run_child(char **argv)
{
	const char *build = getenv("BUILD");
	char program[PATH_MAX];
	int i;

	snprintf(program, sizeof(program), "%s/mcp-authctl", build != NULL ? build : "build");
	argv[0] = program;
	for (i = 0; i < 3; i++) {
		static const char *const names[] = { "stdin", "stdout", "stderr" };
		int fd = open(path_to(names[i]), i == 0 ? O_RDONLY : O_CREAT | O_TRUNC | O_WRONLY,
		    0600);

		if (fd == -1 || dup2(fd, i) == -1)
			_exit(99);
	}
	unsetenv("RUNTIME_DIRECTORY");
	setenv("XDG_RUNTIME_DIR", path_to("none"), 1);
	execv(program, argv);
	_exit(98);
}

/* Runs `mcp-authctl --control SOCKET words...` (without --control if words begin with '!'); the exit code. */
static int
ctl(const char *words, const char *input)
{
	char copy[512], socket_path[128], *argv[16] = { NULL }, *word, *save;
	int n = 1;

	put_file("stdin", input);
	snprintf(socket_path, sizeof(socket_path), "%s", path_to("run/control.sock"));
	if (words[0] != '!') {
		argv[n++] = (char *)(uintptr_t)"--control";
		argv[n++] = socket_path;
	}
	snprintf(copy, sizeof(copy), "%s", words + (words[0] == '!'));
	for (word = strtok_r(copy, " ", &save); word != NULL; word = strtok_r(NULL, " ", &save))
		argv[n++] = word;
	fflush(NULL);
	child.pid = fork();
	ck_assert_int_ne(child.pid, -1);
	if (child.pid == 0)
		run_child(argv);
	ck_assert(until(child_ended));
	slurp("stdout", child.out, sizeof(child.out));
	slurp("stderr", child.err, sizeof(child.err));
	ck_assert_ptr_null(strstr(child.out, "SECRET"));
	ck_assert_ptr_null(strstr(child.err, "SECRET"));
	return child.code;
}

START_TEST(ctl_status)
{
	cJSON *doc;

	ck_assert(until(all_loaded));
	ck_assert_int_eq(ctl("status", ""), 0);
	ck_assert_ptr_nonnull(strstr(child.out, "\none   login required"));
	ck_assert_ptr_nonnull(strstr(child.out, "\nopen  no login needed"));
	ck_assert_ptr_nonnull(strstr(child.out, "store: file ("));
	ck_assert_ptr_nonnull(strstr(child.out, "mcp-authctl login one"));
	ck_assert_str_eq(child.err, "");
	/* A login that is required: its own exit code, in both shapes. */
	ck_assert_int_eq(ctl("status one", ""), 4);
	ck_assert_ptr_nonnull(strstr(child.out, "login required"));
	ck_assert_int_eq(ctl("status one --json", ""), 4);
	doc = json_parse(child.out, strlen(child.out), NULL);
	ck_assert_str_eq(json_string(doc, "version"), "9.9.9");
	cJSON_Delete(doc);
	ck_assert_int_eq(ctl("status open", ""), 0);
	ck_assert_int_eq(ctl("status nobody", ""), 1);
	ck_assert_ptr_nonnull(strstr(child.err, "mcp-authctl status"));
}
END_TEST

START_TEST(ctl_token)
{
	char words[256];

	ck_assert(until(all_loaded));
	ck_assert_int_eq(ctl("token import one", TOKEN), 0);
	ck_assert_str_eq(child.out, "one: token imported\n");
	ck_assert_int_eq(ctl("status one", ""), 0);
	ck_assert_ptr_nonnull(strstr(child.out, "logged in"));
	ck_assert(strstr(child.out, "in 59 min") != NULL || strstr(child.out, "in 60 min") != NULL);
	ck_assert_int_eq(ctl("token remove one", ""), 0);
	ck_assert_int_eq(ctl("status one", ""), 4);
	put_file("token.json", TOKEN);
	snprintf(words, sizeof(words), "token import one --file %s", path_to("token.json"));
	ck_assert_int_eq(ctl(words, ""), 0);
	ck_assert_int_eq(ctl("token import one --file /nowhere", ""), 1);
	ck_assert_int_eq(ctl("token import one", ""), 1);
	ck_assert_int_eq(ctl("token import one", "{\"access_token\":1}"), 1);
	ck_assert_ptr_nonnull(strstr(child.err, "access_token"));
	ck_assert_int_eq(ctl("token import open", TOKEN), 1);
	ck_assert_int_eq(ctl("token import nobody", TOKEN), 1);
}
END_TEST

START_TEST(ctl_usage)
{
	static const char *const wrong[] = {
		"", "nonsense", "token", "token import", "token remove a b", "token import a/b",
		"status a b", "status ../x", "check a", "--nonsense", "check --json", "status --file x",
		"--user status", "token remove one --json", "login", "login a b", "login ../x",
		"login one --all", "logout", "logout one --all", "logout one --device", "status --scope x",
	};
	size_t i;

	for (i = 0; i < nitems(wrong); i++) {
		ck_assert_msg(ctl(wrong[i], "") == 2, "%s: %d", wrong[i], child.code);
		ck_assert_str_eq(child.out, "");
		ck_assert_str_ne(child.err, "");
	}
	ck_assert_int_eq(ctl("--help", ""), 0);
	ck_assert_ptr_nonnull(strstr(child.out, "Exit codes"));
	ck_assert_int_eq(ctl("--version", ""), 0);
	ck_assert_ptr_nonnull(strstr(child.out, "mcp-authctl "));
}
END_TEST

START_TEST(ctl_without_a_daemon)
{
	ck_assert_int_eq(ctl("!--control /nowhere/control.sock status", ""), 3);
	ck_assert_ptr_nonnull(strstr(child.err, "/nowhere/control.sock"));
	ck_assert_ptr_nonnull(strstr(child.err, "start it"));
	ck_assert_int_eq(ctl("!--user token remove one", ""), 3);
	ck_assert_ptr_nonnull(strstr(child.err, "none/mcp-authd/control.sock"));
}
END_TEST

/* A daemon that is none: what it says is neither believed nor shown raw. */

static const char *fake_answer;

static void
fake_accepted(_unused_ void *arg, int fd)
{
	raw_fd = fd;
	if (send(fd, fake_answer, strlen(fake_answer), MSG_NOSIGNAL) == -1)
		ck_abort_msg("send");
	shutdown(fd, SHUT_WR);
}

static int
fake(const char *answer)
{
	static const struct listener_access ours = { 0600, (gid_t)-1 };
	char words[256], why[256];
	struct listener *l;
	int code;

	fake_answer = answer;
	l = listener_open(loop, runtime, "fake.sock", &ours, fake_accepted, NULL, why, sizeof(why));
	ck_assert_ptr_nonnull(l);
	snprintf(words, sizeof(words), "!--control %s status", path_to("run/fake.sock"));
	code = ctl(words, "");
	listener_close(l);
	close(raw_fd);
	return code;
}

START_TEST(ctl_shows_nothing_raw)
{
	ck_assert_int_eq(fake("HTTP/1.1 200 OK\r\n\r\n{\"version\":\"\\u001b[31mred\",\"upstreams\":"
	    "[{\"name\":\"a\\nb\",\"credential\":{\"state\":\"\\u0007\",\"trouble\":\"\\u001b]0;\"}}]}"),
	    0);
	ck_assert_ptr_null(strchr(child.out, '\033'));
	ck_assert_ptr_null(strchr(child.out, '\007'));
	ck_assert_ptr_nonnull(strstr(child.out, "\\x1b[31mred"));
	ck_assert_int_eq(fake("HTTP/1.1 503 No\r\n\r\n{\"message\":\"\\u001b[31mred\"}"), 1);
	ck_assert_ptr_null(strchr(child.err, '\033'));
}
END_TEST

START_TEST(ctl_believes_no_broken_answer)
{
	static const char *const broken[] = {
		"", "HTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{}",
		"HTTP/1.1 200 OK\r\n\r\n[]", "HTTP/1.1 200 OK\r\n\r\n{\"upstreams\":", "SSH-2.0\r\n\r\n",
	};
	size_t i;

	for (i = 0; i < nitems(broken); i++) {
		ck_assert_msg(fake(broken[i]) == 1, "%s: %d", broken[i], child.code);
		ck_assert_str_ne(child.err, "");
	}
}
END_TEST

/* check: needs no daemon; the same loading as the daemon's */

static int
check_config(void)
{
	char words[256];

	snprintf(words, sizeof(words), "!check --config %s", path_to("c/config.json"));
	return ctl(words, "");
}

START_TEST(ctl_check)
{
	char expected[256];

	ck_assert_int_eq(mkdir(path_to("c"), 0700), 0);
	ck_assert_int_eq(check_config(), 1);
	ck_assert_ptr_nonnull(strstr(child.err, "c/config.json: "));
	put_file("c/config.json", config_text);
	ck_assert_int_eq(check_config(), 0);
	snprintf(expected, sizeof(expected), "%s: ok: 3 upstreams\n", path_to("c/config.json"));
	ck_assert_str_eq(child.out, expected);

	/* conf.d beside it, by name, and only *.json. */
	ck_assert_int_eq(mkdir(path_to("c/conf.d"), 0700), 0);
	put_file("c/conf.d/10.json", "{\"mcpServers\":{\"more\":{\"url\":\"https://m.example/mcp\"}}}");
	put_file("c/conf.d/.hidden.json", "nonsense");
	put_file("c/conf.d/20.json~", "nonsense");
	ck_assert_int_eq(check_config(), 0);
	ck_assert_ptr_nonnull(strstr(child.out, ": ok: 4 upstreams\n"));

	put_file("c/conf.d/05.json", "{\n  \"mcpServer\": {} }");
	ck_assert_int_eq(check_config(), 1);
	snprintf(expected, sizeof(expected), "%s:2:3: ", path_to("c/conf.d/05.json"));
	ck_assert_ptr_nonnull(strstr(child.err, expected));
	ck_assert_ptr_nonnull(strstr(child.err, "mcpServers"));
	ck_assert_str_eq(child.out, "");

	put_file("c/conf.d/05.json", "{\"mcpServers\":{\"one\":{\"url\":\"https://m.example/mcp\"}}}");
	ck_assert_int_eq(check_config(), 1);
	ck_assert_int_eq(unlink(path_to("c/config.json")), 0);
	ck_assert_int_eq(mkfifo(path_to("c/config.json"), 0600), 0);
	ck_assert_int_eq(check_config(), 1);
	ck_assert_ptr_nonnull(strstr(child.err, "regular file"));
}
END_TEST

static Suite *
suite(void)
{
	Suite *s = suite_create("control");
	TCase *t = tcase_create("control"), *c = tcase_create("ctl");

	tcase_set_timeout(t, 60);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, routes);
	tcase_add_test(t, status_shape);
	tcase_add_test(t, h1_import_and_remove);
	tcase_add_test(t, h4_logout_here_first);
	tcase_add_test(t, h3_login_is_told_line_by_line);
	tcase_add_test(t, h3_leaving_a_login);
	tcase_add_test(t, leaving_does_not_stop_an_import);
	tcase_add_test(t, too_large_a_token);
	tcase_add_test(t, k_draining);
	tcase_add_test(t, foreign_uid_is_turned_away);
	suite_add_tcase(s, t);
	tcase_set_timeout(c, 60);
	tcase_add_checked_fixture(c, setup, teardown);
	tcase_add_test(c, ctl_status);
	tcase_add_test(c, ctl_token);
	tcase_add_test(c, ctl_usage);
	tcase_add_test(c, ctl_without_a_daemon);
	tcase_add_test(c, ctl_shows_nothing_raw);
	tcase_add_test(c, ctl_believes_no_broken_answer);
	tcase_add_test(c, ctl_check);
	suite_add_tcase(s, c);
	return s;
}

int
main(void)
{
	SRunner *r = srunner_create(suite());
	int failed;

	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
