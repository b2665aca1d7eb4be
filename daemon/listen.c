#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "listen.h"
#include "log.h"
#include "notify.h"

#define BACKLOG		512	/* a burst of clients at start; beyond it connect() waits or says EAGAIN */
#define ACCEPTS		64	/* in one turn, so that those who are here already get their share */
#define BACKOFF		(1 * SEC)	/* out of descriptors: somebody must leave first */

/* A socket that the service manager passed. */
struct given {
	LIST_ENTRY(given) entry;
	int		 fd;
	bool		 ours;		/* bound by us, before a restart */
	char		 path[];
};

struct runtime {
	char		 path[PATH_MAX];
	int		 dirfd;
	int		 lockfd;
	bool		 leaving;
	LIST_HEAD(, listener) listeners;
	LIST_HEAD(, given) given;
};

struct listener {
	LIST_ENTRY(listener) entry;
	struct loop	*loop;
	struct runtime	*runtime;
	struct given	*given;		/* NULL: bound by us */
	bool		 kept;		/* by the manager, over a restart */
	char		 name[sizeof(SOCKET_KEPT) + sizeof(((struct sockaddr_un *)0)->sun_path)];	/* there */
	struct sockaddr_un addr;
	dev_t		 dev;		/* of the socket that we bound: nothing else is unlinked */
	ino_t		 ino;
	int		 fd;
	bool		 paused;
	struct event	 ev;
	struct timer	 backoff;
	void		(*accepted)(void *arg, int fd);
	void		*arg;
};

static void _printf_(3, 4)
say(char *why, size_t size, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	if (vsnprintf(why, size, fmt, ap) < 0 && size > 0)
		why[0] = '\0';
	va_end(ap);
}

/* The runtime directory */

int
runtime_path(char *out, size_t size)
{
	const char *env;
	int n;

	env = getenv("RUNTIME_DIRECTORY");
	if (env != NULL && env[0] == '/')
		n = snprintf(out, size, "%.*s", (int)strcspn(env, ":"), env);
	else if ((env = getenv("XDG_RUNTIME_DIR")) != NULL && env[0] == '/')
		n = snprintf(out, size, "%s/mcp-authd", env);
	else
		n = snprintf(out, size, "/run/mcp-authd");
	return n < 0 || (size_t)n >= size ? -ENAMETOOLONG : 0;
}

/* Opens a folder that must be ours alone to write in; makes it if it is missing. */
static int
own_dir(int at, const char *name, const char *shown, char *why, size_t size)
{
	struct stat st;
	int fd;

	if (mkdirat(at, name, 0700) == -1 && errno != EEXIST) {
		say(why, size, "%s cannot be made: %s", shown, strerror(errno));
		return -1;
	}
	fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd == -1 || fstat(fd, &st) == -1) {
		say(why, size, "%s cannot be used as a directory: %s", shown, strerror(errno));
		goto fail;
	}
	if (st.st_uid != geteuid()) {
		say(why, size, "%s belongs to uid %u, not to us (uid %u)", shown,
		    (unsigned)st.st_uid, (unsigned)geteuid());
		goto fail;
	}
	if ((st.st_mode & 022) != 0) {
		say(why, size, "%s is writable for others (mode %04o); chmod go-w it", shown,
		    (unsigned)st.st_mode & 07777);
		goto fail;
	}
	return fd;
fail:
	if (fd != -1)
		close(fd);
	return -1;
}

/* Who holds the lock wrote its pid into the file; "?" before it did. */
static void
say_locked(int fd, const char *path, char *why, size_t size)
{
	char pid[16] = "";
	ssize_t n;

	n = pread(fd, pid, sizeof(pid) - 1, 0);
	pid[n > 0 ? n : 0] = '\0';
	pid[strspn(pid, "0123456789")] = '\0';
	say(why, size, "another mcp-authd runs in %s (pid %s); stop it or set another "
	    "runtime directory", path, pid[0] != '\0' ? pid : "?");
}

