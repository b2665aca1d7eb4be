#include <sys/stat.h>

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <unistd.h>

#include "bounds.h"
#include "config_file.h"
#include "http1.h"
#include "jwt.h"
#include "way.h"

#define SYSTEM_CONFIG	"/etc/mcp-authd"
#define SYSTEM_STATE	"/var/lib/mcp-authd"

static int _printf_(3, 4)
wrong(struct config_error *e, const char *file, const char *fmt, ...)
{
	va_list ap;

	memset(e, 0, sizeof(*e));
	text_escape(e->file, sizeof(e->file), file, strlen(file));
	va_start(ap, fmt);
	if (vsnprintf(e->what, sizeof(e->what), fmt, ap) < 0)
		e->what[0] = '\0';
	va_end(ap);
	return -EINVAL;
}

const char *
config_error_words(const struct config_error *e, char *out)
{
	if (e->file[0] == '\0')
		snprintf(out, CONFIG_WORDS, "%s", e->what);
	else if (e->line == 0)
		snprintf(out, CONFIG_WORDS, "%s: %s", e->file, e->what);
	else
		snprintf(out, CONFIG_WORDS, "%s:%u:%u: %s", e->file, e->line, e->column, e->what);
	return out;
}

/* Reading */

static int
read_all(int fd, const char *path, struct buf *out, struct config_error *ret_error)
{
	char chunk[4096];
	ssize_t n;

	while ((n = read(fd, chunk, sizeof(chunk))) != 0) {
		if (n == -1 && errno == EINTR)
			continue;
		if (n == -1)
			return wrong(ret_error, path, "%s", strerror(errno));
		switch (buf_add(out, chunk, n)) {
		case 0:
			break;
		case -EMSGSIZE:
			return wrong(ret_error, path, "larger than %ld bytes", CONFIG_BYTES);
		default:
			wrong(ret_error, path, "out of memory");
			return -ENOMEM;
		}
	}
	return 0;
}

static int
merge_file(struct config *c, const char *path, config_warn warn, void *arg,
    struct config_error *ret_error)
{
	struct buf text = BUF_INIT(CONFIG_BYTES);
	struct stat st;
	int fd, rc;

	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd == -1)
		return wrong(ret_error, path, "%s", strerror(errno));
	if (fstat(fd, &st) == -1 || !S_ISREG(st.st_mode))
		rc = wrong(ret_error, path, "not a regular file");
	else
		rc = read_all(fd, path, &text, ret_error);
	close(fd);
	if (rc == 0) {
		memset(ret_error, 0, sizeof(*ret_error));
		rc = config_parse(c, path, text.p != NULL ? text.p : "", text.len, warn, arg, ret_error);
		if (rc == -ENOMEM)
			wrong(ret_error, path, "out of memory");
	}
	buf_free(&text);
	return rc;
}

static int
is_part(const struct dirent *d)
{
	size_t n = strlen(d->d_name);

	return d->d_name[0] != '.' && n > 5 && strcmp(d->d_name + n - 5, ".json") == 0;
}

