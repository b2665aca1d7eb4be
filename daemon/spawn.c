#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/pidfd.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "spawn.h"

#define CHILD_FILES	1024	/* what programs that use select() expect */

extern char **environ;

struct spawn {
	struct loop	*loop;
	pid_t		 pid;
	int		 pidfd, pipe;		/* -1 = closed */
	struct event	*exited, *readable;
	struct timer	 timer;
	size_t		 max_out;
	spawn_done	 done;
	void		*arg;
	bool		 reaped;
	struct spawn_reply reply;
};

static void
stop_reading(struct spawn *s)
{
	if (s->readable != NULL)
		event_free(s->readable);
	s->readable = NULL;
	if (s->pipe >= 0)
		close(s->pipe);
	s->pipe = -1;
}

static void
spawn_free(void *arg)
{
	struct spawn *s = arg;

	stop_reading(s);
	timer_clear(&s->timer);
	if (s->exited != NULL)
		event_free(s->exited);
	if (s->pidfd >= 0)
		close(s->pidfd);
	buf_free(&s->reply.out);
	free(s);
}

/* It and whatever it started.  The group cannot be another's: its leader is not reaped yet. */
static void
kill_group(struct spawn *s)
{
	if (s->pid > 0 && !s->reaped)
		kill(-s->pid, SIGKILL);
}

static void
give_up(struct spawn *s, const char *why)
{
	if (s->reply.why[0] == '\0')
		snprintf(s->reply.why, sizeof(s->reply.why), "%s", why);
	kill_group(s);
	stop_reading(s);
}

static void
explain(struct spawn *s, const siginfo_t *info)
{
	if (s->reply.why[0] != '\0')
		s->reply.status = -1;
	else if (info->si_code != CLD_EXITED)
		snprintf(s->reply.why, sizeof(s->reply.why), "it was ended by signal %d",
		    info->si_status);
	else if (info->si_status != 0)
		snprintf(s->reply.why, sizeof(s->reply.why), "it ended with status %d",
		    info->si_status);
}

static void
finish(void *arg)
{
	struct spawn *s = arg;

	if (s->done != NULL)
		s->done(s->arg, &s->reply);
	spawn_free(s);
}

static void
on_readable(evutil_socket_t fd, short what _unused_, void *arg)
{
	struct spawn *s = arg;
	ssize_t n;

	while ((n = read((int)fd, s->loop->readbuf, READ_BUFFER)) > 0)
		if (s->reply.out.len + (size_t)n > s->max_out ||
		    buf_add(&s->reply.out, s->loop->readbuf, (size_t)n) < 0) {
			give_up(s, "it printed too much");
			break;
		}
	if (n > 0 || n == 0 || errno != EAGAIN)
		stop_reading(s);
}

/* Ended: what is left in the pipe is taken, what its children still write is not awaited. */
static void
on_exit_(evutil_socket_t fd _unused_, short what _unused_, void *arg)
{
	struct spawn *s = arg;
	siginfo_t info = { 0 };

	if (waitid(P_PIDFD, (id_t)s->pidfd, &info, WEXITED | WNOHANG | WNOWAIT) < 0 ||
	    info.si_pid == 0)
		return;
	kill_group(s);
	waitid(P_PIDFD, (id_t)s->pidfd, &info, WEXITED | WNOHANG);
	s->reaped = true;
	s->reply.status = info.si_code == CLD_EXITED ? info.si_status << 8 : info.si_status;
	if (s->readable != NULL)
		on_readable(s->pipe, EV_READ, s);
	event_del(s->exited);
	explain(s, &info);
	loop_defer(s->loop, finish, s);
}

static void
on_time(void *arg)
{
	give_up(arg, "it took too long");
}

