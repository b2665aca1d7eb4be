/* `mcp-authctl import`: entries of a client's own config become upstreams of ours. */
#include <sys/stat.h>

#include <fcntl.h>
#include <limits.h>
#include <malloc.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "bounds.h"
#include "client_file.h"
#include "config_file.h"
#include "ctl.h"
#include "insert.h"
#include "listen.h"

#define CLIENT_BYTES	(32 * MIB)	/* a ~/.claude.json keeps a history beside its servers */

struct import {
	const struct ctl *ctl;
	const char	*from;		/* the client's file */
	struct client_file file;
	char		 config[PATH_MAX];	/* the file that is changed, links followed */
	struct stat	 st;		/* of it */
	bool		 exists;
	struct buf	 before, after;	/* its text */
	struct config	 known;		/* what it says, parts included */
	struct insert_member *members;	/* what is added; values are allocated */
	size_t		 n;
};

static enum ctl_exit
no_memory(void)
{
	return ctl_fail(CTL_FAILED, "out of memory");
}

/* --- reading --- */

/* Clients' files hold secrets of all kinds. */
static void
wiping_free(void *p)
{
	if (p != NULL)
		explicit_bzero(p, malloc_usable_size(p));
	free(p);
}

/* A regular file, whole. */
static enum ctl_exit
read_file(const char *path, struct buf *out, struct stat *ret_st)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK), e = 0;
	char chunk[16384];
	ssize_t n = -1;

	if (fd == -1)
		return ctl_fail(CTL_FAILED, "%s: %s", path, strerror(errno));
	if (fstat(fd, ret_st) == 0 && !S_ISREG(ret_st->st_mode))
		errno = EINVAL;
	else
		while ((n = read(fd, chunk, sizeof(chunk))) > 0 && e == 0)
			e = buf_add(out, chunk, (size_t)n);
	explicit_bzero(chunk, sizeof(chunk));
	if (n == -1 && e == 0)
		ctl_fail(CTL_FAILED, "%s: %s", path, errno == EINVAL ? "not a regular file" :
		    strerror(errno));
	close(fd);
	if (e != 0)
		return ctl_fail(CTL_FAILED, "%s: %s", path, e == -EMSGSIZE ? "too large" :
		    "out of memory");
	return n == -1 ? CTL_FAILED : CTL_OK;
}

static bool
ends_with(const char *s, const char *end)
{
	size_t n = strlen(s), m = strlen(end);

	return n >= m && strcasecmp(s + n - m, end) == 0;
}

static enum ctl_exit
read_client(struct import *im)
{
	_cleanup_(buf_free) struct buf text = BUF_SECRET(CLIENT_BYTES);
	struct json_error e;
	enum ctl_exit rc;
	struct stat st;
	int r;

	if (ends_with(im->from, ".yaml") || ends_with(im->from, ".yml"))
		return ctl_fail(CTL_FAILED, "%s: YAML (Goose) is not read; write { \"mcpServers\": { "
		    "\"NAME\": { \"url\": \"...\" } } } for its entries of type streamable_http "
		    "into a file, and import that", im->from);
	if ((rc = read_file(im->from, &text, &st)) != CTL_OK)
		return rc;
	r = client_file_read(text.p, text.len, &im->file, &e);
	if (r == -ENOMEM)
		return no_memory();
	if (r < 0)
		return ctl_fail(CTL_FAILED, "%s:%u:%u: %s", im->from, e.line, e.column, e.what);
	if (im->file.n == 0)
		return ctl_fail(CTL_FAILED, "%s: there are no MCP servers in it (looked for "
		    "mcpServers, servers, context_servers, mcp_servers)", im->from);
	return CTL_OK;
}

static enum ctl_exit
wrong_config(const struct config_error *e)
{
	char words[CONFIG_WORDS];

	return ctl_fail(CTL_FAILED, "%s", config_error_words(e, words));
}

/* The config as it is; a missing one is an object without members. */
static enum ctl_exit
read_config(struct import *im)
{
	struct config_error e = { 0 };
	enum ctl_exit rc = CTL_OK;
	char found[PATH_MAX];

	if (config_path(im->ctl->config, found, &e) < 0)
		return wrong_config(&e);
	im->exists = realpath(found, im->config) != NULL;
	if (!im->exists && errno != ENOENT)
		return ctl_fail(CTL_FAILED, "%s: %s", found, strerror(errno));
	if (im->exists)
		rc = read_file(im->config, &im->before, &im->st);
	else
		memcpy(im->config, found, sizeof(found));
	if (rc != CTL_OK)
		return rc;
	if (im->before.len == 0 && buf_adds(&im->after, "{\n}\n") < 0)
		return no_memory();
	if (im->before.len > 0 && buf_add(&im->after, im->before.p, im->before.len) < 0)
		return no_memory();
	if (config_load_text(im->config, (struct slice){ im->after.p, im->after.len }, NULL,
	    &im->known, NULL, NULL, &e) < 0)
		return wrong_config(&e);
	return CTL_OK;
}

