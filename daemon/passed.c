#include <sys/socket.h>
#include <sys/un.h>

#include <limits.h>
#include <stddef.h>
#include <stdio.h>
#include <unistd.h>

#include <systemd/sd-daemon.h>

#include "log.h"
#include "notify.h"
#include "passed.h"

/* Abstract sockets have no permissions. */
static bool
usable(int fd)
{
	struct sockaddr_un addr = { 0 };
	socklen_t n = sizeof(addr);

	return sd_is_socket_unix(fd, SOCK_STREAM, 1, NULL, 0) > 0 &&
	    getsockname(fd, (struct sockaddr *)&addr, &n) == 0 &&
	    n > offsetof(struct sockaddr_un, sun_path) && addr.sun_path[0] == '/';
}

/* Where one of that name belongs, as listener_open() takes it; NULL: nowhere. */
static const char *
path_of(const struct config *c, const char *name, char *buf)
{
	const struct config_upstream *u;

	if (strcmp(name, "shared") == 0)
		return SOCKET_SHARED;
	if (strcmp(name, "control") == 0)
		return SOCKET_CONTROL;
	for (u = c->upstreams; u < c->upstreams + c->nupstreams; u++)
		if (strcmp(u->name, name) == 0)
			return entrance_path(u, buf);
	return NULL;
}

static bool
wanted(const struct config *c, const char *path)
{
	const struct config_upstream *u;
	const char *p;
	char buf[NAME_MAX];

	if (strcmp(path, SOCKET_SHARED) == 0 || strcmp(path, SOCKET_CONTROL) == 0)
		return true;
	for (u = c->upstreams; u < c->upstreams + c->nupstreams; u++)
		if ((p = entrance_path(u, buf)) != NULL && strcmp(p, path) == 0)
			return true;
	return false;
}

/* What nobody wants any more is forgotten by the manager, too. */
static void
take_kept(struct runtime *r, const struct config *c, int fd, const char *name)
{
	const char *path = name + strlen(SOCKET_KEPT);

	if (usable(fd) && wanted(c, path) && !runtime_has(r, path)) {
		runtime_give(r, path, fd, true);
		return;
	}
	log_info(NULL, "listen", "%s was kept over the restart and is not needed any more", path);
	notify_drop(name);
	close(fd);
}

static void
take(struct runtime *r, const struct config *c, int fd, const char *name)
{
	char buf[NAME_MAX];
	const char *path = path_of(c, name, buf);

	if (strncmp(name, SOCKET_KEPT, strlen(SOCKET_KEPT)) == 0) {
		take_kept(r, c, fd, name);
		return;
	}
	if (path == NULL)
		log_warn(NULL, "listen", "a socket was passed as \"%s\" and closed: FileDescriptorName= "
		    "is shared, control or the name of an upstream that listens", name);
	else if (!usable(fd))
		log_warn(NULL, "listen", "what was passed as \"%s\" is no listening Unix stream socket "
		    "with a path, and was closed", name);
	else if (runtime_has(r, path))
		log_warn(NULL, "listen", "a second socket was passed as \"%s\" and closed", name);
	else {
		runtime_give(r, path, fd, false);
		log_info(NULL, "listen", "the socket \"%s\" was passed by the service manager", name);
		return;
	}
	close(fd);
}

void
passed_take(struct runtime *r, const struct config *c)
{
	char **names = NULL;
	int i, n;

	n = sd_listen_fds_with_names(1, &names);
	if (n < 0)
		log_warn(NULL, "listen", "the sockets that were passed cannot be taken: %s",
		    strerror(-n));
	for (i = 0; i < n; i++) {
		take(r, c, SD_LISTEN_FDS_START + i, names[i]);
		free(names[i]);
	}
	free(names);
}
