#include <limits.h>
#include <stdio.h>

#include "entrance.h"
#include "log.h"

struct entrance {
	LIST_ENTRY(entrance) entry;
	struct entrances *all;
	char		*path;		/* as listener_open() takes it */
	struct upstream	*upstream;	/* NULL: the shared socket */
	struct listener	*listener;
	struct listener_access access;
	/* between prepare and settle */
	bool		 wanted;
	bool		 fresh;		/* opened by this prepare */
	struct listener_access before;
	char		*name;		/* of the upstream to come; NULL: shared */
};

static void
accept_client(void *arg, int fd)
{
	struct entrance *e = arg;

	front_http_open(e->all->front, e->upstream, fd);
}

static void
entrance_free(struct entrance *e)
{
	LIST_REMOVE(e, entry);
	listener_close(e->listener);
	free(e->path);
	free(e->name);
	free(e);
}

static struct entrance *
entrance_at(const struct entrances *all, const char *path)
{
	struct entrance *e;

	LIST_FOREACH(e, &all->list, entry)
		if (strcmp(e->path, path) == 0)
			return e;
	return NULL;
}

static bool
same_access(const struct listener_access *a, const struct listener_access *b)
{
	return a->mode == b->mode && a->group == b->group;
}

static struct entrance *
entrance_new(struct entrances *all, const char *path, const struct listener_access *a, char *why,
    size_t size)
{
	struct entrance *e = calloc(1, sizeof(*e));

	if (e == NULL || (e->path = strdup(path)) == NULL) {
		free(e);
		snprintf(why, size, "out of memory");
		return NULL;
	}
	e->all = all;
	e->fresh = true;
	e->access = e->before = *a;
	LIST_INSERT_HEAD(&all->list, e, entry);
	e->listener = listener_open(all->front->loop, all->runtime, path, a, accept_client, e, why,
	    size);
	if (e->listener != NULL)
		return e;
	entrance_free(e);
	return NULL;
}

/* `name` NULL: the shared socket. */
static bool
want(struct entrances *all, const char *path, const char *name, const struct listener_access *a,
    char *why, size_t size)
{
	struct entrance *e = entrance_at(all, path);

	if (e == NULL && (e = entrance_new(all, path, a, why, size)) == NULL)
		return false;
	e->wanted = true;
	if (!same_access(&e->access, a)) {
		e->access = *a;
		if (!listener_set_access(e->listener, all->runtime, path, a, why, size))
			return false;
	}
	if (name == NULL || (e->name = strdup(name)) != NULL)
		return true;
	snprintf(why, size, "out of memory");
	return false;
}

const char *
entrance_path(const struct config_upstream *c, char *out)
{
	if (c->no_listen)
		return NULL;
	if (c->listen != NULL)
		return c->listen;
	snprintf(out, NAME_MAX, "%s/mcp.sock", c->name);
	return out;
}

static bool
want_all(struct entrances *all, const struct generation *g, char *why, size_t size)
{
	struct listener_access a = { .mode = g->config.socket.mode, .group = g->group };
	const struct config_upstream *c;
	char buf[NAME_MAX];
	const char *path;

	for (c = g->config.upstreams; c < g->config.upstreams + g->config.nupstreams; c++) {
		path = entrance_path(c, buf);
		if (path != NULL && !want(all, path, c->name, &a, why, size))
			return false;
	}
	return want(all, SOCKET_SHARED, NULL, &a, why, size);
}

static void
undo(struct entrances *all)
{
	struct entrance *e, *next;
	char why[512];

	for (e = LIST_FIRST(&all->list); e != NULL; e = next) {
		next = LIST_NEXT(e, entry);
		if (e->fresh) {
			entrance_free(e);
			continue;
		}
		if (!same_access(&e->access, &e->before) && !listener_set_access(e->listener,
		    all->runtime, e->path, &e->before, why, sizeof(why)))
			log_err(NULL, "listen", "%s", why);
		e->access = e->before;
	}
}

bool
entrances_prepare(struct entrances *all, const struct generation *g, char *why, size_t size)
{
	struct entrance *e;

	LIST_FOREACH(e, &all->list, entry) {
		e->wanted = e->fresh = false;
		e->before = e->access;
		free(e->name);
		e->name = NULL;
	}
	if (want_all(all, g, why, size))
		return true;
	undo(all);
	return false;
}

static struct upstream *
upstream_named(const struct front *front, const char *name)
{
	for (size_t i = 0; i < front->nupstreams; i++)
		if (strcmp(front->upstreams[i]->config->name, name) == 0)
			return front->upstreams[i];
	abort();	/* the config wants a socket for it */
}

void
entrances_settle(struct entrances *all)
{
	struct entrance *e, *next;

	for (e = LIST_FIRST(&all->list); e != NULL; e = next) {
		next = LIST_NEXT(e, entry);
		if (!e->wanted) {
			entrance_free(e);
			continue;
		}
		e->upstream = e->name != NULL ? upstream_named(all->front, e->name) : NULL;
	}
}

bool
entrances_drain(struct entrances *all)
{
	struct entrance *e;
	bool held = false;

	LIST_FOREACH(e, &all->list, entry)
		held |= listener_drain(e->listener);
	return held;
}

void
entrances_close(struct entrances *all)
{
	struct entrance *e;

	while ((e = LIST_FIRST(&all->list)) != NULL)
		entrance_free(e);
}