/* The environment without what speaks to us alone.  Shallow; free() it. */
static char **
clean_environment(void)
{
	static const char *const ours[] = {
		"NOTIFY_SOCKET=", "WATCHDOG_", "LISTEN_", "CREDENTIALS_DIRECTORY=",
	};
	size_t n = 0, kept = 0;
	char **env;

	while (environ[n] != NULL)
		n++;
	env = calloc(n + 1, sizeof(*env));
	for (size_t i = 0; env != NULL && i < n; i++) {
		bool drop = false;

		for (size_t k = 0; k < nitems(ours); k++)
			drop |= strncmp(environ[i], ours[k], strlen(ours[k])) == 0;
		if (!drop)
			env[kept++] = environ[i];
	}
	return env;
}

static int
run(struct spawn *s, char *const *argv, int out)
{
	struct rlimit files = { CHILD_FILES, CHILD_FILES };
	posix_spawn_file_actions_t fa;
	posix_spawnattr_t attr;
	char **env = clean_environment();
	sigset_t all, none;
	int e;

	if (env == NULL)
		return ENOMEM;
	sigfillset(&all);
	sigemptyset(&none);
	posix_spawn_file_actions_init(&fa);
	posix_spawnattr_init(&attr);
	posix_spawn_file_actions_addopen(&fa, 0, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_adddup2(&fa, out, 1);
	posix_spawn_file_actions_addopen(&fa, 2, "/dev/null", O_WRONLY, 0);
	posix_spawn_file_actions_addclosefrom_np(&fa, 3);
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGDEF |
	    POSIX_SPAWN_SETSIGMASK);
	posix_spawnattr_setsigdefault(&attr, &all);
	posix_spawnattr_setsigmask(&attr, &none);
	e = posix_spawn(&s->pid, argv[0], &fa, &attr, argv, env);
	posix_spawnattr_destroy(&attr);
	posix_spawn_file_actions_destroy(&fa);
	free(env);
	if (e == 0)
		prlimit(s->pid, RLIMIT_NOFILE, &files, NULL);
	return e;
}

static int
watch(struct spawn *s, int64_t max_ms)
{
	s->pidfd = pidfd_open(s->pid, 0);
	if (s->pidfd < 0)
		return -errno;
	s->exited = event_new(s->loop->base, s->pidfd, EV_READ | EV_PERSIST, on_exit_, s);
	s->readable = event_new(s->loop->base, s->pipe, EV_READ | EV_PERSIST, on_readable, s);
	if (s->exited == NULL || s->readable == NULL || event_add(s->exited, NULL) < 0 ||
	    event_add(s->readable, NULL) < 0)
		return -ENOMEM;
	timer_set(&s->timer, max_ms);
	return 0;
}

static int
begin(struct spawn *s, char *const *argv, int64_t max_ms)
{
	int fds[2], e;

	if (pipe2(fds, O_CLOEXEC) < 0)
		return -errno;
	s->pipe = fds[0];
	fcntl(fds[0], F_SETFL, O_NONBLOCK);
	e = run(s, argv, fds[1]);
	close(fds[1]);
	if (e != 0) {
		s->pid = 0;
		return -e;
	}
	e = watch(s, max_ms);
	if (e < 0) {
		kill_group(s);
		waitpid(s->pid, NULL, WNOHANG);
	}
	return e;
}

struct spawn *
spawn_start(struct loop *loop, char *const *argv, size_t max_out, int64_t max_ms,
    spawn_done done, void *arg)
{
	struct spawn *s = calloc(1, sizeof(*s));
	int e;

	if (s == NULL)
		return NULL;
	*s = (struct spawn){ .loop = loop, .pidfd = -1, .pipe = -1, .max_out = max_out,
	    .done = done, .arg = arg };
	s->reply.out = BUF_SECRET(max_out);
	timer_init(&s->timer, loop, on_time, s);
	e = begin(s, argv, max_ms);
	if (e < 0) {
		snprintf(s->reply.why, sizeof(s->reply.why), "it could not be started: %s",
		    strerror(-e));
		s->reply.status = -1;
		loop_defer(loop, finish, s);
	}
	return s;
}

void
spawn_cancel(struct spawn *s)
{
	if (s == NULL)
		return;
	s->done = NULL;
	give_up(s, "cancelled");	/* it is reaped, and s freed, when it has ended */
}