/* --- choosing --- */

static const char *
shown(const char *text, char out[96])
{
	return text_escape(out, 96, text, strlen(text));
}

/* Whether the config, or an entry taken before, has that name or URL; said. */
static bool
is_known(const struct import *im, const struct client_entry *e)
{
	const struct config_upstream *u;

	for (u = im->known.upstreams; u < im->known.upstreams + im->known.nupstreams; u++) {
		if (strcmp(u->url.text, e->url) == 0) {
			fprintf(stderr, "%s: skipped: its URL is there already, as \"%s\"\n", e->name,
			    u->name);
			return true;
		}
		if (strcmp(u->name, e->name) == 0) {
			fprintf(stderr, "%s: skipped: the config has this name for another URL; add "
			    "this one by hand\n", e->name);
			return true;
		}
	}
	return false;
}

static bool
is_repeated(const struct import *im, const struct client_entry *e)
{
	const struct client_entry *other;

	for (other = im->file.entries; other < e; other++) {
		if (other->kind != CLIENT_REMOTE || (strcmp(other->url, e->url) != 0 &&
		    strcmp(other->name, e->name) != 0))
			continue;
		fprintf(stderr, "%s: skipped: the file has the same %s twice\n", e->name,
		    strcmp(other->url, e->url) == 0 ? "URL" : "name");
		return true;
	}
	return false;
}

static void
tell_skipped(const struct client_entry *e)
{
	const char *why = e->why;
	char name[96];

	switch (e->kind) {
	case CLIENT_REMOTE:
		return;
	case CLIENT_LOCAL:
		why = "it runs a program, which has no token to guard here";
		break;
	case CLIENT_OURS:
		why = "it goes through mcp-authd already";
		break;
	case CLIENT_DISABLED:
		why = "it is disabled there";
		break;
	case CLIENT_UNFIT:
		break;
	}
	fprintf(stderr, "%s: skipped: %s\n", shown(e->written, name), why);
}

static void
tell_taken(const struct client_entry *e)
{
	char name[96];

	if (strcmp(e->name, e->written) != 0)
		fprintf(stderr, "%s: stands for \"%s\", which is no name for an upstream\n", e->name,
		    shown(e->written, name));
	if (e->bridged)
		fprintf(stderr, "%s: was reached by mcp-remote; mcp-authd takes its place\n", e->name);
	if (e->old_transport)
		fprintf(stderr, "%s: that client speaks HTTP+SSE with it, mcp-authd does not; give "
		    "its Streamable HTTP URL if it has another one (often .../mcp)\n", e->name);
	if (e->authorization)
		fprintf(stderr, "%s: its static authorization is not copied; if it is to stay in use, "
		    "put the token into a file and add \"auth\": \"bearer\", \"bearer\": "
		    "{ \"file\": \"PATH\" }\n", e->name);
	if (e->headers)
		fprintf(stderr, "%s: its headers are not copied; add them as \"headers\", or as "
		    "\"headerFiles\" if they are secret\n", e->name);
	if (e->oauth)
		fprintf(stderr, "%s: its OAuth settings are not copied; add them as \"oauth\"\n",
		    e->name);
}

static bool
take(struct import *im, const struct client_entry *e)
{
	struct buf value = BUF_INIT(0);
	char *text;

	if (buf_adds(&value, "{ \"url\": ") < 0 ||
	    buf_addjson(&value, e->url, strlen(e->url)) < 0 || buf_adds(&value, " }") < 0 ||
	    (text = buf_steal(&value)) == NULL) {
		buf_free(&value);
		return false;
	}
	im->members[im->n++] = (struct insert_member){ e->name, text };
	return true;
}

static enum ctl_exit
choose(struct import *im)
{
	const struct client_entry *e;

	im->members = calloc(im->file.n, sizeof(*im->members));
	if (im->members == NULL)
		return no_memory();
	for (e = im->file.entries; e < im->file.entries + im->file.n; e++) {
		tell_skipped(e);
		if (e->kind != CLIENT_REMOTE || is_known(im, e) || is_repeated(im, e))
			continue;
		tell_taken(e);
		if (!take(im, e))
			return no_memory();
	}
	return CTL_OK;
}

