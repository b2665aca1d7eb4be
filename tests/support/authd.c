/* Real daemons: started, asked, ended. */
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support.h"

#define ENV_MAX		32
#define ARG_MAX_	32

static void
config_write(struct world *w)
{
	struct buf	 b = BUF_INIT(0);

	if (w->text.len > 0) {
		file_write(w->config, w->text.p);
		return;
	}
	if (w->upstreams.len == 0)
		world_upstream(w, "wall", NULL);
	buf_addf(&b, "{\n  \"mcpServers\": {%s\n  }%s\n}\n", w->upstreams.p,
	    w->top.len > 0 ? w->top.p : "");
	file_write(w->config, b.p);
	buf_free(&b);
}

/* The struct of that runtime directory, made anew unless it ended. */
static struct authd *
authd_of(struct world *w, const char *runtime)
{
	char		 dir[PATH_SIZE - 40];
	struct authd	*a;

	snprintf(dir, sizeof(dir), "%s/%s", w->dir, runtime);
	for (a = w->daemons; a != NULL; a = a->next) {
		if (strncmp(a->runtime, dir, strlen(dir)) == 0 &&
		    a->runtime[strlen(dir)] == '/')
			return a;
	}
	if ((a = calloc(1, sizeof(*a))) == NULL)
		give_up("no memory");
	mkdir(dir, 0700);
	snprintf(a->runtime, sizeof(a->runtime), "%s/mcp-authd", dir);
	snprintf(a->control, sizeof(a->control), "%s/mcp-authd/control.sock", dir);
	snprintf(a->shared, sizeof(a->shared), "%s/mcp-authd/mcp-authd.sock", dir);
	snprintf(a->log, sizeof(a->log), "%s.log", dir);
	a->next = w->daemons;
	w->daemons = a;
	return a;
}

static void
spawn(struct world *w, struct authd *a, const struct authd_options *o)
{
	static char	 runtime[PATH_SIZE + 32], state[PATH_SIZE + 32], home[PATH_SIZE];
	const char	*argv[ARG_MAX_], *env[ENV_MAX], *program = getenv("MCP_AUTHD");
	const char	*build = getenv("BUILD");
	char		 path[PATH_SIZE];
	size_t		 n = 0, i;

	snprintf(path, sizeof(path), "%s/mcp-authd", build != NULL ? build : "build");
	for (i = 0; o->wrap != NULL && o->wrap[i] != NULL && n < ARG_MAX_ - 8; i++)
		argv[n++] = o->wrap[i];
	argv[n++] = program != NULL ? program : path;
	argv[n++] = "--config";
	argv[n++] = w->config;
	if (o->log_level == NULL || o->log_level[0] != '\0') {
		argv[n++] = "--log-level";
		argv[n++] = o->log_level != NULL ? o->log_level : "debug";
	}
	argv[n] = NULL;
	snprintf(runtime, sizeof(runtime), "XDG_RUNTIME_DIR=%.*s",
	    (int)(strlen(a->runtime) - strlen("/mcp-authd")), a->runtime);
	/* Root would take /var/lib/mcp-authd, whatever XDG_STATE_HOME says. */
	snprintf(state, sizeof(state), "STATE_DIRECTORY=%s/mcp-authd", w->state);
	snprintf(home, sizeof(home), "HOME=%s", w->dir);
	n = 0;
	env[n++] = runtime;
	env[n++] = state;
	env[n++] = home;
	for (i = 0; o->env != NULL && o->env[i] != NULL && n < ENV_MAX - 1; i++)
		env[n++] = o->env[i];
	env[n] = NULL;
	a->pid = child_start_passing(o->pass, argv, env, a->log);
}

/* A daemon that was killed together with what wrapped it may still be dying. */
static void
await_runtime(const struct authd *a)
{
	struct flock	lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	int64_t		deadline = now_ms() + 10000;
	char		path[PATH_SIZE + 8];
	int		fd;

	snprintf(path, sizeof(path), "%s/lock", a->runtime);
	fd = open(path, O_RDWR | O_CLOEXEC);
	while (fd >= 0 && fcntl(fd, F_OFD_SETLK, &lock) < 0 && now_ms() < deadline)
		pause_ms(2);
	if (fd >= 0)
		close(fd);
}

struct authd *
authd_start(struct world *w, const struct authd_options *options)
{
	static const struct authd_options	none;
	const struct authd_options		*o = options != NULL ? options : &none;
	struct authd				*a;

	a = authd_of(w, o->runtime != NULL ? o->runtime : "run");
	if (a->pid != 0)
		give_up("a daemon runs there already");
	config_write(w);
	await_runtime(a);
	spawn(w, a, o);
	if (!o->no_wait && !authd_ready(a, 30000))
		give_up("the daemon does not become ready");
	return a;
}

