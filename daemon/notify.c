#include <sys/socket.h>
#include <sys/un.h>

#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include <systemd/sd-daemon.h>

#include "log.h"
#include "notify.h"

#define RETRY		100		/* ms; while the manager takes nothing */
#define STATUS_EVERY	(1 * SEC)
#define WAITING_MAX	1024		/* messages; two for each of 512 sockets */
#define FAULT_BYTES	512
#define NAME_BYTES	255		/* of a stored descriptor, FDNAME_MAX of systemd */

struct message {
	STAILQ_ENTRY(message) entry;
	int		 fd;		/* -1: none */
	char		 text[];
};

static struct {
	struct loop	*loop;
	void		(*words)(void *arg, char *out);
	void		*arg;
	struct sockaddr_un to;
	socklen_t	 tolen;
	int		 fd;		/* -1: nobody to tell */
	bool		 ready, stopping;
	bool		 failed;	/* and said so */
	char		 fault[FAULT_BYTES];	/* of the last reload; "": none */
	char		 told[NOTIFY_WORDS + FAULT_BYTES + 32];	/* the latest STATUS */
	int64_t		 told_at;	/* boot ms */
	int64_t		 beat;		/* ms between two WATCHDOG=1; 0: none wanted */
	struct timer	 watchdog, status, retry;
	STAILQ_HEAD(, message) waiting;
	unsigned	 nwaiting;
} manager = { .fd = -1 };

/* 0, -EAGAIN: no room, or -errno, said once. */
static int
deliver(const char *text, int fd)
{
	struct iovec iov = { .iov_base = (char *)text, .iov_len = strlen(text) };
	union { struct cmsghdr align; char space[CMSG_SPACE(sizeof(int))]; } control = { 0 };
	struct msghdr msg = {
		.msg_name = &manager.to, .msg_namelen = manager.tolen,
		.msg_iov = &iov, .msg_iovlen = 1,
	};
	struct cmsghdr *c;

	if (fd != -1) {
		msg.msg_control = &control;
		msg.msg_controllen = sizeof(control);
		c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(c), &fd, sizeof(int));
	}
	if (sendmsg(manager.fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL) != -1) {
		manager.failed = false;
		return 0;
	}
	if (errno == EAGAIN || errno == ENOBUFS || errno == EINTR)
		return -EAGAIN;
	if (!manager.failed)
		log_warn(NULL, "notify", "the service manager cannot be told: %s", strerror(errno));
	manager.failed = true;
	return -errno;
}

static void
message_free(struct message *m)
{
	if (m->fd != -1)
		close(m->fd);
	free(m);
}

static void
flush(_unused_ void *arg)
{
	struct message *m;

	while ((m = STAILQ_FIRST(&manager.waiting)) != NULL) {
		if (deliver(m->text, m->fd) == -EAGAIN) {
			timer_set(&manager.retry, RETRY);
			return;
		}
		STAILQ_REMOVE_HEAD(&manager.waiting, entry);
		manager.nwaiting--;
		message_free(m);
	}
}

/* What must arrive, in this order. */
static void
tell(const char *text, int fd)
{
	struct message *m;
	size_t n = strlen(text) + 1;

	if (manager.nwaiting == 0 && deliver(text, fd) != -EAGAIN)
		return;
	m = manager.nwaiting < WAITING_MAX ? malloc(sizeof(*m) + n) : NULL;
	if (m == NULL) {
		log_warn(NULL, "notify", "the service manager takes nothing; a message is lost");
		return;
	}
	m->fd = fd != -1 ? fcntl(fd, F_DUPFD_CLOEXEC, 0) : -1;
	memcpy(m->text, text, n);
	STAILQ_INSERT_TAIL(&manager.waiting, m, entry);
	if (manager.nwaiting++ == 0)
		timer_set(&manager.retry, RETRY);
}

/* STATUS= is one line. */
static void
one_line(char *s)
{
	for (; *s != '\0'; s++)
		if ((unsigned char)*s < 0x20 || *s == 0x7f)
			*s = ' ';
}

/* The state of now; false: as it was told. */
static bool
look(void)
{
	char words[NOTIFY_WORDS] = "", now[sizeof(manager.told)];

	manager.words(manager.arg, words);
	snprintf(now, sizeof(now), "%s%s%s", words, manager.fault[0] != '\0' ?
	    "; the last reload failed: " : "", manager.fault);
	one_line(now);
	if (strcmp(now, manager.told) == 0)
		return false;
	memcpy(manager.told, now, sizeof(now));
	return true;
}

static void
tell_state(const char *state)
{
	char text[sizeof(manager.told) + 64];

	snprintf(text, sizeof(text), "%sSTATUS=%s", state, manager.told);
	manager.told_at = loop_now(manager.loop).boot;
	tell(text, -1);
}