/* --- the new text --- */

static enum ctl_exit
compose(struct import *im)
{
	_cleanup_(buf_free) struct buf old = im->after;
	struct config_error wrong = { 0 };
	char dir[PATH_MAX];
	struct config config;
	struct json_error e;

	im->after = BUF_INIT(0);
	if (insert_members(&im->after, old.p, old.len, "mcpServers", im->members, im->n, &e) < 0)
		return ctl_fail(CTL_FAILED, "%s:%u:%u: %s", im->config, e.line, e.column, e.what);
	if (runtime_path(dir, sizeof(dir)) < 0)
		return ctl_fail(CTL_FAILED, "the runtime directory's path is too long");
	if (config_load_text(im->config, (struct slice){ im->after.p, im->after.len }, dir, &config,
	    NULL, NULL, &wrong) < 0) {
		wrong_config(&wrong);
		return ctl_fail(CTL_FAILED, "so nothing is changed: the config with these entries "
		    "would not be right");
	}
	config_free(&config);
	return CTL_OK;
}

static enum ctl_exit
show(const struct import *im)
{
	_cleanup_(buf_free) struct buf diff = BUF_INIT(0);

	if (insert_diff(&diff, im->config, (struct slice){ im->before.p, im->before.len },
	    (struct slice){ im->after.p, im->after.len }) < 0)
		return no_memory();
	fflush(stderr);
	fwrite(diff.p, 1, diff.len, stdout);
	fflush(stdout);
	return CTL_OK;
}

/* --- writing --- */

/* The folder of a config that is not there yet. */
static enum ctl_exit
make_folder(const char *file)
{
	char dir[PATH_MAX], *p;

	snprintf(dir, sizeof(dir), "%s", file);
	for (p = strchr(dir + (dir[0] == '/'), '/'); p != NULL; p = strchr(p + 1, '/')) {
		*p = '\0';
		if (mkdir(dir, 0700) == -1 && errno != EEXIST)
			return ctl_fail(CTL_FAILED, "%s: %s", dir, strerror(errno));
		*p = '/';
	}
	return CTL_OK;
}

static int
write_all(int fd, const struct buf *b)
{
	size_t done = 0;
	ssize_t n;

	while (done < b->len) {
		n = write(fd, b->p + done, b->len - done);
		if (n == -1 && errno != EINTR)
			return -1;
		done += n > 0 ? (size_t)n : 0;
	}
	return 0;
}

/* A new file with the owner and mode of the config; made durable.  Nothing is left of one that failed. */
static enum ctl_exit
write_new(const struct import *im, const char *path, const struct buf *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600), e;
	mode_t mask = umask(0);

	umask(mask);
	if (fd == -1)
		return ctl_fail(CTL_FAILED, "%s: %s", path, strerror(errno));
	if ((!im->exists || fchown(fd, im->st.st_uid, im->st.st_gid) == 0) &&
	    fchmod(fd, im->exists ? im->st.st_mode & 0777 : 0644 & ~mask) == 0 &&
	    write_all(fd, text) == 0 && fsync(fd) == 0 && close(fd) == 0)
		return CTL_OK;
	e = errno;
	close(fd);
	unlink(path);
	return ctl_fail(CTL_FAILED, "%s: %s", path, strerror(e));
}

static enum ctl_exit
back_up(const struct import *im, char out[PATH_MAX + 64])
{
	char when[32];
	time_t now = time(NULL);
	struct tm tm;

	if (!im->exists)
		return CTL_OK;
	strftime(when, sizeof(when), "%Y%m%d%H%M%S", localtime_r(&now, &tm));
	snprintf(out, PATH_MAX + 64, "%s.bak-%s", im->config, when);
	return write_new(im, out, &im->before);
}

/* Somebody else may have written while we read; -1 then. */
static int
is_unchanged(const struct import *im)
{
	struct stat st;

	if (!im->exists)
		return access(im->config, F_OK) == -1 ? 0 : -1;
	return stat(im->config, &st) == 0 && st.st_ino == im->st.st_ino &&
	    st.st_size == im->st.st_size && st.st_mtim.tv_sec == im->st.st_mtim.tv_sec &&
	    st.st_mtim.tv_nsec == im->st.st_mtim.tv_nsec ? 0 : -1;
}

