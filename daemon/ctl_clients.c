/* `mcp-authctl client-config`: what to paste into a client's config. */
#include <limits.h>
#include <stdio.h>
#include <unistd.h>

#include "config_file.h"
#include "ctl.h"
#include "json.h"
#include "snippet.h"

/* Who answers, and what it serves. */
struct served {
	char		 control[PATH_MAX];	/* "": no daemon; the config was read */
	char		 dir[PATH_MAX];		/* of its sockets */
	struct snippet_server *servers;
	size_t		 n;
	struct ctl_reply reply;
};

static void
served_free(struct served *s)
{
	size_t i;

	for (i = 0; i < s->n; i++) {
		free((char *)(uintptr_t)s->servers[i].name);
		free((char *)(uintptr_t)s->servers[i].socket);
	}
	free(s->servers);
	buf_free(&s->reply.body);
}

static bool
add_server(struct served *s, const char *name, const char *socket)
{
	struct snippet_server *v = reallocarray(s->servers, s->n + 1, sizeof(*v));

	if (v == NULL)
		return false;
	s->servers = v;
	v += s->n++;
	v->name = strdup(name);
	v->socket = socket != NULL ? strdup(socket) : NULL;
	return v->name != NULL && (socket == NULL || v->socket != NULL);
}

static enum ctl_exit
no_memory(void)
{
	return ctl_fail(CTL_FAILED, "out of memory");
}

/* --- from the daemon --- */

static void
set_dir(struct served *s, const char *control)
{
	const char *slash = strrchr(control, '/');

	snprintf(s->dir, sizeof(s->dir), "%.*s", slash != NULL ? (int)(slash - control) : 1,
	    slash != NULL ? control : ".");
}

/* The first daemon that answers.  CTL_UNREACHABLE, unsaid: none. */
static enum ctl_exit
ask_daemon(const struct ctl *c, struct served *s)
{
	char paths[2][PATH_MAX], why[CTL_WHY];
	enum ctl_exit rc = CTL_UNREACHABLE;
	int i, n = ctl_control_paths(c, paths);

	for (i = 0; i < n && rc == CTL_UNREACHABLE; i++) {
		rc = ctl_call(paths[i], "GET", "/v1/status", (struct slice){ NULL, 0 }, &s->reply,
		    why);
		if (rc != CTL_OK)
			continue;
		/* Absolute: the client starts elsewhere. */
		if (realpath(paths[i], s->control) == NULL)
			return ctl_fail(CTL_FAILED, "%s: %s", paths[i], strerror(errno));
		set_dir(s, s->control);
	}
	return rc == CTL_FAILED ? ctl_fail(rc, "%s", why) : rc;
}

static enum ctl_exit
read_status(struct served *s)
{
	cJSON *doc = json_parse(s->reply.body.p, s->reply.body.len, NULL);
	enum ctl_exit rc = CTL_OK;
	const cJSON *up;
	const char *name;

	if (s->reply.status != 200 || !cJSON_IsArray(json_member(doc, "upstreams")))
		rc = ctl_fail(CTL_FAILED, "the daemon's answer is not understood; are both of one "
		    "version?");
	cJSON_ArrayForEach(up, json_member(doc, "upstreams")) {
		name = json_string(up, "name");
		if (rc == CTL_OK && name != NULL && !add_server(s, name, json_string(up, "socket")))
			rc = no_memory();
	}
	cJSON_Delete(doc);
	return rc;
}

/* --- from the config --- */

static enum ctl_exit
read_config(const struct ctl *c, struct served *s)
{
	char file[PATH_MAX], words[CONFIG_WORDS], paths[2][PATH_MAX], path[2 * PATH_MAX];
	const struct config_upstream *u;
	struct config_error e;
	struct config config;
	enum ctl_exit rc = CTL_OK;

	ctl_control_paths(c, paths);
	set_dir(s, paths[0]);
	if (config_load(c->config, s->dir, &config, file, NULL, NULL, &e) < 0)
		return ctl_fail(CTL_FAILED, "no daemon answers, and the config cannot be used: %s",
		    config_error_words(&e, words));
	fprintf(stderr, "mcp-authctl: no daemon answers; the names are those of %s\n", file);
	for (u = config.upstreams; u < config.upstreams + config.nupstreams && rc == CTL_OK; u++) {
		snprintf(path, sizeof(path), "%s/%s/mcp.sock", s->dir, u->name);
		if (!add_server(s, u->name, u->no_listen ? NULL : u->listen != NULL ? u->listen :
		    path))
			rc = no_memory();
	}
	config_free(&config);
	return rc;
}

/* --- what is printed --- */

