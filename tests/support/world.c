/* The world of a test: its directory, the wall, the config. */
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "support.h"

extern char	**environ;

static struct world	*current;	/* whose logs give_up() shows */

static void
show_tail(const char *path)
{
	size_t	 n, from;
	char	*text = file_read(path, &n);

	if (text == NULL)
		return;
	from = n > 6000 ? n - 6000 : 0;
	fprintf(stderr, "---- %s\n%s\n", path, text + from);
	free(text);
}

void
give_up(const char *fmt, ...)
{
	const struct authd	*a;
	char			 path[PATH_SIZE + 16];
	va_list			 ap;

	fflush(stdout);
	fputs("support: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	if (current != NULL) {
		fprintf(stderr, "the world stays in %s\n", current->dir);
		for (a = current->daemons; a != NULL; a = a->next)
			show_tail(a->log);
		snprintf(path, sizeof(path), "%s/wall.log", current->dir);
		show_tail(path);
	}
	exit(1);
}

int64_t
now_ms(void)
{
	struct timespec	ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000LL + ts.tv_nsec / 1000000;
}

void
pause_ms(int ms)
{
	poll(NULL, 0, ms);
}

char *
file_read(const char *path, size_t *ret_n)
{
	FILE		*f = fopen(path, "re");
	struct buf	 b = BUF_INIT(1L << 30);
	char		 piece[65536], *text;
	size_t		 n;

	if (f == NULL)
		return NULL;
	while ((n = fread(piece, 1, sizeof(piece), f)) > 0)
		buf_add(&b, piece, n);
	fclose(f);
	if (ret_n != NULL)
		*ret_n = b.len;
	text = b.len > 0 ? buf_steal(&b) : strdup("");
	return text;
}

void
file_write(const char *path, const char *text)
{
	FILE	*f = fopen(path, "we");

	if (f == NULL || fputs(text, f) < 0 || fclose(f) != 0)
		give_up("%s: %s", path, strerror(errno));
}

/* In the child: nothing of the caller's surroundings but PATH and what sanitizers read. */
void
child_environment(const char *const *env)
{
	static const char *const keep[] = { "PATH", "ASAN_OPTIONS", "UBSAN_OPTIONS",
	    "LSAN_OPTIONS", "TMPDIR", "LC_ALL" };
	char	*values[nitems(keep)];
	size_t	 i;

	for (i = 0; i < nitems(keep); i++)
		values[i] = getenv(keep[i]);
	environ = NULL;
	for (i = 0; i < nitems(keep); i++) {
		if (values[i] != NULL)
			setenv(keep[i], values[i], 1);
	}
	for (; env != NULL && *env != NULL; env++)
		putenv((char *)(uintptr_t)*env);
}

pid_t
child_fork(void)
{
	pid_t	 parent = getpid(), pid = fork();
	sigset_t none;

	if (pid < 0)
		give_up("fork: %s", strerror(errno));
	if (pid > 0)
		return pid;
	setpgid(0, 0);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(127);
	return 0;
}

/* In the child: as descriptors 3 and up; everything else is closed. */
static void
pass(const struct passed *p)
{
	char	number[16];
	int	i, fds[16];

	if (p == NULL) {
		close_range(3, ~0U, 0);
		return;
	}
	for (i = 0; i < p->n; i++)	/* out of the way first */
		fds[i] = fcntl(p->fds[i], F_DUPFD, 3 + (int)nitems(fds));
	for (i = 0; i < p->n; i++)
		dup2(fds[i], 3 + i);
	close_range(3 + p->n, ~0U, 0);
	snprintf(number, sizeof(number), "%d", p->n);
	setenv("LISTEN_FDS", number, 1);
	snprintf(number, sizeof(number), "%ld", (long)getpid());
	setenv("LISTEN_PID", number, 1);
	setenv("LISTEN_FDNAMES", p->names, 1);
}

pid_t
child_start_passing(const struct passed *passed, const char *const *argv, const char *const *env,
    const char *log)
{
	pid_t	pid = child_fork();
	int	fd, null;

	if (pid > 0)
		return pid;
	fd = open(log, O_WRONLY | O_CREAT | O_APPEND, 0600);
	null = open("/dev/null", O_RDONLY);
	if (fd < 0 || null < 0 || dup2(null, 0) < 0 || dup2(fd, 1) < 0 || dup2(fd, 2) < 0)
		_exit(127);
	child_environment(env);
	pass(passed);
	execvp(argv[0], (char *const *)(uintptr_t)argv);
	fprintf(stderr, "%s: %s\n", argv[0], strerror(errno));
	_exit(127);
}

pid_t
child_start(const char *const *argv, const char *const *env, const char *log)
{
	return child_start_passing(NULL, argv, env, log);
}

static const char *
built(const char *variable, const char *name, char path[PATH_SIZE])
{
	const char	*given = getenv(variable), *build = getenv("BUILD");

	if (given != NULL)
		return given;
	snprintf(path, PATH_SIZE, "%s/%s", build != NULL ? build : "build", name);
	return path;
}

