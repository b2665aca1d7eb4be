/* mcp-authd: start, run, drain. */
#include <assert.h>
#include <getopt.h>
#include <grp.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include <systemd/sd-daemon.h>

#include "config_file.h"
#include "control.h"
#include "credential.h"
#include "front_http.h"
#include "harden.h"
#include "listen.h"
#include "log.h"
#include "relay.h"
#include "store.h"
#include "upstream.h"

#ifndef VERSION
#define VERSION		"0.1.0"
#endif

#define EXIT_USAGE	2
#define EXIT_CONFIG	78	/* EX_CONFIG, as systemd knows it: no restart helps */
#define DRAIN_TICK	20	/* ms; looking whether all is done, only while draining */
#define DRAIN_FLUSH	(1 * SEC)	/* when nothing runs any more: for the last answers to be read */
#define REFUSED_MAX	64		/* connections beyond the cap, kept only to be told so (front_http.c) */

struct options {
	const char	*config;
	int		 level;		/* -1: as configured */
	bool		 check;
};

/* One listening MCP socket and what it leads to. */
struct entrance {
	struct daemon	*d;
	struct upstream	*upstream;	/* NULL: the shared socket */
};

struct daemon {
	struct options	 opt;
	unsigned long	 descriptors;
	char		 config_path[PATH_MAX];
	struct config	 config;
	bool		 configured;
	struct runtime	*runtime;
	struct loop	*loop;
	struct store	*store;
	struct connector *connector;
	struct front	 front;
	struct control	 control;
	struct entrance	*entrances;
	struct event	*signals[3];

	int64_t		 drain_began;	/* boot ms; 0 = serving */
	int64_t		 quiet_since;	/* boot ms; 0 = exchanges or transactions run */
	size_t		 undrained;	/* credentials that still run */
	struct timer	 tick;
};

static const char usage_text[] =
    "usage: mcp-authd [--config FILE] [--check] [--log-level error|warning|info|debug]\n"
    "       mcp-authd --help | --version\n"
    "\n"
    "Runs in the foreground.  Without --config: ~/.config/mcp-authd/config.json, else\n"
    "/etc/mcp-authd/config.json; conf.d/*.json beside it is merged.  --check only reads\n"
    "the config.\n";

/* Start */

static int
parse_level(const char *word)
{
	static const struct { const char *word; int level; } levels[] = {
		{ "error", LOG_ERR }, { "warning", LOG_WARNING },
		{ "info", LOG_INFO }, { "debug", LOG_DEBUG },
	};
	size_t i;

	for (i = 0; i < nitems(levels); i++)
		if (strcmp(word, levels[i].word) == 0)
			return levels[i].level;
	return -1;
}