/* "a (deleted)" stands there after an upgrade. */
static const char *
own_path(char out[PATH_MAX])
{
	ssize_t n = readlink("/proc/self/exe", out, PATH_MAX - 1);

	if (n > 0) {
		out[n] = '\0';
		if (access(out, X_OK) == 0)
			return out;
	}
	return "mcp-authctl";
}

/*
 * How `connect` is to find that daemon, spawned by somebody who may give it no
 * environment: by an option, unless it looks there by itself.
 */
static void
choose_option(const struct ctl *c, const struct served *s, struct snippet *ret)
{
	const char *control = s->control[0] != '\0' ? s->control : c->control;
	char user[PATH_MAX];

	snprintf(user, sizeof(user), "/run/user/%u/mcp-authd/control.sock", (unsigned)geteuid());
	if (c->system) {
		ret->option = "--system";
	} else if (control != NULL && strcmp(control, user) != 0 &&
	    strcmp(control, "/run/mcp-authd/control.sock") != 0) {
		ret->option = "--control";
		ret->value = control;
	} else if (c->user) {
		ret->option = "--user";
	}
}

/* Those that this client can be given; others are named. */
static size_t
count_fitting(const struct snippet *s)
{
	const struct snippet_server *v;
	size_t n = 0;

	for (v = s->servers; v < s->servers + s->nservers; v++) {
		if (snippet_fits(s->client, v)) {
			n++;
			continue;
		}
		fprintf(stderr, "mcp-authctl: %s is left out: it has no socket of its own "
		    "(\"listen\": false in the config), which %s needs\n", v->name,
		    s->client->title);
	}
	return n;
}

static enum ctl_exit
print_snippet(const struct snippet *s)
{
	_cleanup_(buf_free) struct buf text = BUF_INIT(0), commands = BUF_INIT(0);
	bool claude = strcmp(s->client->name, "claude-code") == 0;

	if (count_fitting(s) == 0)
		return ctl_fail(CTL_FAILED, "nothing is left for %s", s->client->title);
	if (snippet_text(&text, s) < 0 || (claude && snippet_commands(&commands, s) < 0))
		return no_memory();
	if (claude)
		fprintf(stderr, "# %s, for all your projects: run\n%s# or for one project:\n",
		    s->client->title, commands.p);
	fprintf(stderr, "# %s: this goes into %s\n"
	    "# (entries that stand there already stay; replace those that reach the same "
	    "servers)\n", s->client->title, s->client->file);
	fflush(stderr);
	fwrite(text.p, 1, text.len, stdout);
	return CTL_OK;
}

static enum ctl_exit
list_clients(void)
{
	const struct snippet_client *client;
	size_t i;

	fputs("# client-config CLIENT [NAME], for these clients:\n", stderr);
	for (i = 0; (client = snippet_at(i)) != NULL; i++)
		printf("%-16s%s: %s\n", client->name, client->title, client->file);
	return CTL_OK;
}

/* The one that was asked for. */
static const struct snippet_server *
server_named(const struct served *s, const char *name)
{
	size_t i;

	for (i = 0; i < s->n; i++)
		if (strcmp(s->servers[i].name, name) == 0)
			return &s->servers[i];
	return NULL;
}

static enum ctl_exit
print_for(const struct ctl *c, const struct snippet_client *client, const struct served *s)
{
	char program[PATH_MAX], shared[PATH_MAX + 32];
	struct snippet out = { .client = client, .servers = s->servers, .nservers = s->n };

	snprintf(shared, sizeof(shared), "%s/mcp-authd.sock", s->dir);
	out.program = own_path(program);
	out.shared = shared;
	choose_option(c, s, &out);
	if (c->nargs == 2) {
		out.servers = server_named(s, c->args[1]);
		out.nservers = 1;
	}
	if (out.servers == NULL)
		return ctl_fail(CTL_FAILED, c->nargs == 2 ? "no upstream has this name; `mcp-authctl "
		    "status` lists the names" : "there is no upstream");
	return print_snippet(&out);
}

enum ctl_exit
ctl_client_config(const struct ctl *c)
{
	const struct snippet_client *client;
	struct served s = { 0 };
	enum ctl_exit rc;

	if (c->nargs == 0)
		return list_clients();
	client = snippet_find(c->args[0]);
	if (client == NULL || c->nargs > 2)
		return ctl_usage(client == NULL ? "no such client; `client-config` lists them" :
		    "client-config takes a client and one name at most");
	rc = c->config == NULL ? ask_daemon(c, &s) : CTL_UNREACHABLE;
	if (rc == CTL_OK)
		rc = read_status(&s);
	else if (rc == CTL_UNREACHABLE)
		rc = read_config(c, &s);
	if (rc == CTL_OK)
		rc = print_for(c, client, &s);
	served_free(&s);
	return rc;
}
