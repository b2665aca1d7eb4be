#include <grp.h>
#include <stdio.h>

#include "bounds.h"
#include "generation.h"

#define GROUP_BYTES	(64 * KIB)	/* a group with thousands of members */

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
	memory = malloc(GROUP_BYTES);
	if (memory == NULL)
		return no_group(file, "out of memory", ret_error);
	(void)getgrnam_r(g->config.socket.group, &group, memory, GROUP_BYTES, &found);
	if (found != NULL)
		g->group = found->gr_gid;
	free(memory);
	return found != NULL ? 0 : no_group(file, "there is no such group", ret_error);
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
	if (find_group(g, ret_file, ret_error) < 0) {
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
	free(g);
}
