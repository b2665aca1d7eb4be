#include <stdio.h>

#include "config_same.h"
#include "credential.h"
#include "doctor.h"
#include "log.h"
#include "login.h"
#include "service.h"

#define RELOADED	"the config was reloaded meanwhile"

/* A credential and its logins, kept while an upstream uses it or something of it still runs. */
struct keeper {
	LIST_ENTRY(keeper) entry;
	struct service	*service;
	struct credential *credential;
	struct login	*login;		/* NULL but with auth oauth */
	struct generation *g;		/* what `config` belongs to */
	const struct config_upstream *config;
	unsigned	 users;
};

/* An upstream, of now or retired. */
struct member {
	LIST_ENTRY(member) entry;
	struct service	*service;
	struct upstream	*upstream;
	struct generation *g;
	struct keeper	*keeper;	/* NULL: auth none */
	bool		 retired;
};

/*
 * Every client may need a link.  What the descriptor limit does not hold is
 * taken from the clients, but at least half of it is theirs.
 */
static void
cap_clients(const struct service *s, struct config *c)
{
	uint64_t usable, links, cap;

	usable = s->descriptors >= 2 * (FD_RESERVE + FRONT_REFUSED) ?
	    s->descriptors - FD_RESERVE - FRONT_REFUSED : FD_RESERVE;
	links = c->nupstreams * (c->limits.links + LINKS_RESERVED + c->limits.streams);
	cap = usable - MIN(links, usable / 2);
	if (cap >= c->limits.clients)
		return;
	log_warn(NULL, "limits", "clients: %llu instead of %llu, as the descriptor limit is %lu",
	    (unsigned long long)cap, (unsigned long long)c->limits.clients, s->descriptors);
	c->limits.clients = cap;
}

/* An allocation of a few bytes that a half-made change cannot do without. */
static void *
grab(void *p)
{
	if (p != NULL)
		return p;
	log_err(NULL, "memory", "out of memory");
	abort();
}

/* --- credentials --- */

static void
keeper_free(struct keeper *k)
{
	LIST_REMOVE(k, entry);
	login_free(k->login);
	credential_free(k->credential);
	generation_drop(k->g);
	free(k);
}

static void
on_unused(void *arg)
{
	struct keeper *k = arg;

	if (k->users == 0 && !k->service->draining)
		keeper_free(k);
}

static void
keeper_leave(struct keeper *k)
{
	if (k != NULL && --k->users == 0)
		credential_release(k->credential, on_unused, k);
}

static struct keeper *
keeper_find(const struct service *s, const struct config_upstream *c)
{
	struct keeper *k;

	LIST_FOREACH(k, &s->keepers, entry)
		if (k->config->auth == c->auth && strcmp(k->config->name, c->name) == 0 &&
		    strcmp(k->config->url.text, c->url.text) == 0)
			return k;
	return NULL;
}

/* A reload was asked for because somebody mended something. */
static void
keeper_renew(struct keeper *k, struct generation *g, const struct config_upstream *c)
{
	if (c->auth == CONFIG_OAUTH) {
		credential_configure(k->credential, c);
		login_configure(k->login, c, &g->config);
		generation_drop(k->g);
		k->g = generation_hold(g);
		k->config = c;
	}
	credential_forgive(k->credential);
}

/* The one of that name and URL, also if it was about to go.  A bearer is stateless: another entry, another one. */
static struct keeper *
keeper_take(struct service *s, struct generation *g, const struct config_upstream *c)
{
	struct keeper *k;

	if (c->auth == CONFIG_NONE)
		return NULL;
	k = c->auth == CONFIG_OAUTH ? keeper_find(s, c) : NULL;
	if (k != NULL) {
		keeper_renew(k, g, c);
		if (k->users == 0)
			credential_release(k->credential, NULL, NULL);
		credential_reread(k->credential);
	} else {
		k = grab(calloc(1, sizeof(*k)));
		k->service = s;
		k->credential = grab(credential_new(s->loop, s->store, s->connector, c));
		if (c->auth == CONFIG_OAUTH)
			k->login = grab(login_new(s->loop, s->connector, s->store, k->credential, c,
			    &g->config));
		k->g = generation_hold(g);
		k->config = c;
		LIST_INSERT_HEAD(&s->keepers, k, entry);
	}
	k->users++;
	return k;
}

