#include <sys/stat.h>

#include <check.h>
#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <unistd.h>

#include "storing.h"

#define PATIENCE	(20 * SEC)

struct loop *loop;
struct store *store;
char store_top[64], store_dir[96], store_key_file[96];
const char *storing_bus = "unix:path=/nonexistent";
const struct store_key key = { "linear", "https://mcp.example/mcp" };
const struct store_key other = { "second", "https://mcp.example/mcp" };

static int
remove_one(const char *path, _unused_ const struct stat *st, _unused_ int type,
    _unused_ struct FTW *ftw)
{
	return remove(path);
}

void
storing_begin(void)
{
	char k[32];

	snprintf(store_top, sizeof(store_top), "/tmp/test_store.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(store_top));
	snprintf(store_dir, sizeof(store_dir), "%s/credentials", store_top);
	snprintf(store_key_file, sizeof(store_key_file), "%s/key", store_top);
	memset(k, 'k', sizeof(k));
	put_file(store_key_file, k, sizeof(k));
	loop = loop_new();
	ck_assert_ptr_nonnull(loop);
}

void
storing_end(void)
{
	store_close(store);
	store = NULL;
	loop_free(loop);
	nftw(store_top, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static struct store *
open_with(enum config_backend backend, const char *key_file, bool credential, char why[300])
{
	struct store_options o = { .backend = backend, .path = store_dir, .key_file = key_file,
	    .key_is_credential = credential, .bus = storing_bus };

	return store_open(loop, &o, why, 300);
}

void
storing_open(enum config_backend backend, bool with_key)
{
	char why[300];

	store_close(store);
	store = open_with(backend, with_key ? store_key_file : NULL, false, why);
	ck_assert_msg(store != NULL, "%s", why);
}

const char *
storing_fails(enum config_backend backend, const char *key_file, bool credential)
{
	static char why[300];

	ck_assert_ptr_null(open_with(backend, key_file, credential, why));
	return why;
}

/* --- calls --- */

void
came_set(void *arg, struct store_reply *reply)
{
	struct came *c = arg;

	ck_assert(!c->done);
	c->done = true;
	c->what = reply->result;
	c->lock = reply->lock;
	memcpy(c->why, reply->why, sizeof(c->why));
	if (reply->record != NULL)
		snprintf(c->text, sizeof(c->text), "%s", reply->record->access_token);
	loop_stop(loop);
}

static void
too_late(void *arg)
{
	*(bool *)arg = true;
	loop_stop(loop);
}

bool
came_within(struct came *c, int64_t ms)
{
	struct timer timer;
	bool late = false;

	timer_init(&timer, loop, too_late, &late);
	timer_set(&timer, ms);
	while (!c->done && !late)
		loop_run(loop);
	timer_clear(&timer);
	return c->done;
}

void
came_wait(struct came *c)
{
	ck_assert(came_within(c, PATIENCE));
}

struct came
do_load(const struct store_key *k)
{
	struct came c = { 0 };

	store_load(store, k, came_set, &c);
	came_wait(&c);
	return c;
}

struct came
do_save_at(const struct store_key *k, const char *access, int64_t obtained_at)
{
	struct came c = { 0 };
	struct record rec = {
		.name = (char *)(uintptr_t)k->name,
		.url = (char *)(uintptr_t)k->url,
		.issuer = (char *)(uintptr_t)"https://issuer.example",
		.client_id = (char *)(uintptr_t)"client",
		.access_token = (char *)(uintptr_t)access,
		.expires_at = EXPIRES_UNKNOWN,
		.obtained_at = obtained_at,
	};

	store_save(store, k, &rec, came_set, &c);
	came_wait(&c);
	return c;
}

struct came
do_save(const struct store_key *k, const char *access)
{
	return do_save_at(k, access, 1000);
}

struct came
do_delete(const struct store_key *k)
{
	struct came c = { 0 };

	store_delete(store, k, came_set, &c);
	came_wait(&c);
	return c;
}

struct came
do_migrate(enum config_backend to)
{
	struct came c = { 0 };

	store_migrate(store, to, came_set, &c);
	ck_assert(!c.done);
	came_wait(&c);
	return c;
}

struct came
do_rekey(const char *file)
{
	struct came c = { 0 };

	store_rekey(store, file, came_set, &c);
	ck_assert(!c.done);
	came_wait(&c);
	return c;
}

/* --- files --- */

const char *
entry_path(const struct store_key *k, const char *suffix)
{
	static char paths[4][256];
	static int turn;
	char stem[80];

	turn = (turn + 1) % 4;
	record_stem(k->name, k->url, stem, sizeof(stem));
	snprintf(paths[turn], sizeof(paths[turn]), "%s/%s%s", store_dir, stem, suffix);
	return paths[turn];
}

int
entries_with(const char *part)
{
	DIR *stream = opendir(store_dir);
	struct dirent *d;
	int n = 0;

	ck_assert_ptr_nonnull(stream);
	while ((d = readdir(stream)) != NULL)
		n += strstr(d->d_name, part) != NULL;
	closedir(stream);
	return n;
}

void
put_file(const char *path, const void *p, size_t n)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	ck_assert_int_ne(fd, -1);
	ck_assert_int_eq(write(fd, p, n), (ssize_t)n);
	close(fd);
}

size_t
get_file(const char *path, char *out, size_t size)
{
	int fd = open(path, O_RDONLY);
	ssize_t n;

	ck_assert_msg(fd != -1, "%s", path);
	n = read(fd, out, size - 1);
	ck_assert_int_ge(n, 0);
	close(fd);
	out[n] = '\0';
	return (size_t)n;
}

const char *
storing_status(void)
{
	static struct buf texts[2];
	static int turn;
	struct buf *b = &texts[turn = !turn];

	buf_reset(b);
	ck_assert_int_eq(store_status(store, b), 0);
	return b->p;
}