static int
by_name(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

/* "DIR/conf.d" for "DIR/config.json". */
static int
parts_dir(const char *file, char *out, size_t size)
{
	const char *slash = strrchr(file, '/');
	int n;

	n = snprintf(out, size, "%.*sconf.d", slash != NULL ? (int)(slash - file) + 1 : 0, file);
	return n < 0 || (size_t)n >= size ? -ENAMETOOLONG : 0;
}

static int
merge_parts(struct config *c, const char *file, config_warn warn, void *arg,
    struct config_error *ret_error)
{
	char dir[PATH_MAX], path[PATH_MAX + NAME_MAX + 2];
	struct dirent **list;
	int i, n, rc = 0;

	if (parts_dir(file, dir, sizeof(dir)) < 0)
		return wrong(ret_error, file, "the path is too long");
	n = scandir(dir, &list, is_part, by_name);
	if (n == -1)
		return errno == ENOENT || errno == ENOTDIR ? 0 :
		    wrong(ret_error, dir, "%s", strerror(errno));
	for (i = 0; i < n; i++) {
		snprintf(path, sizeof(path), "%s/%s", dir, list[i]->d_name);
		if (rc == 0)
			rc = merge_file(c, path, warn, arg, ret_error);
		free(list[i]);
	}
	free(list);
	return rc;
}

/* Secrets */

/* All of it; newlines at its end do not count.  NULL: unreadable, empty or too long. */
static char *
read_secret(const char *path)
{
	_cleanup_(buf_free) struct buf b = BUF_SECRET(TOKEN_BYTES);
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	ssize_t n = -1;

	if (fd >= 0 && buf_reserve(&b, TOKEN_BYTES - 1) == 0)
		n = read(fd, b.p, TOKEN_BYTES - 1);
	if (fd >= 0)
		close(fd);
	if (n < 0 || n == TOKEN_BYTES - 1)
		return NULL;		/* also what may have been cut */
	b.len = (size_t)n;
	while (b.len > 0 && (b.p[b.len - 1] == '\n' || b.p[b.len - 1] == '\r'))
		b.len--;
	b.p[b.len] = '\0';
	return b.len > 0 ? strdup(b.p) : NULL;
}

/* The file's value for a header, or why not.  0, -EINVAL. */
static int
add_header_file(const struct config_upstream *u, const char *name, const char *path,
    struct buf *lines, struct config_error *ret_error)
{
	char *value = read_secret(path);

	if (value == NULL || !http1_is_value(value, strlen(value))) {
		secret_free(value);
		*ret_error = (struct config_error){ .line = u->line, .column = u->column };
		snprintf(ret_error->file, sizeof(ret_error->file), "%s", u->file);
		snprintf(ret_error->what, sizeof(ret_error->what), "headerFiles of \"%s\": %s "
		    "cannot be read or does not hold one line of text: %.200s", u->name, name, path);
		return -EINVAL;
	}
	buf_addf(lines, "%s: %s\r\n", name, value);
	secret_free(value);
	return 0;
}

static int
compose_headers(struct config_upstream *u, struct config_error *ret_error)
{
	_cleanup_(buf_free) struct buf lines = BUF_SECRET(HEADER_BYTES);
	char **p;
	int rc = 0;

	for (p = u->headers; p != NULL && *p != NULL; p += 2)
		buf_addf(&lines, "%s: %s\r\n", p[0], p[1]);
	for (p = u->header_files; p != NULL && *p != NULL && rc == 0; p += 2)
		rc = add_header_file(u, p[0], p[1], &lines, ret_error);
	if (rc == 0 && lines.len > 0)
		u->header_lines = buf_steal(&lines);
	return rc;
}

/* What is wrong with a file that `key` of the entry names: it hurts that upstream alone. */
static void
warn_secret(const struct config_upstream *u, const char *key, const char *path, const char *why,
    config_warn warn, void *arg)
{
	struct config_error e = { .line = u->line, .column = u->column };
	char shown[300];

	if (warn == NULL)
		return;
	text_escape(shown, sizeof(shown), path, strlen(path));
	snprintf(e.file, sizeof(e.file), "%s", u->file);
	snprintf(e.what, sizeof(e.what), "%s of \"%s\" %s: %s", key, u->name, why, shown);
	warn(arg, &e);
}

static char *
read_named(const struct config_upstream *u, const char *key, const char *path, config_warn warn,
    void *arg)
{
	char *secret = read_secret(path);

	if (secret == NULL)
		warn_secret(u, key, path, "cannot be read, is empty or too long", warn, arg);
	return secret;
}

static void
read_client_secret(struct config_upstream *u, config_warn warn, void *arg)
{
	char *path;

	if (u->oauth.client_secret_file != NULL)
		u->oauth.client_secret = read_named(u, "clientSecretFile",
		    u->oauth.client_secret_file, warn, arg);
	if (u->oauth.client_secret_credential == NULL)
		return;
	if ((path = way_credential(u->oauth.client_secret_credential)) != NULL)
		u->oauth.client_secret = read_named(u, "clientSecretCredential", path, warn, arg);
	free(path);
}

static void
read_private_key(struct config_upstream *u, config_warn warn, void *arg)
{
	const char *file = u->oauth.private_key_file, *why = NULL;
	struct jwt_key *key;
	char words[160];

	if (file == NULL || (u->oauth.private_key =
	    read_named(u, "privateKeyFile", file, warn, arg)) == NULL)
		return;
	key = jwt_key_parse(u->oauth.private_key, strlen(u->oauth.private_key), &why);
	if (key == NULL) {
		snprintf(words, sizeof(words), "cannot be used, %s", why);
		warn_secret(u, "privateKeyFile", file, words, warn, arg);
		secret_free(u->oauth.private_key);
		u->oauth.private_key = NULL;
	}
	jwt_key_free(key);
}

/* A secret that is missing hurts one upstream's renewal, so it is a warning. */
static void
read_secrets(struct config *c, config_warn warn, void *arg)
{
	struct config_upstream *u;

	for (u = c->upstreams; u < c->upstreams + c->nupstreams; u++) {
		read_client_secret(u, warn, arg);
		read_private_key(u, warn, arg);
		if (u->oauth.idp.client_secret_file != NULL)
			u->oauth.idp.client_secret = read_named(u, "idp.clientSecretFile",
			    u->oauth.idp.client_secret_file, warn, arg);
	}
}

/* Finding */

static bool
there(const char *file)
{
	char dir[PATH_MAX];

	return access(file, F_OK) == 0 ||
	    (parts_dir(file, dir, sizeof(dir)) == 0 && access(dir, F_OK) == 0);
}

/* $VAR, or ~ and `under`; false if neither is set. */
static bool
home_path(const char *var, const char *under, const char *rest, char *out, size_t size)
{
	const char *base;
	int n;

	base = getenv(var);
	if (base != NULL && base[0] == '/')
		n = snprintf(out, size, "%s/%s", base, rest);
	else if ((base = getenv("HOME")) != NULL && base[0] == '/')
		n = snprintf(out, size, "%s/%s/%s", base, under, rest);
	else
		return false;
	return n > 0 && (size_t)n < size;
}

static int
find_config(char *out, struct config_error *ret_error)
{
	bool home;

	home = home_path("XDG_CONFIG_HOME", ".config", "mcp-authd/config.json", out, PATH_MAX);
	if (home && there(out))
		return 0;
	if (there(SYSTEM_CONFIG "/config.json")) {
		snprintf(out, PATH_MAX, SYSTEM_CONFIG "/config.json");
		return 0;
	}
	if (!home)
		return wrong(ret_error, SYSTEM_CONFIG "/config.json",
		    "there is no config; write one or name one with --config");
	return wrong(ret_error, out, "there is no config, nor in " SYSTEM_CONFIG
	    "; write one or name one with --config");
}

/* After all files have been merged. */
static int
finish_all(struct config *c, const char *file, const char *runtime_dir,
    struct config_error *ret_error)
{
	size_t i;
	int rc;

	memset(ret_error, 0, sizeof(*ret_error));
	rc = config_finish(c, runtime_dir, ret_error);
	if (rc < 0 && ret_error->file[0] == '\0')
		text_escape(ret_error->file, sizeof(ret_error->file), file, strlen(file));
	for (i = 0; rc == 0 && i < c->nupstreams; i++)
		rc = compose_headers(&c->upstreams[i], ret_error);
	return rc;
}

int
config_load(const char *file, const char *runtime_dir, struct config *ret, char *ret_file,
    config_warn warn, void *arg, struct config_error *ret_error)
{
	int rc = 0;

	config_init(ret);
	if (file == NULL)
		rc = find_config(ret_file, ret_error);
	else if (snprintf(ret_file, PATH_MAX, "%s", file) >= PATH_MAX)
		rc = wrong(ret_error, "", "the path of the config is too long");
	/* A directory of parts alone is a config, too, unless the file was asked for by name. */
	if (rc == 0 && (file != NULL || access(ret_file, F_OK) == 0))
		rc = merge_file(ret, ret_file, warn, arg, ret_error);
	if (rc == 0)
		rc = merge_parts(ret, ret_file, warn, arg, ret_error);
	if (rc == 0)
		rc = finish_all(ret, ret_file, runtime_dir, ret_error);
	if (rc < 0)
		config_free(ret);
	else
		read_secrets(ret, warn, arg);
	return rc;
}

int
config_load_text(const char *file, struct slice text, const char *runtime_dir, struct config *ret,
    config_warn warn, void *arg, struct config_error *ret_error)
{
	int rc;

	config_init(ret);
	memset(ret_error, 0, sizeof(*ret_error));
	rc = config_parse(ret, file, text.p, text.n, warn, arg, ret_error);
	if (rc == 0)
		rc = merge_parts(ret, file, warn, arg, ret_error);
	if (rc == 0 && runtime_dir != NULL)
		rc = finish_all(ret, file, runtime_dir, ret_error);
	if (rc < 0)
		config_free(ret);
	return rc;
}

int
config_path(const char *file, char *ret_file, struct config_error *ret_error)
{
	if (file != NULL)
		return snprintf(ret_file, PATH_MAX, "%s", file) < PATH_MAX ? 0 :
		    wrong(ret_error, "", "the path of the config is too long");
	if (find_config(ret_file, ret_error) < 0 && !home_path("XDG_CONFIG_HOME", ".config",
	    "mcp-authd/config.json", ret_file, PATH_MAX))
		snprintf(ret_file, PATH_MAX, SYSTEM_CONFIG "/config.json");
	return 0;
}

/* State */

/* Makes every missing folder of an absolute path, 0700. */
static int
make_folders(const char *path, char *why, size_t size)
{
	char part[PATH_MAX];
	size_t n;

	for (n = 1; path[n - 1] != '\0'; n++) {
		n += strcspn(path + n, "/");
		if (n >= sizeof(part))
			errno = ENAMETOOLONG;
		else {
			memcpy(part, path, n);
			part[n] = '\0';
			if (mkdir(part, 0700) == 0 || errno == EEXIST || errno == EROFS ||
			    errno == EACCES)
				continue;	/* what is wrong with the last one is said by its user */
		}
		snprintf(why, size, "%s cannot be made: %s", path, strerror(errno));
		return -1;
	}
	return 0;
}

static int
state_dir(char *out, size_t size)
{
	const char *env;
	int n;

	env = getenv("STATE_DIRECTORY");
	if (env != NULL && env[0] == '/')
		n = snprintf(out, size, "%.*s", (int)strcspn(env, ":"), env);
	else if (geteuid() != 0 &&
	    home_path("XDG_STATE_HOME", ".local/state", "mcp-authd", out, size))
		return 0;
	else
		n = snprintf(out, size, SYSTEM_STATE);
	return n < 0 || (size_t)n >= size ? -1 : 0;
}

int
config_store_path(const struct config *c, char *out, size_t size, char *why, size_t why_size)
{
	char dir[PATH_MAX];
	int n;

	if (c->store.path != NULL) {
		n = snprintf(out, size, "%s", c->store.path);
	} else {
		if (state_dir(dir, sizeof(dir)) == -1) {
			snprintf(why, why_size, "the state directory's path is too long");
			return -1;
		}
		if (make_folders(dir, why, why_size) == -1)
			return -1;
		n = snprintf(out, size, "%s/credentials", dir);
	}
	if (n < 0 || (size_t)n >= size) {
		snprintf(why, why_size, "the path of the store is too long");
		return -1;
	}
	return 0;
}