/* --- upstreams --- */

static void
member_free(struct member *m)
{
	LIST_REMOVE(m, entry);
	loop_undefer(m->service->loop, m);
	upstream_free(m->upstream);
	generation_drop(m->g);
	free(m);
}

/* A retired one whose last exchange has settled. */
static void
on_left(void *arg)
{
	struct member *m = arg;
	struct keeper *k = m->keeper;

	if (m->upstream->active > 0)
		return;
	log_debug(m->upstream->config->name, "reload", "the last exchange under the old config is over");
	member_free(m);
	keeper_leave(k);
}

static struct member *
member_named(const struct service *s, const char *name)
{
	struct member *m;

	LIST_FOREACH(m, &s->members, entry)
		if (!m->retired && strcmp(m->upstream->config->name, name) == 0)
			return m;
	return NULL;
}

static struct member *
member_new(struct service *s, struct generation *g, const struct config_upstream *c)
{
	struct member *m = grab(calloc(1, sizeof(*m)));

	m->service = s;
	m->upstream = grab(upstream_new(s->loop, s->connector, &g->config, c));
	m->g = generation_hold(g);
	m->keeper = keeper_take(s, g, c);
	if (m->keeper != NULL) {
		m->upstream->credential = m->keeper->credential;
		m->upstream->login = m->keeper->login;
	}
	return m;
}

static void
member_keep(struct member *m, struct generation *g, const struct config_upstream *c)
{
	doctor_end(m->upstream, RELOADED);
	upstream_configure(m->upstream, &g->config, c);
	generation_drop(m->g);
	m->g = generation_hold(g);
	if (m->keeper != NULL)
		keeper_renew(m->keeper, g, c);
}

/* Sessions go on at the same origin, whoever owns them. */
static void
inherit(struct upstream *heir, struct upstream *from)
{
	struct sessions *fresh = heir->sessions;

	heir->exchanges += from->exchanges;
	if (!url_same_origin(&heir->config->url, &from->config->url))
		return;
	heir->sessions = from->sessions;
	from->sessions = fresh;
}

static void
member_retire(struct member *m, struct upstream *heir)
{
	struct service *s = m->service;

	log_info(m->upstream->config->name, "reload", "%s; %u exchanges finish under the old config",
	    heir != NULL ? "changed" : "removed", m->upstream->active);
	m->retired = true;
	doctor_end(m->upstream, RELOADED);
	if (heir != NULL)
		inherit(heir, m->upstream);
	front_http_redirect(s->front, m->upstream, heir);
	m->upstream->left = on_left;
	m->upstream->left_arg = m;
	if (m->upstream->active == 0)
		loop_defer(s->loop, on_left, m);
}

/* What is served under g, in its order; new ones are made.  The others are still members. */
static struct upstream **
make_upstreams(struct service *s, struct generation *g)
{
	struct upstream **array = grab(calloc(g->config.nupstreams, sizeof(*array)));
	const struct config_upstream *c;
	struct member *m;
	size_t i;

	for (i = 0; i < g->config.nupstreams; i++) {
		c = &g->config.upstreams[i];
		m = member_named(s, c->name);
		if (m != NULL && config_upstream_same(m->upstream->config, c)) {
			member_keep(m, g, c);
		} else {
			if (m == NULL && s->now != NULL)
				log_info(c->name, "reload", "added");
			m = member_new(s, g, c);
			LIST_INSERT_HEAD(&s->members, m, entry);
		}
		array[i] = m->upstream;
	}
	return array;
}

static struct upstream *
find_upstream(const struct front *f, const char *name)
{
	for (size_t i = 0; i < f->nupstreams; i++)
		if (strcmp(f->upstreams[i]->config->name, name) == 0)
			return f->upstreams[i];
	return NULL;
}