/* Reaps it if it has ended: true, and its status. */
static bool
ended(struct authd *a, int *ret_status)
{
	int	status;

	if (a->pid == 0 || waitpid(a->pid, &status, WNOHANG) != a->pid)
		return a->pid == 0;
	a->pid = 0;
	if (ret_status != NULL)
		*ret_status = status;
	return true;
}

static bool
answers(const struct authd *a)
{
	static const char	ask[] = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";
	struct client		*c = client_try(a->control);
	struct reply		 r = { 0 };
	bool			 well;

	if (c == NULL)
		return false;
	well = client_send(c, ask, sizeof(ask) - 1, 5000) == 0 &&
	    client_reply(c, "GET", &r, 5000) == 0 && r.status == 200;
	client_close(c);
	reply_free(&r);
	return well;
}

bool
authd_ready(struct authd *a, int ms)
{
	int64_t	deadline = now_ms() + ms;

	while (!answers(a)) {
		if (now_ms() > deadline || ended(a, NULL))
			return false;
		pause_ms(2);
	}
	return true;
}

int
authd_wait(struct authd *a, int ms)
{
	int64_t	deadline = now_ms() + ms;
	int	status = -1;

	while (!ended(a, &status)) {
		if (now_ms() > deadline)
			return -1;
		pause_ms(2);
	}
	return status;
}

int
authd_stop(struct authd *a)
{
	int	status;

	if (a->pid == 0)
		return 0;
	kill(a->pid, SIGTERM);
	status = authd_wait(a, 60000);
	if (a->pid != 0)
		authd_kill(a);
	return status;
}

void
authd_kill(struct authd *a)
{
	if (a->pid == 0)
		return;
	kill(-a->pid, SIGKILL);		/* with what wraps it */
	kill(a->pid, SIGKILL);
	waitpid(a->pid, NULL, 0);
	a->pid = 0;
}

const char *
authd_socket(const struct authd *a, const char *upstream)
{
	static char	path[8][PATH_SIZE + 64];
	static int	at;

	at = (at + 1) % 8;
	snprintf(path[at], sizeof(path[at]), "%s/%s/mcp.sock", a->runtime, upstream);
	return path[at];
}

char *
authd_log(const struct authd *a)
{
	char	*text = file_read(a->log, NULL);

	return text != NULL ? text : strdup("");
}

cJSON *
authd_status(const struct authd *a)
{
	struct reply	 r = { 0 };
	cJSON		*j;

	if (http(a->control, "GET", "/v1/status", NULL, &r, 10000) != 0 || r.status != 200)
		give_up("/v1/status: %d", r.status);
	j = reply_json(&r);
	reply_free(&r);
	return j;
}

static int
token_call(const struct authd *a, const char *method, const char *upstream, const char *json)
{
	struct reply	r = { 0 };
	char		path[128];
	int		status;

	snprintf(path, sizeof(path), "/v1/token/%s", upstream);
	if (http(a->control, method, path, json, &r, 90000) != 0)
		give_up("%s %s: no answer", method, path);
	if (r.status / 100 != 2)
		fprintf(stderr, "%s %s: %d %s\n", method, path, r.status,
		    r.body.p != NULL ? r.body.p : "");
	status = r.status;
	reply_free(&r);
	return status;
}

int
authd_import(const struct authd *a, const char *upstream, const char *json)
{
	return token_call(a, "POST", upstream, json);
}

int
authd_remove(const struct authd *a, const char *upstream)
{
	return token_call(a, "DELETE", upstream, NULL);
}

int64_t
authd_memory(const struct authd *a)
{
	char	 path[64], *text, *at;
	int64_t	 kib = -1;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)a->pid);
	text = file_read(path, NULL);
	if (text != NULL && (at = strstr(text, "RssAnon:")) != NULL)
		kib = strtoll(at + 8, NULL, 10);
	free(text);
	return kib * 1024;
}

int
authd_fds(const struct authd *a)
{
	char	 path[64];
	DIR	*d;
	int	 n = -2;	/* . and .. */

	snprintf(path, sizeof(path), "/proc/%d/fd", (int)a->pid);
	if ((d = opendir(path)) == NULL)
		return -1;
	while (readdir(d) != NULL)
		n++;
	closedir(d);
	return n;
}