/* -1: go on; else the exit code. */
static int
parse_options(struct options *o, int argc, char **argv)
{
	static const struct option longs[] = {
		{ "config", required_argument, NULL, 'c' },
		{ "check", no_argument, NULL, 'n' },
		{ "log-level", required_argument, NULL, 'l' },
		{ "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, 'V' },
		{ NULL, 0, NULL, 0 },
	};
	int c;

	*o = (struct options){ .level = -1 };
	while ((c = getopt_long(argc, argv, "c:nl:hV", longs, NULL)) != -1) {
		switch (c) {
		case 'c':
			o->config = optarg;
			break;
		case 'n':
			o->check = true;
			break;
		case 'l':
			o->level = parse_level(optarg);
			if (o->level != -1)
				break;
			fprintf(stderr, "mcp-authd: --log-level is error, warning, info or debug\n");
			return EXIT_USAGE;
		case 'h':
			fputs(usage_text, stdout);
			return 0;
		case 'V':
			puts("mcp-authd " VERSION);
			return 0;
		default:
			fputs(usage_text, stderr);
			return EXIT_USAGE;
		}
	}
	if (optind == argc)
		return -1;
	fputs(usage_text, stderr);
	return EXIT_USAGE;
}

static void
warned(void *arg, const struct config_error *e)
{
	const struct daemon *d = arg;
	char words[CONFIG_WORDS];

	config_error_words(e, words);
	if (d->opt.check)
		fprintf(stderr, "%s (warning)\n", words);
	else
		log_warn(NULL, "config", "%s", words);
}

/* -1: go on; else the exit code. */
static int
read_config(struct daemon *d)
{
	char dir[PATH_MAX], words[CONFIG_WORDS];
	struct config_error e;

	if (runtime_path(dir, sizeof(dir)) < 0) {
		fprintf(stderr, "mcp-authd: the runtime directory's path is too long\n");
		return EXIT_CONFIG;
	}
	if (config_load(d->opt.config, dir, &d->config, d->config_path, warned, d, &e) < 0) {
		fprintf(stderr, "%s%s\n", d->opt.check ? "" : "mcp-authd: ",
		    config_error_words(&e, words));
		return EXIT_CONFIG;
	}
	d->configured = true;
	if (d->opt.check) {
		printf("%s: ok: %zu upstream%s\n", d->config_path, d->config.nupstreams,
		    d->config.nupstreams == 1 ? "" : "s");
		return 0;
	}
	log_set_level(d->opt.level != -1 ? d->opt.level : d->config.log.level);
	return -1;
}

/*
 * Every client may need a link.  What the descriptor limit does not hold is
 * taken from the clients, but at least half of it is theirs.
 */
static void
cap_clients(struct daemon *d)
{
	uint64_t usable, links, cap;

	usable = d->descriptors > 2 * (FD_RESERVE + REFUSED_MAX) ?
	    d->descriptors - FD_RESERVE - REFUSED_MAX : FD_RESERVE;
	links = d->config.nupstreams *
	    (d->config.limits.links + LINKS_RESERVED + d->config.limits.streams);
	cap = usable - MIN(links, usable / 2);
	if (cap >= d->config.limits.clients)
		return;
	log_warn(NULL, "limits", "clients: %llu instead of %llu, as the descriptor limit is %lu",
	    (unsigned long long)cap, (unsigned long long)d->config.limits.clients, d->descriptors);
	d->config.limits.clients = cap;
}

static bool
open_runtime(struct daemon *d)
{
	char dir[PATH_MAX], why[512];

	if (runtime_path(dir, sizeof(dir)) < 0)
		return false;
	d->runtime = runtime_open(dir, why, sizeof(why));
	if (d->runtime == NULL)
		log_err(NULL, "runtime", "%s", why);
	return d->runtime != NULL;
}

static bool
open_loop(struct daemon *d)
{
	d->loop = loop_new();
	if (d->loop != NULL)
		d->connector = connector_new(d->loop);
	if (d->connector == NULL)
		log_err(NULL, "loop", "the event loop cannot be made: %s", strerror(errno));
	return d->connector != NULL;
}

static bool
open_store(struct daemon *d)
{
	char path[PATH_MAX], why[512];

	if (config_store_path(&d->config, path, sizeof(path), why, sizeof(why)) == 0)
		d->store = store_open(d->loop, path, d->config.store.allow_network_fs, why,
		    sizeof(why));
	if (d->store == NULL)
		log_err(NULL, "store", "%s", why);
	return d->store != NULL;
}

static bool
open_upstreams(struct daemon *d)
{
	const struct config_upstream *c;
	struct upstream *u;
	size_t i;

	d->front.upstreams = calloc(d->config.nupstreams, sizeof(struct upstream *));
	if (d->front.upstreams == NULL)
		return false;
	for (i = 0; i < d->config.nupstreams; i++) {
		c = &d->config.upstreams[i];
		u = upstream_new(d->loop, d->connector, &d->config, c);
		if (u == NULL)
			return false;
		d->front.upstreams[d->front.nupstreams++] = u;
		if (c->auth == CONFIG_NONE)
			continue;
		u->credential = credential_new(d->loop, d->store, d->connector, c);
		if (u->credential == NULL)
			return false;
	}
	return true;
}

/* Sockets */

static void
accept_client(void *arg, int fd)
{
	struct entrance *e = arg;

	front_http_open(&e->d->front, e->upstream, fd);
}

static void
accept_control(void *arg, int fd)
{
	struct daemon *d = arg;

	control_open(&d->control, fd);
}

static bool
listen_on(struct daemon *d, const char *path, const struct listener_access *a,
    void (*accepted)(void *, int), void *arg)
{
	char why[512];

	if (listener_open(d->loop, d->runtime, path, a, accepted, arg, why, sizeof(why)) != NULL)
		return true;
	log_err(NULL, "listen", "%s", why);
	return false;
}

static bool
client_access(const struct config *c, struct listener_access *ret)
{
	const struct group *g;

	*ret = (struct listener_access){ .mode = c->socket.mode, .group = (gid_t)-1 };
	if (c->socket.group == NULL)
		return true;
	g = getgrnam(c->socket.group);
	if (g == NULL) {
		log_err(NULL, "listen", "socket.group: there is no such group");
		return false;
	}
	ret->group = g->gr_gid;
	return true;
}

static bool
open_sockets(struct daemon *d)
{
	static const struct listener_access ours = { .mode = 0600, .group = (gid_t)-1 };
	const struct config_upstream *c;
	struct listener_access a;
	char path[NAME_MAX];
	size_t i;

	if (!client_access(&d->config, &a))
		return false;
	d->entrances = calloc(d->front.nupstreams + 1, sizeof(struct entrance));
	if (d->entrances == NULL)
		return false;
	for (i = 0; i < d->front.nupstreams; i++) {
		c = d->front.upstreams[i]->config;
		d->entrances[i] = (struct entrance){ d, d->front.upstreams[i] };
		snprintf(path, sizeof(path), "%s/mcp.sock", c->name);
		if (!c->no_listen && !listen_on(d, c->listen != NULL ? c->listen : path, &a,
		    accept_client, &d->entrances[i]))
			return false;
	}
	d->entrances[i] = (struct entrance){ d, NULL };
	return listen_on(d, "mcp-authd.sock", &a, accept_client, &d->entrances[i]) &&
	    listen_on(d, "control.sock", &ours, accept_control, d);
}

/* Drain (contract K) */

/* No exchange and no transaction runs. */
static bool
quiet(const struct daemon *d)
{
	size_t i;

	for (i = 0; i < d->front.nupstreams; i++)
		if (d->front.upstreams[i]->active > 0)
			return false;
	return d->undrained == 0;
}

/*
 * Ends when nothing runs and nobody is connected, or soon after nothing runs: a
 * connection that says nothing, or that came only to hear that we are stopping,
 * holds nothing up.
 */
static void
drain_tick(void *arg)
{
	struct daemon *d = arg;
	int64_t now = loop_now(d->loop).boot;

	if (!quiet(d))
		d->quiet_since = 0;
	else if (d->quiet_since == 0)
		d->quiet_since = now;
	if ((d->quiet_since != 0 && (d->front.clients == 0 || now - d->quiet_since >= DRAIN_FLUSH)) ||
	    now - d->drain_began >= DRAIN + TOKEN_WAIT) {
		loop_stop(d->loop);
		return;
	}
	timer_set(&d->tick, DRAIN_TICK);
}

static void
credential_drained(void *arg)
{
	struct daemon *d = arg;

	d->undrained--;
}

static void
begin_drain(struct daemon *d)
{
	struct upstream *u;
	size_t i;

	log_info(NULL, "drain", "stopping; running exchanges have %lld s", DRAIN / SEC);
	sd_notify(0, "STOPPING=1");
	d->drain_began = loop_now(d->loop).boot;
	front_http_drain(&d->front);
	for (i = 0; i < d->front.nupstreams; i++) {
		u = d->front.upstreams[i];
		relay_drain(u);
		if (u->credential == NULL)
			continue;
		d->undrained++;
		credential_drain(u->credential, credential_drained, d);
	}
	timer_set(&d->tick, 0);
}

static void
on_stop(_unused_ evutil_socket_t sig, _unused_ short what, void *arg)
{
	struct daemon *d = arg;

	if (d->drain_began == 0)
		begin_drain(d);
	else
		loop_stop(d->loop);
}

static void
on_hangup(_unused_ evutil_socket_t sig, _unused_ short what, _unused_ void *arg)
{
	log_warn(NULL, "reload", "reload is not in this version; restart to read the config anew");
}

static bool
open_signals(struct daemon *d)
{
	static const struct { int signal; event_callback_fn fn; } wanted[] = {
		{ SIGTERM, on_stop }, { SIGINT, on_stop }, { SIGHUP, on_hangup },
	};
	size_t i;

	static_assert(nitems(wanted) == nitems(d->signals), "one event each");
	for (i = 0; i < nitems(wanted); i++) {
		d->signals[i] = evsignal_new(d->loop->base, wanted[i].signal, wanted[i].fn, d);
		if (d->signals[i] == NULL || event_add(d->signals[i], NULL) == -1)
			return false;
	}
	return true;
}

/* End */

static void
close_upstreams(struct daemon *d)
{
	struct credential *c;
	size_t i;

	for (i = 0; i < d->front.nupstreams; i++) {
		c = d->front.upstreams[i]->credential;
		upstream_free(d->front.upstreams[i]);
		credential_free(c);
	}
	free(d->front.upstreams);
}

/* Whatever of it was opened. */
static void
shut_down(struct daemon *d)
{
	size_t i;

	if (d->loop != NULL) {
		if (d->front.loop != NULL)
			front_http_close_all(&d->front);
		control_close_all(&d->control);
		timer_clear(&d->tick);
		for (i = 0; i < nitems(d->signals); i++)
			if (d->signals[i] != NULL)
				event_free(d->signals[i]);
		/* Stopped before it runs: only settles, so that connections die before what they stand on. */
		loop_stop(d->loop);
		loop_run(d->loop);
	}
	runtime_close(d->runtime);
	close_upstreams(d);
	if (d->store != NULL)
		store_close(d->store);
	if (d->connector != NULL)
		connector_free(d->connector);
	if (d->loop != NULL)
		loop_free(d->loop);
	free(d->entrances);
	if (d->configured)
		config_free(&d->config);
}

static void
set_up_front(struct daemon *d)
{
	d->front.loop = d->loop;
	d->front.config = &d->config;
	d->control.front = &d->front;
	d->control.store = d->store;
	d->control.version = VERSION;
	control_init(&d->control);
	timer_init(&d->tick, d->loop, drain_tick, d);
}

static void
announce(struct daemon *d)
{
	log_info(NULL, "start", "mcp-authd " VERSION ": %zu upstreams, sockets in %s, credentials in %s (%s)",
	    d->front.nupstreams, runtime_dir(d->runtime), store_path(d->store),
	    store_backend(d->store));
	sd_notifyf(0, "READY=1\nSTATUS=%zu upstreams", d->front.nupstreams);
}

static int
run(struct daemon *d, int argc, char **argv)
{
	int rc;

	if ((rc = parse_options(&d->opt, argc, argv)) != -1)
		return rc;
	log_open(d->opt.level != -1 ? d->opt.level : LOG_INFO);
	if ((rc = read_config(d)) != -1)
		return rc;
	cap_clients(d);
	if (!open_runtime(d) || !open_loop(d) || !open_store(d))
		return EXIT_FAILURE;
	set_up_front(d);
	if (!open_upstreams(d) || !open_signals(d)) {
		log_err(NULL, "start", "out of memory");
		return EXIT_FAILURE;
	}
	if (!open_sockets(d))
		return EXIT_FAILURE;
	announce(d);
	loop_run(d->loop);
	log_info(NULL, "stop", "stopped");
	return 0;
}

int
main(int argc, char **argv)
{
	static struct daemon d;
	int rc;

	d.descriptors = harden();
	rc = run(&d, argc, argv);
	shut_down(&d);
	return rc;
}
