/* mcp-authctl as a child, fed and read without waiting for its end. */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support.h"

#define ARGS	16

struct ctl {
	pid_t		 pid;
	int		 in, fd[2];		/* fd: its stdout and stderr; -1 = closed */
	struct buf	 out[2];
	const char	*control;		/* what it shows was answered there */
};

static void
child(const struct authd *a, const char *const *argv, const char *const *env, int in, int out,
    int err)
{
	static char	runtime[PATH_SIZE + 32];
	const char	*parent = a->runtime, *all[ARGS] = { runtime };
	size_t		 i;

	snprintf(runtime, sizeof(runtime), "XDG_RUNTIME_DIR=%.*s",
	    (int)(strlen(parent) - strlen("/mcp-authd")), parent);
	if (dup2(in, 0) < 0 || dup2(out, 1) < 0 || dup2(err, 2) < 0)
		_exit(127);
	close_range(3, ~0U, 0);
	for (i = 0; env != NULL && env[i] != NULL && i < ARGS - 2; i++)
		all[i + 1] = env[i];
	child_environment(all);
	execvp(argv[0], (char *const *)(uintptr_t)argv);
	_exit(127);
}

struct ctl *
ctl_start(const struct authd *a, const char *const *args, const char *const *env)
{
	struct ctl	*k = calloc(1, sizeof(*k));
	const char	*argv[ARGS], *build = getenv("BUILD");
	char		 program[PATH_SIZE];
	int		 in[2], out[2], err[2];
	size_t		 n = 0;

	snprintf(program, sizeof(program), "%s/mcp-authctl", build != NULL ? build : "build");
	argv[n++] = program;
	while (*args != NULL && n < ARGS - 1)
		argv[n++] = *args++;
	argv[n] = NULL;
	if (k == NULL || pipe2(in, O_CLOEXEC) != 0 || pipe2(out, O_CLOEXEC) != 0 ||
	    pipe2(err, O_CLOEXEC) != 0 || (k->pid = child_fork()) < 0)
		give_up("%s: %s", program, strerror(errno));
	if (k->pid == 0)
		child(a, argv, env, in[0], out[1], err[1]);
	close(in[0]);
	close(out[1]);
	close(err[1]);
	k->in = in[1];
	k->fd[0] = out[0];
	k->fd[1] = err[0];
	k->control = a->control;
	k->out[0] = k->out[1] = BUF_INIT(16L * 1024 * 1024);
	return k;
}

void
ctl_say(struct ctl *k, const char *text)
{
	size_t	n = strlen(text);

	if (k->in < 0 || write(k->in, text, n) != (ssize_t)n)
		give_up("mcp-authctl reads nothing: %s", strerror(errno));
}

void
ctl_close_stdin(struct ctl *k)
{
	if (k->in >= 0)
		close(k->in);
	k->in = -1;
}

void
ctl_signal(struct ctl *k, int sig)
{
	if (k->pid > 0)
		kill(k->pid, sig);
}

/* Reads what comes until the deadline or a little more; false: both are closed. */
static bool
ctl_read(struct ctl *k, int64_t deadline)
{
	struct pollfd	p[2] = { { k->fd[0], POLLIN, 0 }, { k->fd[1], POLLIN, 0 } };
	int64_t		left = deadline - now_ms();
	char		piece[4096];
	ssize_t		n;
	int		i;

	if (k->fd[0] < 0 && k->fd[1] < 0)
		return false;
	if (poll(p, 2, left > 0 ? (int)left : 0) <= 0)
		return true;
	for (i = 0; i < 2; i++) {
		if (p[i].fd < 0 || p[i].revents == 0)
			continue;
		n = read(p[i].fd, piece, sizeof(piece));
		if (n > 0) {
			buf_add(&k->out[i], piece, (size_t)n);
			overheard(k->control, piece, (size_t)n);
		} else if (n == 0 || errno != EINTR) {
			close(k->fd[i]);
			k->fd[i] = -1;
		}
	}
	return true;
}

bool
ctl_until(struct ctl *k, const char *text, int ms)
{
	int64_t	deadline = now_ms() + ms;
	bool	more = true;

	for (;;) {
		if (strstr(ctl_out(k), text) != NULL || strstr(ctl_err(k), text) != NULL)
			return true;
		if (!more || now_ms() > deadline)
			return false;
		more = ctl_read(k, deadline);
	}
}

int
ctl_end(struct ctl *k, int ms)
{
	int64_t	deadline = now_ms() + ms;
	int	status = 0;

	while (now_ms() < deadline && ctl_read(k, deadline))
		;
	while (k->pid > 0 && waitpid(k->pid, &status, WNOHANG) == 0) {
		if (now_ms() > deadline)
			return -1;
		pause_ms(2);
	}
	k->pid = 0;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

const char *
ctl_out(const struct ctl *k)
{
	return k->out[0].p != NULL ? k->out[0].p : "";
}

const char *
ctl_err(const struct ctl *k)
{
	return k->out[1].p != NULL ? k->out[1].p : "";
}

void
ctl_free(struct ctl *k)
{
	if (k == NULL)
		return;
	if (k->pid > 0) {
		kill(k->pid, SIGKILL);
		waitpid(k->pid, NULL, 0);
	}
	ctl_close_stdin(k);
	for (int i = 0; i < 2; i++) {
		if (k->fd[i] >= 0)
			close(k->fd[i]);
		buf_free(&k->out[i]);
	}
	free(k);
}