static bool
take_lock(struct runtime *r, char *why, size_t size)
{
	struct flock whole = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	char pid[16];
	int n;

	r->lockfd = openat(r->dirfd, "lock", O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (r->lockfd == -1) {
		say(why, size, "%s/lock cannot be opened: %s", r->path, strerror(errno));
		return false;
	}
	if (fcntl(r->lockfd, F_OFD_SETLK, &whole) == -1) {
		if (errno == EAGAIN || errno == EACCES)
			say_locked(r->lockfd, r->path, why, size);
		else
			say(why, size, "%s/lock cannot be locked: %s", r->path, strerror(errno));
		return false;
	}
	n = snprintf(pid, sizeof(pid), "%ld\n", (long)getpid());
	if (ftruncate(r->lockfd, 0) == -1 || pwrite(r->lockfd, pid, n, 0) != n)
		log_warn(NULL, "lock", "%s/lock: the pid cannot be written", r->path);
	return true;
}

struct runtime *
runtime_open(const char *path, char *why, size_t size)
{
	struct runtime *r;

	r = calloc(1, sizeof(*r));
	if (r == NULL || strlen(path) >= sizeof(r->path)) {
		say(why, size, "%s", r == NULL ? "out of memory" : "the runtime directory's path is too long");
		free(r);
		return NULL;
	}
	memcpy(r->path, path, strlen(path) + 1);
	r->lockfd = -1;
	LIST_INIT(&r->listeners);
	LIST_INIT(&r->given);
	r->dirfd = own_dir(AT_FDCWD, path, path, why, size);
	if (r->dirfd == -1 || !take_lock(r, why, size)) {
		runtime_close(r);
		return NULL;
	}
	return r;
}

const char *
runtime_dir(const struct runtime *r)
{
	return r->path;
}

/* Sockets that were passed */

static struct given *
given_at(const struct runtime *r, const char *path)
{
	struct given *g;

	LIST_FOREACH(g, &r->given, entry)
		if (strcmp(g->path, path) == 0)
			return g;
	return NULL;
}

static void
given_free(struct given *g)
{
	LIST_REMOVE(g, entry);
	if (g->fd != -1)
		close(g->fd);
	free(g);
}

bool
runtime_has(const struct runtime *r, const char *path)
{
	return given_at(r, path) != NULL;
}

void
runtime_give(struct runtime *r, const char *path, int fd, bool ours)
{
	size_t n = strlen(path) + 1;
	struct given *g = malloc(sizeof(*g) + n);

	if (g == NULL || fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) == -1) {
		log_err(NULL, "listen", "%s: the socket that was passed cannot be used", path);
		free(g);
		close(fd);
		return;
	}
	g->fd = fd;
	g->ours = ours;
	memcpy(g->path, path, n);
	LIST_INSERT_HEAD(&r->given, g, entry);
}

void
runtime_leave(struct runtime *r)
{
	if (r != NULL)
		r->leaving = true;
}

void
runtime_close(struct runtime *r)
{
	struct listener *l;
	struct given *g;

	if (r == NULL)
		return;
	while ((l = LIST_FIRST(&r->listeners)) != NULL)
		listener_close(l);
	while ((g = LIST_FIRST(&r->given)) != NULL)
		given_free(g);
	if (r->dirfd != -1)
		close(r->dirfd);
	if (r->lockfd != -1)
		close(r->lockfd);
	free(r);
}

/* Accepting */

static void
listener_arm(struct listener *l)
{
	if (l->paused || l->backoff.at != 0)
		event_del(&l->ev);
	else if (event_add(&l->ev, NULL) == -1)
		log_err(NULL, "listen", "%s cannot be watched", l->addr.sun_path);
}

static void
backoff_over(void *arg)
{
	listener_arm(arg);
}

static void
back_off(struct listener *l)
{
	log_err(NULL, "accept", "%s: %s; new connections wait", l->addr.sun_path, strerror(errno));
	timer_set(&l->backoff, BACKOFF);
	listener_arm(l);
}

static void
on_connection(_unused_ evutil_socket_t sock, _unused_ short what, void *arg)
{
	struct listener *l = arg;
	int i, fd;

	for (i = 0; i < ACCEPTS && !l->paused; i++) {
		fd = accept4(l->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd != -1) {
			l->accepted(l->arg, fd);
			continue;
		}
		if (errno == EAGAIN)
			return;
		if (errno != EINTR && errno != ECONNABORTED) {
			back_off(l);
			return;
		}
	}
}

/* Binding */

/*
 * Folders on the way to a socket that others may use get the x bits (and the
 * group) that go with its mode: 0660 -> 0710, 0666 -> 0711.  Never less than
 * what is there.
 */
static bool
share_dir(int fd, const struct listener_access *a)
{
	struct stat st;
	mode_t mode;

	if (fstat(fd, &st) == -1)
		return false;
	mode = (st.st_mode & 07777) | ((a->mode & 060) != 0 ? 010 : 0) | ((a->mode & 06) != 0 ? 01 : 0);
	if ((a->mode & 060) != 0 && a->group != (gid_t)-1 && st.st_gid != a->group &&
	    fchown(fd, -1, a->group) == -1)
		return false;
	return mode == (st.st_mode & 07777) || fchmod(fd, mode) == 0;
}