/* After `mcp-authctl store migrate` the config may say what is in use already. */
static bool
same_store(const struct service *s, const struct config *was, const struct config *is)
{
	static const char *const names[] = {
		[CONFIG_STORE_AUTO] = "auto", [CONFIG_STORE_FILE] = "file",
		[CONFIG_STORE_ENCRYPTED] = "encrypted", [CONFIG_STORE_KEYRING] = "keyring"
	};

	return config_same(was, is, "store.path") && config_same(was, is, "store.key") &&
	    config_same(was, is, "store.allowNetworkFs") &&
	    (was->store.backend == is->store.backend ||
	    strcmp(names[is->store.backend], store_backend(s->store)) == 0);
}

bool
service_apply(struct service *s, struct generation *g, char *why, size_t size)
{
	struct member *m;

	if (s->now != NULL && !same_store(s, &s->now->config, &g->config)) {
		snprintf(why, size, "\"store\" was changed: that needs a restart, not a reload");
		return false;
	}
	cap_clients(s, &g->config);
	s->entrances.front = s->front;
	s->entrances.runtime = s->runtime;
	if (!entrances_prepare(&s->entrances, g, why, size))
		return false;
	/* From here on nothing fails. */
	free(s->front->upstreams);
	s->front->upstreams = make_upstreams(s, g);
	s->front->nupstreams = g->config.nupstreams;
	s->front->config = &g->config;
	s->front->allowed = g->users;
	s->front->nallowed = g->nusers;
	entrances_settle(&s->entrances);
	LIST_FOREACH(m, &s->members, entry)
		if (!m->retired && m->g != g)
			member_retire(m, find_upstream(s->front, m->upstream->config->name));
	generation_drop(s->now);
	s->now = g;
	return true;
}

void
service_words(struct service *s, char *out, size_t size)
{
	size_t in = 0, keepers = 0;
	struct member *m;

	LIST_FOREACH(m, &s->members, entry) {
		if (m->retired || m->keeper == NULL)
			continue;
		keepers++;
		in += credential_logged_in(m->keeper->credential);
	}
	snprintf(out, size, "%zu upstream%s", s->front->nupstreams,
	    s->front->nupstreams == 1 ? "" : "s");
	if (keepers > 0)
		snprintf(out + strlen(out), size - strlen(out), ", %zu logged in", in);
	snprintf(out + strlen(out), size - strlen(out), ", %u client%s", s->front->clients,
	    s->front->clients == 1 ? "" : "s");
}

/* --- the end --- */

static void
on_drained(void *arg)
{
	struct service *s = arg;

	s->undrained--;
}

bool
service_hand_over(struct service *s)
{
	return entrances_drain(&s->entrances);
}

void
service_drain(struct service *s)
{
	struct member *m;
	struct keeper *k;

	s->draining = true;
	front_http_drain(s->front);
	LIST_FOREACH(m, &s->members, entry) {
		doctor_end(m->upstream, "the daemon is stopping");
		relay_drain(m->upstream);
	}
	LIST_FOREACH(k, &s->keepers, entry) {
		s->undrained++;
		credential_drain(k->credential, on_drained, s);
		if (k->login == NULL)
			continue;
		s->undrained++;
		login_drain(k->login, on_drained, s);
	}
}

bool
service_quiet(const struct service *s)
{
	const struct member *m;

	LIST_FOREACH(m, &s->members, entry)
		if (m->upstream->active > 0)
			return false;
	return s->undrained == 0;
}

void
service_free(struct service *s)
{
	struct member *m;
	struct keeper *k;

	entrances_close(&s->entrances);
	while ((m = LIST_FIRST(&s->members)) != NULL)
		member_free(m);
	while ((k = LIST_FIRST(&s->keepers)) != NULL)
		keeper_free(k);
	if (s->front != NULL)
		free(s->front->upstreams);
	generation_drop(s->now);
}
