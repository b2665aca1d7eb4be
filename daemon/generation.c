#include <grp.h>
#include <pwd.h>
#include <stdio.h>

#include "bounds.h"
#include "generation.h"

#define NAME_BYTES	(64 * KIB)	/* a group with thousands of members */

static int
no_group(const char *file, const char *what, struct config_error *e)
{
	memset(e, 0, sizeof(*e));
	text_escape(e->file, sizeof(e->file), file, strlen(file));
	snprintf(e->what, sizeof(e->what), "socket.group: %s", what);
	return -EINVAL;
}

static int
find_group(struct generation *g, const char *file, struct config_error *ret_error)
{
	struct group group, *found = NULL;
	char *memory;

	g->group = (gid_t)-1;
	if (g->config.socket.group == NULL)
		return 0;
	memory = malloc(NAME_BYTES);
	if (memory == NULL)
		return no_group(file, "out of memory", ret_error);
	(void)getgrnam_r(g->config.socket.group, &group, memory, NAME_BYTES, &found);
	if (found != NULL)
		g->group = found->gr_gid;
	free(memory);
	return found != NULL ? 0 : no_group(file, "there is no such group", ret_error);
}

/* A name, or a uid in digits. */
static bool
find_user(const char *name, char *memory, uid_t *ret)
{
	struct passwd user, *found = NULL;
	unsigned long n;
	char *end;

	(void)getpwnam_r(name, &user, memory, NAME_BYTES, &found);
	if (found != NULL) {
		*ret = found->pw_uid;
		return true;
	}
	errno = 0;
	n = strtoul(name, &end, 10);
	if (name[0] < '0' || name[0] > '9' || *end != '\0' || errno != 0 || n >= (uid_t)-1)
		return false;
	*ret = (uid_t)n;
	return true;
}

static void
add_user(struct generation *g, uid_t uid)
{
	for (size_t i = 0; i < g->nusers; i++)
		if (g->users[i] == uid)
			return;
	g->users[g->nusers++] = uid;
}

static int
find_users(struct generation *g, const char *file, struct config_error *e)
{
	_cleanup_(freep) char *memory = malloc(NAME_BYTES);
	char **name = g->config.socket.allow_users, shown[128];
	size_t n = 0;
	uid_t uid;

	while (name != NULL && name[n] != NULL)
		n++;
	if (n == 0)
		return 0;
	g->users = calloc(n, sizeof(*g->users));
	memset(e, 0, sizeof(*e));
	text_escape(e->file, sizeof(e->file), file, strlen(file));
	if (memory == NULL || g->users == NULL) {
		snprintf(e->what, sizeof(e->what), "out of memory");
		return -ENOMEM;
	}
	for (; *name != NULL; name++) {
		if (!find_user(*name, memory, &uid)) {
			text_escape(shown, sizeof(shown), *name, strlen(*name));
			snprintf(e->what, sizeof(e->what), "socket.allowUsers: there is no user "
			    "\"%s\"", shown);
			return -EINVAL;
		}
		add_user(g, uid);
	}
	return 0;
}

/* One account for several people must be meant. */
static int
check_shared(const struct generation *g, struct config_error *e)
{
	const struct config_upstream *u;

	if (g->nusers < 2)
		return 0;
	for (u = g->config.upstreams; u < g->config.upstreams + g->config.nupstreams; u++) {
		if (u->shared)
			continue;
		*e = (struct config_error){ .line = u->line, .column = u->column };
		snprintf(e->file, sizeof(e->file), "%s", u->file);
		snprintf(e->what, sizeof(e->what), "socket.allowUsers lets %zu users act with the "
		    "account of upstream \"%s\"; say \"shared\": true there if that is meant",
		    g->nusers, u->name);
		return -EINVAL;
	}
	return 0;
}

struct generation *
generation_read(const char *file, const char *runtime_dir, char *ret_file, config_warn warn,
    void *arg, struct config_error *ret_error)
{
	struct generation *g;

	g = calloc(1, sizeof(*g));
	if (g == NULL) {
		*ret_error = (struct config_error){ .what = "out of memory" };
		return NULL;
	}
	g->refs = 1;
	if (config_load(file, runtime_dir, &g->config, ret_file, warn, arg, ret_error) < 0) {
		free(g);
		return NULL;
	}
	if (find_group(g, ret_file, ret_error) < 0 || find_users(g, ret_file, ret_error) < 0 ||
	    check_shared(g, ret_error) < 0) {
		generation_drop(g);
		return NULL;
	}
	return g;
}

struct generation *
generation_hold(struct generation *g)
{
	g->refs++;
	return g;
}

void
generation_drop(struct generation *g)
{
	if (g == NULL || --g->refs > 0)
		return;
	config_free(&g->config);
	free(g->users);
	free(g);
}