static bool
prepare_folder(struct runtime *r, const char *path, const struct listener_access *a, char *why,
    size_t size)
{
	const char *slash = strchr(path, '/');
	char name[NAME_MAX + 1], shown[PATH_MAX + NAME_MAX + 2];
	bool ok;
	int fd;

	ok = share_dir(r->dirfd, a);
	if (ok && slash != NULL) {
		if ((size_t)(slash - path) >= sizeof(name) || strchr(slash + 1, '/') != NULL) {
			say(why, size, "%s: one sub-folder at most", path);
			return false;
		}
		snprintf(name, sizeof(name), "%.*s", (int)(slash - path), path);
		snprintf(shown, sizeof(shown), "%s/%s", r->path, name);
		fd = own_dir(r->dirfd, name, shown, why, size);
		if (fd == -1)
			return false;
		ok = share_dir(fd, a);
		close(fd);
	}
	if (!ok)
		say(why, size, "%s: group and mode of its folder cannot be set: %s", path,
		    strerror(errno));
	return ok;
}

/* Does somebody listen there?  Only outside the runtime directory, where the lock says nothing. */
static bool
answers(const struct sockaddr_un *addr)
{
	bool live;
	int fd;

	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd == -1)
		return true;
	live = connect(fd, (const struct sockaddr *)addr, sizeof(*addr)) == 0 ||
	    errno != ECONNREFUSED;
	close(fd);
	return live;
}

static bool
clear_stale(const struct sockaddr_un *addr, bool outside, char *why, size_t size)
{
	struct stat st;

	if (lstat(addr->sun_path, &st) == -1) {
		if (errno == ENOENT)
			return true;
		say(why, size, "%s: %s", addr->sun_path, strerror(errno));
		return false;
	}
	if (!S_ISSOCK(st.st_mode) || st.st_uid != geteuid()) {
		say(why, size, "%s is there already and is not a socket of ours; remove it",
		    addr->sun_path);
		return false;
	}
	if (outside && answers(addr)) {
		say(why, size, "%s is in use by another process", addr->sun_path);
		return false;
	}
	if (unlink(addr->sun_path) == -1 && errno != ENOENT) {
		say(why, size, "%s cannot be removed: %s", addr->sun_path, strerror(errno));
		return false;
	}
	return true;
}

static bool
set_address(struct listener *l, const struct runtime *r, const char *path, char *why, size_t size)
{
	int n;

	l->addr.sun_family = AF_UNIX;
	n = snprintf(l->addr.sun_path, sizeof(l->addr.sun_path), "%s%s%s",
	    path[0] == '/' ? "" : r->path, path[0] == '/' ? "" : "/", path);
	if (n > 0 && (size_t)n < sizeof(l->addr.sun_path))
		return true;
	say(why, size, "%s%s%s is too long for a socket: %d bytes of %zu", path[0] == '/' ? "" : r->path,
	    path[0] == '/' ? "" : "/", path, n, sizeof(l->addr.sun_path) - 1);
	return false;
}

static bool
give_access(const struct listener *l, const struct listener_access *a, char *why, size_t size)
{
	const char *path = l->addr.sun_path;

	if ((a->group == (gid_t)-1 || lchown(path, -1, a->group) == 0) &&
	    fchmodat(AT_FDCWD, path, a->mode & 0777, AT_SYMLINK_NOFOLLOW) == 0)
		return true;
	say(why, size, "%s: group and mode cannot be set: %s", path, strerror(errno));
	return false;
}

/* Never wider than 0600 until group and mode are right; a symlink put in its place is not followed. */
static bool
bind_socket(struct listener *l, const struct listener_access *a, char *why, size_t size)
{
	const char *path = l->addr.sun_path;
	struct stat st;
	mode_t old;
	int rc;

	l->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (l->fd == -1) {
		say(why, size, "%s: %s", path, strerror(errno));
		return false;
	}
	old = umask(0177);
	rc = bind(l->fd, (const struct sockaddr *)&l->addr, sizeof(l->addr));
	umask(old);
	if (rc == -1 || lstat(path, &st) == -1) {
		say(why, size, "%s cannot be bound: %s", path, strerror(errno));
		return false;
	}
	l->dev = st.st_dev;
	l->ino = st.st_ino;
	if (!give_access(l, a, why, size))
		return false;
	if (listen(l->fd, BACKLOG) == -1) {
		say(why, size, "%s: %s", path, strerror(errno));
		return false;
	}
	return true;
}

