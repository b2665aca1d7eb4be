/* mcp-authd: start, run, drain. */
#include <assert.h>
#include <getopt.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "callback.h"
#include "control.h"
#include "harden.h"
#include "log.h"
#include "notify.h"
#include "passed.h"
#include "reload.h"
#include "service.h"
#include "way.h"

#ifndef VERSION
#define VERSION		"0.1.0"
#endif

#define EXIT_USAGE	2
#define EXIT_CONFIG	78	/* EX_CONFIG, as systemd knows it: no restart helps */
#define DRAIN_TICK	20	/* ms; looking whether all is done, only while draining */
#define HAND_OVER	100	/* ms; for the first request of who was accepted just now */
#define DRAIN_FLUSH	(1 * SEC)	/* when nothing runs any more: for the last answers to be read */

struct options {
	const char	*config;
	int		 level;		/* -1: as configured */
	bool		 check;
};

struct daemon {
	struct options	 opt;
	unsigned long	 descriptors;
	char		 config_path[PATH_MAX];
	struct generation *generation;	/* as read at the start, until it is served */
	struct runtime	*runtime;
	struct loop	*loop;
	struct store	*store;
	struct connector *connector;
	struct front	 front;
	struct control	 control;
	struct service	 service;
	struct reload	 reload;
	struct event	*signals[3];

	int64_t		 drain_began;	/* boot ms; 0 = serving */
	int64_t		 quiet_since;	/* boot ms; 0 = exchanges or transactions run */
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
	const struct config *c;
	struct config_error e;

	if (runtime_path(dir, sizeof(dir)) < 0) {
		fprintf(stderr, "mcp-authd: the runtime directory's path is too long\n");
		return EXIT_CONFIG;
	}
	d->generation = generation_read(d->opt.config, dir, d->config_path, warned, d, &e);
	if (d->generation == NULL) {
		fprintf(stderr, "%s%s\n", d->opt.check ? "" : "mcp-authd: ",
		    config_error_words(&e, words));
		return EXIT_CONFIG;
	}
	c = &d->generation->config;
	if (d->opt.check) {
		printf("%s: ok: %zu upstream%s\n", d->config_path, c->nupstreams,
		    c->nupstreams == 1 ? "" : "s");
		return 0;
	}
	log_set_level(d->opt.level != -1 ? d->opt.level : c->log.level);
	return -1;
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

static void
state_words(void *arg, char *out)
{
	struct daemon *d = arg;

	service_words(&d->service, out, NOTIFY_WORDS);
}

static bool
open_loop(struct daemon *d)
{
	d->loop = loop_new();
	if (d->loop != NULL)
		d->connector = connector_new(d->loop);
	if (d->connector == NULL)
		log_err(NULL, "loop", "the event loop cannot be made: %s", strerror(errno));
	else
		notify_open(d->loop, state_words, d);
	return d->connector != NULL;
}

static bool
open_store(struct daemon *d)
{
	char path[PATH_MAX], why[512];

	const struct config *c = &d->generation->config;
	struct store_options o = {
		.backend = c->store.backend,
		.path = path,
		.allow_network_fs = c->store.allow_network_fs,
		.key_file = c->store.key_file,
		.key_is_credential = c->store.key_credential != NULL,
	};
	char *credential = NULL;

	if (o.key_is_credential)
		o.key_file = credential = way_credential(c->store.key_credential);
	if (o.key_is_credential && credential == NULL)	/* without its key `auto` would write in the clear */
		snprintf(why, sizeof(why), "out of memory");
	else if (config_store_path(c, path, sizeof(path), why, sizeof(why)) == 0)
		d->store = store_open(d->loop, &o, why, sizeof(why));
	free(credential);
	if (d->store == NULL)
		log_err(NULL, "store", "%s", why);
	return d->store != NULL;
}

static bool
open_service(struct daemon *d)
{
	char why[512];

	d->service.loop = d->loop;
	d->service.connector = d->connector;
	d->service.store = d->store;
	d->service.runtime = d->runtime;
	d->service.front = &d->front;
	d->service.descriptors = d->descriptors;
	passed_take(d->runtime, &d->generation->config);
	if (!service_apply(&d->service, d->generation, why, sizeof(why))) {
		log_err(NULL, "start", "%s", why);
		return false;
	}
	d->generation = NULL;
	return true;
}

static void
accept_control(void *arg, int fd)
{
	struct daemon *d = arg;

	control_open(&d->control, fd);
}

static bool
open_control(struct daemon *d)
{
	static const struct listener_access ours = { .mode = 0600, .group = (gid_t)-1 };
	char why[512];

	d->control.front = &d->front;
	d->control.store = d->store;
	d->control.reload = &d->reload;
	d->control.version = VERSION;
	d->control.runtime = runtime_dir(d->runtime);
	control_init(&d->control);
	if (listener_open(d->loop, d->runtime, SOCKET_CONTROL, &ours, accept_control, d, why,
	    sizeof(why)) != NULL)
		return true;
	log_err(NULL, "listen", "%s", why);
	return false;
}

/* Drain (contract K) */

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

	if (!d->service.draining)
		service_drain(&d->service);
	if (!service_quiet(&d->service))
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
begin_drain(struct daemon *d)
{
	log_info(NULL, "drain", "stopping; running exchanges have %lld s", DRAIN / SEC);
	notify_stopping("stopping; running exchanges are finished");
	d->drain_began = loop_now(d->loop).boot;
	if (service_hand_over(&d->service)) {
		timer_set(&d->tick, HAND_OVER);
		return;
	}
	service_drain(&d->service);
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
on_hangup(_unused_ evutil_socket_t sig, _unused_ short what, void *arg)
{
	struct daemon *d = arg;

	if (d->drain_began == 0)
		reload_begin(&d->reload, NULL, NULL);
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
		if (d->signals[i] == NULL || event_add(d->signals[i], NULL) == -1) {
			log_err(NULL, "start", "out of memory");
			return false;
		}
	}
	return true;
}

/* End */

/* Whatever of it was opened. */
static void
shut_down(struct daemon *d)
{
	size_t i;

	runtime_leave(d->runtime);
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
	service_free(&d->service);
	callback_leave_all();
	runtime_close(d->runtime);
	notify_close();
	if (d->store != NULL)
		store_close(d->store);
	reload_free(&d->reload);
	if (d->connector != NULL)
		connector_free(d->connector);
	if (d->loop != NULL)
		loop_free(d->loop);
	generation_drop(d->generation);
}

/* Nothing that may fail. */
static void
set_up(struct daemon *d)
{
	d->front.loop = d->loop;
	d->reload.service = &d->service;
	d->reload.worker = store_worker(d->store);
	d->reload.file = d->opt.config;
	d->reload.dir = runtime_dir(d->runtime);
	d->reload.level = d->opt.level;
	reload_init(&d->reload);
	timer_init(&d->tick, d->loop, drain_tick, d);
}

static void
announce(struct daemon *d)
{
	log_info(NULL, "start", "mcp-authd " VERSION ": %zu upstreams, sockets in %s, credentials in %s (%s)",
	    d->front.nupstreams, runtime_dir(d->runtime), store_path(d->store),
	    store_backend(d->store));
	notify_ready();
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
	if (!open_runtime(d) || !open_loop(d) || !open_store(d))
		return EXIT_FAILURE;
	set_up(d);
	if (!open_signals(d) || !open_service(d) || !open_control(d))
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