static void
status_due(_unused_ void *arg)
{
	if (manager.stopping)
		return;
	if (manager.nwaiting > 0)
		timer_set(&manager.status, STATUS_EVERY);
	else if (look())
		tell_state("");
}

/* That this runs is the health that it tells of: no turn of the loop hangs. */
static void
beat(_unused_ void *arg)
{
	timer_set(&manager.watchdog, manager.beat);
	if (manager.nwaiting == 0)
		(void)deliver("WATCHDOG=1", -1);
	notify_changed();
}

/* $NOTIFY_SOCKET: a path, or @ and an abstract name. */
static bool
find_manager(void)
{
	const char *path = getenv("NOTIFY_SOCKET");
	size_t n = path != NULL ? strlen(path) : 0;

	if (n == 0)
		return false;
	if ((path[0] != '/' && path[0] != '@') || n < 2 || n >= sizeof(manager.to.sun_path)) {
		log_warn(NULL, "notify", "NOTIFY_SOCKET is neither a path nor an abstract socket");
		return false;
	}
	manager.to.sun_family = AF_UNIX;
	memcpy(manager.to.sun_path, path, n + 1);
	if (path[0] == '@')
		manager.to.sun_path[0] = '\0';
	manager.tolen = offsetof(struct sockaddr_un, sun_path) + n + (path[0] == '/');
	return true;
}

void
notify_open(struct loop *loop, void (*words)(void *arg, char *out), void *arg)
{
	uint64_t usec = 0;

	manager.loop = loop;
	manager.words = words;
	manager.arg = arg;
	STAILQ_INIT(&manager.waiting);
	if (!find_manager())
		return;
	manager.fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (manager.fd == -1) {
		log_err(NULL, "notify", "the service manager cannot be told: %s", strerror(errno));
		return;
	}
	timer_init(&manager.watchdog, loop, beat, NULL);
	timer_init(&manager.status, loop, status_due, NULL);
	timer_init(&manager.retry, loop, flush, NULL);
	if (sd_watchdog_enabled(0, &usec) <= 0)
		return;
	manager.beat = MAX(usec / 2000, 1);
	timer_set(&manager.watchdog, manager.beat);
}

void
notify_close(void)
{
	struct message *m;

	if (manager.fd == -1)
		return;
	flush(NULL);
	while ((m = STAILQ_FIRST(&manager.waiting)) != NULL) {
		STAILQ_REMOVE_HEAD(&manager.waiting, entry);
		message_free(m);
	}
	timer_clear(&manager.watchdog);
	timer_clear(&manager.status);
	timer_clear(&manager.retry);
	close(manager.fd);
	memset(&manager, 0, sizeof(manager));
	manager.fd = -1;
}

void
notify_ready(void)
{
	if (manager.fd == -1)
		return;
	manager.ready = true;
	(void)look();
	tell_state("READY=1\n");
}

void
notify_reloading(void)
{
	struct timespec ts;
	char text[64];

	if (manager.fd == -1 || manager.stopping)
		return;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	snprintf(text, sizeof(text), "RELOADING=1\nMONOTONIC_USEC=%lld",
	    ts.tv_sec * 1000000LL + ts.tv_nsec / 1000);
	tell(text, -1);
}

void
notify_reloaded(const char *why)
{
	if (manager.fd == -1 || manager.stopping)
		return;
	snprintf(manager.fault, sizeof(manager.fault), "%s", why != NULL ? why : "");
	notify_ready();
}

void
notify_stopping(const char *words)
{
	if (manager.fd == -1 || manager.stopping)
		return;
	manager.stopping = true;
	snprintf(manager.told, sizeof(manager.told), "%s", words);
	tell_state("STOPPING=1\n");
}

void
notify_changed(void)
{
	int64_t since;

	if (manager.fd == -1 || !manager.ready || manager.stopping || manager.status.at != 0)
		return;
	since = loop_now(manager.loop).boot - manager.told_at;
	timer_set(&manager.status, MAX(STATUS_EVERY - since, 0));
}

/* sd_notify(3): ASCII, no control character, no colon. */
static bool
name_valid(const char *name)
{
	const char *p;

	for (p = name; *p != '\0'; p++)
		if (*p < ' ' || *p >= 127 || *p == ':')
			return false;
	return p > name && p - name <= NAME_BYTES;
}

bool
notify_keep(const char *name, int fd)
{
	char text[NAME_BYTES + 32];

	if (manager.fd == -1 || !name_valid(name))
		return false;
	snprintf(text, sizeof(text), "FDSTORE=1\nFDNAME=%s", name);
	tell(text, fd);
	return true;
}

void
notify_drop(const char *name)
{
	char text[NAME_BYTES + 32];

	if (manager.fd == -1 || !name_valid(name))
		return;
	snprintf(text, sizeof(text), "FDSTOREREMOVE=1\nFDNAME=%s", name);
	tell(text, -1);
}