static void
wall_start(struct world *w, bool tls, const char *certificate)
{
	char		 program[PATH_SIZE], port[PATH_SIZE], log[PATH_SIZE];
	char		 cert[PATH_SIZE], key[PATH_SIZE], *text = NULL;
	const char	*argv[12] = { built("MCP_WALL", "wall", program), "--port-file", port,
	    "--secrets-file", w->secrets, "--control", w->control };
	int64_t		 deadline = now_ms() + 20000;

	snprintf(port, sizeof(port), "%s/port", w->dir);
	snprintf(log, sizeof(log), "%s/wall.log", w->dir);
	if (tls) {
		certs_make(w->dir);
		snprintf(cert, sizeof(cert), "%s/%s", w->dir, certificate);
		snprintf(key, sizeof(key), "%s/key.pem", w->dir);
		snprintf(w->ca, sizeof(w->ca), "%s/ca.pem", w->dir);
		argv[7] = "--tls";
		argv[8] = cert;
		argv[9] = key;
	}
	w->wall = child_start(argv, NULL, log);
	while ((text = file_read(port, NULL)) == NULL) {
		if (now_ms() > deadline || waitpid(w->wall, NULL, WNOHANG) != 0)
			give_up("the wall (%s) does not start", argv[0]);
		pause_ms(2);
	}
	w->port = atoi(text);
	w->other_port = strchr(text, '\n') != NULL ? atoi(strchr(text, '\n') + 1) : 0;
	free(text);
	snprintf(w->origin, sizeof(w->origin), "http%s://127.0.0.1:%d", tls ? "s" : "", w->port);
	snprintf(w->other, sizeof(w->other), "http%s://127.0.0.1:%d", tls ? "s" : "",
	    w->other_port);
}

struct world *
world_new(int flags)
{
	struct world	*w = calloc(1, sizeof(*w));

	if (w == NULL)
		give_up("no memory");
	strcpy(w->dir, "/tmp/authd.XXXXXX");
	if (mkdtemp(w->dir) == NULL)
		give_up("mkdtemp: %s", strerror(errno));
	current = w;
	snprintf(w->state, sizeof(w->state), "%s/state", w->dir);
	snprintf(w->config, sizeof(w->config), "%s/config.json", w->dir);
	snprintf(w->secrets, sizeof(w->secrets), "%s/secrets", w->dir);
	snprintf(w->control, sizeof(w->control), "%s/wall.sock", w->dir);
	if (mkdir(w->state, 0700) != 0)
		give_up("%s: %s", w->state, strerror(errno));
	if ((flags & WORLD_NO_WALL) == 0)
		wall_start(w, (flags & WORLD_TLS) != 0,
		    (flags & WORLD_EXPIRED) != 0 ? "expired.pem" : "cert.pem");
	return w;
}

static int
remove_one(const char *path, const struct stat *st _unused_, int kind _unused_,
    struct FTW *ftw _unused_)
{
	remove(path);
	return 0;
}

void
world_free(struct world *w)
{
	struct authd	*a, *next;

	secrets_check(w);
	for (a = w->daemons; a != NULL; a = next) {
		next = a->next;
		authd_kill(a);
		free(a);
	}
	if (w->wall > 0) {
		kill(w->wall, SIGTERM);
		waitpid(w->wall, NULL, 0);
	}
	if (getenv("KEEP_WORLD") == NULL)
		nftw(w->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	else
		fprintf(stderr, "the world stays in %s\n", w->dir);
	if (current == w)
		current = NULL;
	world_config_clear(w);
	free(w);
}

void
world_upstream_at(struct world *w, const char *name, const char *url, const char *members)
{
	buf_addf(&w->upstreams, "%s\n    \"%s\": { \"url\": \"%s\"",
	    w->upstreams.len > 0 ? "," : "", name, url);
	if (w->ca[0] != '\0' && (members == NULL || strstr(members, "\"tls\"") == NULL))
		buf_addf(&w->upstreams, ", \"tls\": { \"caFile\": \"%s\" }", w->ca);
	if (members != NULL)
		buf_addf(&w->upstreams, ", %s", members);
	buf_adds(&w->upstreams, " }");
}

void
world_upstream(struct world *w, const char *name, const char *members)
{
	char	url[80];

	snprintf(url, sizeof(url), "%s/mcp", w->origin);
	world_upstream_at(w, name, url, members);
}

void
world_top(struct world *w, const char *members)
{
	buf_addf(&w->top, ",\n  %s", members);
}

void
world_config(struct world *w, const char *text)
{
	buf_reset(&w->text);
	buf_adds(&w->text, text);
}

void
world_config_clear(struct world *w)
{
	buf_free(&w->upstreams);
	buf_free(&w->top);
	buf_free(&w->text);
}

void
world_login(struct world *w, struct authd *a, const char *upstream, const char *query)
{
	char	 path[512], *text;
	cJSON	*tokens;
	int	 status;

	snprintf(path, sizeof(path), "issue%s%s", query != NULL ? "?" : "",
	    query != NULL ? query : "");
	tokens = wall_post(w, path, NULL);
	text = cJSON_PrintUnformatted(tokens);
	status = authd_import(a, upstream, text);
	if (status / 100 != 2)
		give_up("token import for %s: status %d", upstream, status);
	free(text);
	cJSON_Delete(tokens);
}