/* "DIR/" of a path, "" if it has none. */
static int
folder_length(const char *file)
{
	const char *slash = strrchr(file, '/');

	return slash != NULL ? (int)(slash + 1 - file) : 0;
}

/* The rename itself is to survive a power cut, too. */
static void
sync_folder(const char *file)
{
	char dir[PATH_MAX];
	int fd;

	snprintf(dir, sizeof(dir), "%.*s", folder_length(file), file);
	fd = open(dir[0] != '\0' ? dir : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd == -1)
		return;
	fsync(fd);
	close(fd);
}

static enum ctl_exit
replace(const struct import *im)
{
	int folder = folder_length(im->config);
	char temp[PATH_MAX + 64];
	enum ctl_exit rc;

	snprintf(temp, sizeof(temp), "%.*s.%s.new-%ld", folder, im->config, im->config + folder,
	    (long)getpid());
	if ((rc = write_new(im, temp, &im->after)) != CTL_OK)
		return rc;
	if (is_unchanged(im) == -1)
		rc = ctl_fail(CTL_FAILED, "%s was changed by somebody else meanwhile; nothing is "
		    "written: try again", im->config);
	else if (rename(temp, im->config) == -1)
		rc = ctl_fail(CTL_FAILED, "%s: %s", im->config, strerror(errno));
	if (rc != CTL_OK)
		unlink(temp);
	else
		sync_folder(im->config);
	return rc;
}

/* --- what to do next --- */

/* Whose file it is, as far as that shows. */
static const char *
client_of(const struct import *im)
{
	static const struct { const char *part, *client; } known[] = {
		{ "claude_desktop_config.json", "claude-desktop" },
		{ ".claude.json", "claude-code" },
		{ "/.cursor/", "cursor" },
		{ "/.vscode/", "vscode" },
		{ "/zed/", "zed" },
		{ ".mcp.json", "claude-code" },
	};
	size_t i;

	if (im->file.client != NULL)
		return im->file.client;
	for (i = 0; i < nitems(known); i++)
		if (strstr(im->from, known[i].part) != NULL)
			return known[i].client;
	return "CLIENT";
}

static void
tell_next(const struct import *im)
{
	size_t i;

	fputs("# next:\nmcp-authctl reload\n", stderr);
	for (i = 0; i < im->n; i++)
		fprintf(stderr, "mcp-authctl login %s\n", im->members[i].name);
	fprintf(stderr, "mcp-authctl client-config %s\n"
	    "# %s is as it was: replace its entries by what the last one prints\n", client_of(im),
	    im->from);
}

static enum ctl_exit
write_config(const struct import *im)
{
	char backup[PATH_MAX + 64];
	enum ctl_exit rc;

	if (!im->exists && (rc = make_folder(im->config)) != CTL_OK)
		return rc;
	if ((rc = back_up(im, backup)) != CTL_OK || (rc = replace(im)) != CTL_OK)
		return rc;
	if (im->exists)
		fprintf(stderr, "%s is written; as it was: %s\n", im->config, backup);
	else
		fprintf(stderr, "%s is written\n", im->config);
	tell_next(im);
	return CTL_OK;
}

static enum ctl_exit
run(struct import *im)
{
	enum ctl_exit rc;

	if ((rc = read_client(im)) != CTL_OK || (rc = read_config(im)) != CTL_OK ||
	    (rc = choose(im)) != CTL_OK)
		return rc;
	if (im->n == 0) {
		fprintf(stderr, "there is nothing to add to %s\n", im->config);
		return CTL_OK;
	}
	if ((rc = compose(im)) != CTL_OK || (rc = show(im)) != CTL_OK)
		return rc;
	if (im->ctl->write)
		return write_config(im);
	fprintf(stderr, "nothing is written yet: `mcp-authctl import %s --write` does it\n", im->from);
	return CTL_OK;
}

enum ctl_exit
ctl_import(const struct ctl *c)
{
	cJSON_Hooks hooks = { malloc, wiping_free };
	struct import im = { .ctl = c, .before = BUF_INIT(CONFIG_BYTES), .after = BUF_INIT(0) };
	enum ctl_exit rc;
	size_t i;

	if (c->nargs != 1)
		return ctl_usage("import takes one file, a client's own config");
	cJSON_InitHooks(&hooks);
	im.from = c->args[0];
	rc = run(&im);
	for (i = 0; i < im.n; i++)
		free((char *)(uintptr_t)im.members[i].value);
	free(im.members);
	config_free(&im.known);
	client_file_free(&im.file);
	buf_free(&im.before);
	buf_free(&im.after);
	return rc;
}