/* One that was kept for us; its file may have gone with the directory meanwhile. */
static bool
take_back(struct listener *l, struct given *g)
{
	struct stat st;

	if (lstat(l->addr.sun_path, &st) == -1 || !S_ISSOCK(st.st_mode) ||
	    st.st_uid != geteuid()) {
		log_warn(NULL, "listen", "%s was kept over the restart, but is not there any more",
		    l->addr.sun_path);
		notify_drop(l->name);
		given_free(g);
		return false;
	}
	l->fd = g->fd;
	l->dev = st.st_dev;
	l->ino = st.st_ino;
	l->kept = true;
	g->fd = -1;
	given_free(g);
	return true;
}

static bool
bind_or_take_back(struct listener *l, const char *path, const struct listener_access *a, char *why,
    size_t size)
{
	struct given *g = given_at(l->runtime, path);
	bool outside = path[0] == '/';

	if (!outside && !prepare_folder(l->runtime, path, a, why, size))
		return false;
	if (g != NULL && take_back(l, g))
		return give_access(l, a, why, size);
	if (!clear_stale(&l->addr, outside, why, size) || !bind_socket(l, a, why, size))
		return false;
	l->kept = notify_keep(l->name, l->fd);
	return true;
}

/* Where it really stands is the manager's affair. */
static bool
use_given(struct listener *l, struct given *g, char *why, size_t size)
{
	socklen_t n = sizeof(l->addr);

	l->given = g;
	l->fd = g->fd;
	if (getsockname(g->fd, (struct sockaddr *)&l->addr, &n) == 0 && n <= sizeof(l->addr))
		return true;
	say(why, size, "%s: the socket that was passed cannot be used: %s", g->path, strerror(errno));
	return false;
}

struct listener *
listener_open(struct loop *loop, struct runtime *r, const char *path,
    const struct listener_access *access, void (*accepted)(void *arg, int fd), void *arg, char *why,
    size_t size)
{
	struct given *g = given_at(r, path);
	struct listener *l;

	l = calloc(1, sizeof(*l));
	if (l == NULL) {
		say(why, size, "out of memory");
		return NULL;
	}
	l->loop = loop;
	l->runtime = r;
	l->fd = -1;
	snprintf(l->name, sizeof(l->name), SOCKET_KEPT "%s", path);
	l->accepted = accepted;
	l->arg = arg;
	timer_init(&l->backoff, loop, backoff_over, l);
	LIST_INSERT_HEAD(&r->listeners, l, entry);
	if (!set_address(l, r, path, why, size) || !(g != NULL && !g->ours ?
	    use_given(l, g, why, size) : bind_or_take_back(l, path, access, why, size))) {
		listener_close(l);
		return NULL;
	}
	event_assign(&l->ev, loop->base, l->fd, EV_READ | EV_PERSIST, on_connection, l);
	event_priority_set(&l->ev, LOOP_NORMAL);
	listener_arm(l);
	return l;
}

bool
listener_set_access(struct listener *l, struct runtime *r, const char *path,
    const struct listener_access *access, char *why, size_t size)
{
	return l->given != NULL ||
	    ((path[0] == '/' || prepare_folder(r, path, access, why, size)) &&
	    give_access(l, access, why, size));
}

void
listener_pause(struct listener *l, bool pause)
{
	if (l->paused == pause)
		return;
	l->paused = pause;
	listener_arm(l);
}

bool
listener_drain(struct listener *l)
{
	bool held = l->given != NULL || l->kept;

	if (held)
		listener_pause(l, true);
	return held;
}

/* Does the socket go with its listener, or does somebody else hold it from now on? */
static bool
ends(const struct listener *l)
{
	return l->given == NULL && !(l->kept && l->runtime->leaving);
}

void
listener_close(struct listener *l)
{
	struct stat st;

	if (l == NULL)
		return;
	LIST_REMOVE(l, entry);
	timer_clear(&l->backoff);
	if (event_initialized(&l->ev))
		event_del(&l->ev);
	if (l->kept && ends(l))
		notify_drop(l->name);
	if (ends(l) && l->ino != 0 && lstat(l->addr.sun_path, &st) == 0 && st.st_dev == l->dev &&
	    st.st_ino == l->ino)
		unlink(l->addr.sun_path);
	if (l->fd != -1 && l->given == NULL)
		close(l->fd);
	free(l);
}
