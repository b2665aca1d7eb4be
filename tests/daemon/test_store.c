/* daemon/store: entries, failures of every step, locks, watches (contract C2 to C4, C11, H2, I). */
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <sys/wait.h>

#include <check.h>
#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "store.h"

#define URL		"https://mcp.example/mcp"
#define PATIENCE	(20 * SEC)	/* far more than anything here takes */
#define NFS		0x6969

/* --- what the kernel says, as a test wants it --- */

static struct {
	long	 fs_type;		/* of every file system; 0: the truth */
	bool	 no_inotify;
	int	 read_errno, write_errno, rename_errno, fsync_errno, fsync_dir_errno;
	const char *deleted;		/* a file that somebody deletes just before the next lock */
	int	 interrupts;		/* so many EINTR from write and fsync each */
	size_t	 write_max;		/* no longer writes than this; 0: no limit */
	char	 trace[64];		/* (w)rite, (f)sync, (r)ename, fsync of a (d)irectory, (u)nlock */
} kernel;

static bool
is_kind(int fd, mode_t kind)
{
	struct stat st;

	return fstat(fd, &st) == 0 && (st.st_mode & S_IFMT) == kind;
}

static void
trace(char what)
{
	size_t n = strlen(kernel.trace);

	if (n + 1 < sizeof(kernel.trace) && (n == 0 || kernel.trace[n - 1] != what))
		kernel.trace[n] = what;
}

static int
fault(int e)
{
	if (e == 0)
		return 0;
	errno = e;
	return -1;
}

/* These stand before libc's, for the store too. */
int
fstatfs(int fd, struct statfs *ret)
{
	int r = (int)syscall(SYS_fstatfs, fd, ret);

	if (kernel.fs_type != 0)
		ret->f_type = kernel.fs_type;
	return r;
}

int
inotify_init1(int flags)
{
	if (fault(kernel.no_inotify ? EMFILE : 0) == -1)
		return -1;
	return (int)syscall(SYS_inotify_init1, flags);
}

/* No more arguments than the store has. */
int
fcntl(int fd, int op, ...)
{
	struct flock *fl;
	va_list ap;
	long arg;

	va_start(ap, op);
	arg = va_arg(ap, long);
	va_end(ap);
	if (op == F_OFD_SETLK) {
		fl = (struct flock *)arg;
		if (fl->l_type == F_UNLCK)
			trace('u');
		else if (kernel.deleted != NULL) {
			unlink(kernel.deleted);
			kernel.deleted = NULL;
		}
	}
	return (int)syscall(SYS_fcntl, fd, op, arg);
}

ssize_t
read(int fd, void *p, size_t n)
{
	if (kernel.read_errno != 0 && is_kind(fd, S_IFREG))
		return fault(kernel.read_errno);
	return syscall(SYS_read, fd, p, n);
}

static int interrupted;

ssize_t
write(int fd, const void *p, size_t n)
{
	if (!is_kind(fd, S_IFREG))
		return syscall(SYS_write, fd, p, n);
	trace('w');
	if (interrupted < kernel.interrupts) {
		interrupted++;
		return fault(EINTR);
	}
	if (fault(kernel.write_errno) == -1)
		return -1;
	return syscall(SYS_write, fd, p, kernel.write_max != 0 ? MIN(n, kernel.write_max) : n);
}

int
fsync(int fd)
{
	bool dir = is_kind(fd, S_IFDIR);

	trace(dir ? 'd' : 'f');
	if (interrupted < 2 * kernel.interrupts) {
		interrupted++;
		return fault(EINTR);
	}
	if (fault(dir ? kernel.fsync_dir_errno : kernel.fsync_errno) == -1)
		return -1;
	return (int)syscall(SYS_fsync, fd);
}

int
renameat(int from, const char *old, int to, const char *new)
{
	trace('r');
	if (fault(kernel.rename_errno) == -1)
		return -1;
	return (int)syscall(SYS_renameat2, from, old, to, new, 0);
}

/* --- the world of a test --- */

/* Which files it is about: the same tests hold for both. */
static enum config_backend backend = CONFIG_STORE_FILE;
static const char *entry = ".json", *aside = ".json.bad-";
static char top[64], dir[96], key_file[96];
static struct loop *loop;
static struct store *store;
static const struct store_key key = { "linear", URL }, other = { "second", URL };

/* A completion, and what it brought. */
struct result {
	bool		 done;
	int		 order;		/* the how-maniest completion it was */
	enum store_result what;
	struct record	*record;
	struct store_lock *lock;
	char		 why[200];
};

static int completions;

static void
completed(void *arg, struct store_reply *reply)
{
	struct result *r = arg;

	ck_assert(!r->done);
	r->done = true;
	r->order = ++completions;
	r->what = reply->result;
	r->record = reply->record;
	reply->record = NULL;
	r->lock = reply->lock;
	memcpy(r->why, reply->why, sizeof(r->why));
	ck_assert((r->what == STORE_OK || r->what == STORE_GONE) == (r->why[0] == '\0'));
	loop_stop(loop);
}

static void
give_up(void *arg)
{
	*(bool *)arg = true;
	loop_stop(loop);
}

/* Runs the loop until *flag, or for ms.  Whatever sets flags stops the loop. */
static bool
run_until(const bool *flag, int64_t ms)
{
	struct timer timer;
	bool late = false;

	timer_init(&timer, loop, give_up, &late);
	timer_set(&timer, ms);
	while (!*flag && !late)
		loop_run(loop);
	timer_clear(&timer);
	return *flag;
}

static void
wait_for(struct result *r)
{
	ck_assert(run_until(&r->done, PATIENCE));
}

static struct store *
open_at(const char *path, bool network, char why[200])
{
	struct store_options o = { .backend = backend, .path = path, .allow_network_fs = network,
	    .key_file = backend == CONFIG_STORE_ENCRYPTED ? key_file : NULL };

	return store_open(loop, &o, why, 200);
}

static struct store *
open_store(void)
{
	char why[200];
	struct store *st = open_at(dir, false, why);

	ck_assert_msg(st != NULL, "%s", why);
	ck_assert_str_eq(why, "");
	return st;
}

static void
make_record(struct record *rec, const struct store_key *k, const char *access)
{
	memset(rec, 0, sizeof(*rec));
	rec->name = (char *)(uintptr_t)k->name;
	rec->url = (char *)(uintptr_t)k->url;
	rec->access_token = (char *)(uintptr_t)access;
	rec->expires_at = EXPIRES_UNKNOWN;
}

static struct result
save_to(struct store *st, const struct store_key *k, const char *access)
{
	struct result r = { 0 };
	struct record rec;

	make_record(&rec, k, access);
	store_save(st, k, &rec, completed, &r);
	ck_assert(!r.done);
	wait_for(&r);
	return r;
}

static struct result
save(const struct store_key *k, const char *access)
{
	return save_to(store, k, access);
}

/* The access token of what is stored goes to `access` (64 bytes), "" if there is none. */
static struct result
load(const struct store_key *k, char *access)
{
	struct result r = { 0 };

	store_load(store, k, completed, &r);
	ck_assert(!r.done);
	wait_for(&r);
	ck_assert((r.record != NULL) == (r.what == STORE_OK));
	snprintf(access, 64, "%s", r.record != NULL ? r.record->access_token : "");
	record_free(r.record);
	r.record = NULL;
	return r;
}

static void
assert_stored(const struct store_key *k, const char *access)
{
	char found[64];
	struct result r = load(k, found);

	ck_assert_msg(r.what == STORE_OK, "%d %s", r.what, r.why);
	ck_assert_str_eq(found, access);
}

static enum store_result
load_fails(const struct store_key *k, char *why)
{
	char found[64];
	struct result r = load(k, found);

	if (why != NULL)
		memcpy(why, r.why, sizeof(r.why));
	return r.what;
}

static struct result
delete(const struct store_key *k)
{
	struct result r = { 0 };

	store_delete(store, k, completed, &r);
	ck_assert(!r.done);
	wait_for(&r);
	return r;
}

static void
path_of(const struct store_key *k, const char *suffix, char *out, size_t size)
{
	char stem[80];

	record_stem(k->name, k->url, stem, sizeof(stem));
	snprintf(out, size, "%s/%s%s", dir, stem, suffix);
}

static void
write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	ck_assert_int_ne(fd, -1);
	ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
}

/* Names in the directory that contain `part`. */
static int
count(const char *part)
{
	struct dirent *d;
	DIR *stream = opendir(dir);
	int n = 0;

	ck_assert_ptr_nonnull(stream);
	while ((d = readdir(stream)) != NULL)
		n += strstr(d->d_name, part) != NULL;
	closedir(stream);
	return n;
}

static mode_t
mode_of(const char *path)
{
	struct stat st;

	ck_assert_int_eq(lstat(path, &st), 0);
	return st.st_mode & 07777;
}

static void
setup(void)
{
	int fd;

	umask(022);
	snprintf(top, sizeof(top), "/tmp/test_store.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(top));
	snprintf(dir, sizeof(dir), "%s/state/credentials", top);
	snprintf(key_file, sizeof(key_file), "%s/key", top);
	fd = open(key_file, O_WRONLY | O_CREAT | O_EXCL, 0600);
	ck_assert_int_eq(write(fd, "0123456789abcdef0123456789abcdef", 32), 32);
	close(fd);
	loop = loop_new();
	ck_assert_ptr_nonnull(loop);
	store = open_store();
}

static void
setup_sealed(void)
{
	backend = CONFIG_STORE_ENCRYPTED;
	entry = ".sealed";
	aside = ".sealed.bad-";
	setup();
}

static int
remove_one(const char *path, _unused_ const struct stat *st, _unused_ int type,
    _unused_ struct FTW *ftw)
{
	return remove(path);
}

static void
teardown(void)
{
	store_close(store);
	loop_free(loop);
	nftw(top, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* --- entries --- */

START_TEST(test_save_load_delete)
{
	char path[256], parent[96];

	ck_assert_str_eq(store_backend(store), backend == CONFIG_STORE_FILE ? "file" : "encrypted");
	ck_assert_str_eq(store_path(store), dir);
	ck_assert_int_eq(load_fails(&key, NULL), STORE_GONE);
	ck_assert_int_eq(save(&key, "one").what, STORE_OK);
	assert_stored(&key, "one");
	ck_assert_int_eq(load_fails(&other, NULL), STORE_GONE);
	ck_assert_int_eq(save(&other, "two").what, STORE_OK);
	ck_assert_int_eq(save(&key, "three").what, STORE_OK);
	assert_stored(&key, "three");
	assert_stored(&other, "two");
	/* I6 */
	path_of(&key, entry, path, sizeof(path));
	ck_assert_uint_eq(mode_of(path), 0600);
	ck_assert_uint_eq(mode_of(dir), 0700);
	snprintf(parent, sizeof(parent), "%s/state", top);
	ck_assert_uint_eq(mode_of(parent), 0700);
	ck_assert_int_eq(delete(&key).what, STORE_OK);
	ck_assert_int_eq(load_fails(&key, NULL), STORE_GONE);
	ck_assert_int_eq(delete(&key).what, STORE_OK);
	assert_stored(&other, "two");
}
END_TEST

/* I4: two accounts at one URL, and one name at two URLs. */
START_TEST(test_keys_apart)
{
	const struct store_key elsewhere = { key.name, URL "/other" };

	ck_assert_int_eq(save(&key, "a").what, STORE_OK);
	ck_assert_int_eq(save(&other, "b").what, STORE_OK);
	ck_assert_int_eq(save(&elsewhere, "c").what, STORE_OK);
	assert_stored(&key, "a");
	assert_stored(&other, "b");
	assert_stored(&elsewhere, "c");
}
END_TEST

/* C11: in this order, and nothing left out. */
START_TEST(test_save_order)
{
	memset(kernel.trace, 0, sizeof(kernel.trace));
	ck_assert_int_eq(save(&key, "one").what, STORE_OK);
	ck_assert_str_eq(kernel.trace, "wfrd");
	memset(kernel.trace, 0, sizeof(kernel.trace));
	ck_assert_int_eq(delete(&key).what, STORE_OK);
	ck_assert_str_eq(kernel.trace, "d");
}
END_TEST

START_TEST(test_save_in_pieces)
{
	kernel.write_max = 1;
	kernel.interrupts = 3;
	ck_assert_int_eq(save(&key, "one").what, STORE_OK);
	ck_assert_int_eq(interrupted, 6);
	assert_stored(&key, "one");
}
END_TEST

/* D: whatever step fails, it is said, the old entry stands, and nothing lies about. */
START_TEST(test_save_fails)
{
	int *const steps[] = { &kernel.write_errno, &kernel.fsync_errno, &kernel.rename_errno };
	struct result r;

	ck_assert_int_eq(save(&key, "old").what, STORE_OK);
	*steps[_i] = EDQUOT;
	r = save(&key, "new");
	ck_assert_int_eq(r.what, STORE_FAILED);
	ck_assert_msg(strstr(r.why, strerrordesc_np(EDQUOT)) != NULL, "%s", r.why);
	ck_assert_int_eq(count(".tmp."), 0);
	assert_stored(&key, "old");
	*steps[_i] = 0;
	ck_assert_int_eq(save(&key, "new").what, STORE_OK);
	assert_stored(&key, "new");
}
END_TEST

START_TEST(test_save_directory_fsync_fails)
{
	kernel.fsync_dir_errno = EIO;
	ck_assert_int_eq(save(&key, "new").what, STORE_FAILED);
	ck_assert_int_eq(delete(&key).what, STORE_FAILED);
}
END_TEST

/* C3, I7: an error of the disk is no fault of the file; nothing is set aside, nothing replaced. */
START_TEST(test_unreadable)
{
	ck_assert_int_eq(save(&key, "old").what, STORE_OK);
	kernel.read_errno = EIO;
	ck_assert_int_eq(load_fails(&key, NULL), STORE_FAILED);
	ck_assert_int_eq(save(&key, "new").what, STORE_FAILED);
	kernel.read_errno = 0;
	ck_assert_int_eq(count(aside), 0);
	assert_stored(&key, "old");
}
END_TEST

START_TEST(test_save_unprintable)
{
	ck_assert_int_eq(save(&key, "old").what, STORE_OK);
	ck_assert_int_eq(save(&key, "not a token").what, STORE_FAILED);
	assert_stored(&key, "old");
}
END_TEST

/* C4: a directory that is not the one we know proves no logout. */
START_TEST(test_directory_replaced)
{
	struct result lock = { 0 };
	char moved[128], why[200];

	ck_assert_int_eq(save(&key, "one").what, STORE_OK);
	snprintf(moved, sizeof(moved), "%s.old", dir);
	ck_assert_int_eq(rename(dir, moved), 0);
	if (_i == 1)
		ck_assert_int_eq(mkdir(dir, 0700), 0);
	ck_assert_int_eq(load_fails(&key, why), STORE_FAILED);
	ck_assert_msg(strstr(why, dir) != NULL, "%s", why);
	ck_assert_int_eq(load_fails(&other, NULL), STORE_FAILED);
	ck_assert_int_eq(save(&key, "two").what, STORE_FAILED);
	ck_assert_int_eq(delete(&key).what, STORE_FAILED);
	store_lock(store, &key, completed, &lock);
	wait_for(&lock);
	ck_assert_int_eq(lock.what, STORE_FAILED);
	if (_i == 1)
		ck_assert_int_eq(rmdir(dir), 0);
	ck_assert_int_eq(rename(moved, dir), 0);
	assert_stored(&key, "one");
	ck_assert_int_eq(load_fails(&other, NULL), STORE_GONE);
}
END_TEST

START_TEST(test_directory_deleted)
{
	ck_assert_int_eq(rmdir(dir), 0);
	ck_assert_int_eq(load_fails(&key, NULL), STORE_FAILED);
	ck_assert_int_eq(save(&key, "one").what, STORE_FAILED);
	ck_assert_int_eq(mkdir(dir, 0700), 0);
	ck_assert_int_eq(load_fails(&key, NULL), STORE_FAILED);
}
END_TEST

static const char *const torn[] = {
	"", "{", "{\"v\":1,\"name\":\"linear\"", "\x80\xff", "{}",
	"{\"v\":1,\"name\":\"linear\",\"url\":\"https://mcp.example/mcp\"}",
	/* a good one of another key */
	"{\"v\":1,\"name\":\"second\",\"url\":\"https://mcp.example/mcp\",\"access_token\":\"a\"}"
};

/* I7, C4 */
START_TEST(test_torn_is_set_aside)
{
	char path[256], why[200];

	path_of(&key, entry, path, sizeof(path));
	ck_assert_int_eq(save(&other, "two").what, STORE_OK);
	write_file(path, torn[_i]);
	ck_assert_int_eq(load_fails(&key, why), STORE_BAD);
	ck_assert_msg(strstr(why, aside) != NULL, "%s", why);
	ck_assert_int_eq(access(path, F_OK), -1);
	ck_assert_int_eq(count(aside), 1);
	assert_stored(&other, "two");
	/* No logout, however often one looks. */
	ck_assert_int_eq(load_fails(&key, NULL), STORE_BAD);
	/* A second one in the same second keeps the first. */
	write_file(path, torn[_i]);
	ck_assert_int_eq(load_fails(&key, NULL), STORE_BAD);
	ck_assert_int_eq(count(aside), 2);
	/* A login makes it good, a logout clears all. */
	ck_assert_int_eq(save(&key, "new").what, STORE_OK);
	assert_stored(&key, "new");
	ck_assert_int_eq(delete(&key).what, STORE_OK);
	ck_assert_int_eq(count(aside), 0);
	ck_assert_int_eq(load_fails(&key, NULL), STORE_GONE);
	assert_stored(&other, "two");
}
END_TEST

/* I7: not even a login overwrites it silently. */
START_TEST(test_torn_is_not_overwritten)
{
	char path[256];

	path_of(&key, entry, path, sizeof(path));
	write_file(path, "{\"v\":1,");
	ck_assert_int_eq(save(&key, "new").what, STORE_OK);
	ck_assert_int_eq(count(aside), 1);
	assert_stored(&key, "new");
}
END_TEST

START_TEST(test_huge_is_set_aside)
{
	char path[256];

	path_of(&key, entry, path, sizeof(path));
	write_file(path, "{\"v\":1}");
	ck_assert_int_eq(truncate(path, 64 * MIB), 0);
	ck_assert_int_eq(load_fails(&key, NULL), STORE_BAD);
	ck_assert_int_eq(count(aside), 1);
}
END_TEST

/* The OFD lock of the key, taken as another process would. */
static int
hold_lock(const struct store_key *k)
{
	struct flock fl = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	char path[256];
	int fd;

	path_of(k, ".lock", path, sizeof(path));
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	ck_assert_int_ne(fd, -1);
	if (fcntl(fd, F_OFD_SETLK, &fl) == 0)
		return fd;
	close(fd);
	return -1;
}

/* While another works on it, nothing is renamed under his hands; our own lock is no hindrance. */
START_TEST(test_torn_under_lock)
{
	struct result lock = { 0 };
	char path[256];
	int fd;

	path_of(&key, entry, path, sizeof(path));
	write_file(path, "{");
	fd = hold_lock(&key);
	ck_assert_int_eq(load_fails(&key, NULL), STORE_BAD);
	ck_assert_int_eq(save(&key, "new").what, STORE_FAILED);
	ck_assert_int_eq(access(path, F_OK), 0);
	close(fd);
	store_lock(store, &key, completed, &lock);
	wait_for(&lock);
	ck_assert_int_eq(load_fails(&key, NULL), STORE_BAD);
	ck_assert_int_eq(access(path, F_OK), -1);
	ck_assert_int_eq(hold_lock(&key), -1);	/* and we have it still */
	store_unlock(lock.lock);
}
END_TEST

/* Design 4: a newer version's record is refused, and never rewritten. */
START_TEST(test_newer)
{
	const char *text = backend == CONFIG_STORE_FILE ? "{\"v\":2,\"anything\":true}\n" :
	    "mcp-authd sealed 2\nanything\n";
	char path[256], found[64] = "";
	int fd;

	path_of(&key, entry, path, sizeof(path));
	write_file(path, text);
	ck_assert_int_eq(load_fails(&key, NULL), STORE_BAD);
	ck_assert_int_eq(save(&key, "new").what, STORE_FAILED);
	ck_assert_int_eq(count(aside), 0);
	fd = open(path, O_RDONLY);
	ck_assert_int_eq(read(fd, found, sizeof(found) - 1), (ssize_t)strlen(text));
	close(fd);
	ck_assert_str_eq(found, text);
}
END_TEST

enum refusal { REFUSE_SYMLINK, REFUSE_FIFO, REFUSE_GROUP, REFUSE_OTHERS, REFUSE_OWNER, REFUSALS };

/* false: cannot be made here. */
static bool
make_refused(enum refusal what, const char *path)
{
	char target[300];

	switch (what) {
	case REFUSE_SYMLINK:
		snprintf(target, sizeof(target), "%s.target", path);
		return rename(path, target) == 0 && symlink(target, path) == 0;
	case REFUSE_FIFO:
		return unlink(path) == 0 && mkfifo(path, 0600) == 0;
	case REFUSE_GROUP:
		return chmod(path, 0640) == 0;
	case REFUSE_OTHERS:
		return chmod(path, 0602) == 0;
	case REFUSE_OWNER:
		return geteuid() == 0 && chown(path, 65534, 0) == 0;
	case REFUSALS:
		break;
	}
	return false;
}

/* I6: entries */
START_TEST(test_entry_refused)
{
	char path[256], why[200];
	struct stat before, after;

	path_of(&key, entry, path, sizeof(path));
	ck_assert_int_eq(save(&key, "one").what, STORE_OK);
	if (!make_refused((enum refusal)_i, path)) {
		ck_assert_int_eq(_i, REFUSE_OWNER);
		return;
	}
	ck_assert_int_eq(lstat(path, &before), 0);
	ck_assert_int_eq(load_fails(&key, why), STORE_BAD);
	ck_assert_msg(strstr(why, path) != NULL, "%s", why);
	ck_assert_int_eq(save(&key, "two").what, STORE_FAILED);
	ck_assert_int_eq(lstat(path, &after), 0);
	ck_assert_uint_eq(before.st_ino, after.st_ino);
	ck_assert_int_eq(count(aside), 0);
}
END_TEST

/* I6, I2: lock files */
START_TEST(test_lock_refused)
{
	struct result lock = { 0 };
	char path[256];

	path_of(&key, ".lock", path, sizeof(path));
	write_file(path, "");
	if (!make_refused((enum refusal)_i, path)) {
		ck_assert_int_eq(_i, REFUSE_OWNER);
		return;
	}
	store_lock(store, &key, completed, &lock);
	ck_assert(!lock.done);
	wait_for(&lock);
	ck_assert_int_eq(lock.what, STORE_FAILED);
	ck_assert_ptr_null(lock.lock);
}
END_TEST

/* --- opening --- */

static void
assert_open_fails(const char *path, const char *word)
{
	char why[200] = "";

	ck_assert_ptr_null(open_at(path, false, why));
	ck_assert_msg(strstr(why, word) != NULL, "%s: %s", path, why);
}

/* I6: the directory */
START_TEST(test_directory_refused)
{
	char path[160];

	snprintf(path, sizeof(path), "%s/link", top);
	ck_assert_int_eq(symlink(dir, path), 0);
	assert_open_fails(path, "symbolic link");
	strcat(path, "/");
	assert_open_fails(path, "symbolic link");
	strcat(path, "./");
	assert_open_fails(path, "symbolic link");
	snprintf(path, sizeof(path), "%s/file", top);
	write_file(path, "");
	assert_open_fails(path, path);
	strcat(path, "/below");
	assert_open_fails(path, path);
	assert_open_fails("relative/path", "absolute");
	assert_open_fails("", "absolute");
	ck_assert_int_eq(chmod(dir, 0750), 0);
	assert_open_fails(dir, "chmod 0700");
	ck_assert_int_eq(chmod(dir, 0701), 0);
	assert_open_fails(dir, "chmod 0700");
	ck_assert_int_eq(chmod(dir, 0700), 0);
	if (geteuid() == 0) {
		ck_assert_int_eq(chown(dir, 65534, 0), 0);
		assert_open_fails(dir, "belongs to");
	}
}
END_TEST

static const long network_types[] = { NFS, 0x65735546, 0xff534d42, 0x01021997 };

/* I6 */
START_TEST(test_network_refused)
{
	struct store *st;
	char why[200];

	kernel.fs_type = network_types[_i];
	assert_open_fails(dir, "network");
	st = open_at(dir, true, why);
	ck_assert_ptr_nonnull(st);
	store_close(st);
}
END_TEST

/*
 * The store is closed first: a child of a process with threads inherits the
 * allocator's locks as they are, AddressSanitizer's for ever.  Reopen it.
 */
static pid_t
fork_alone(void)
{
	store_close(store);
	store = NULL;
	return fork();
}

static pid_t
dead_pid(void)
{
	pid_t pid = fork_alone();

	if (pid == 0)
		_exit(0);
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
	return pid;
}

static void
write_temp(const struct store_key *k, pid_t pid)
{
	char path[256], suffix[64];

	snprintf(suffix, sizeof(suffix), "%s.tmp.%ld.0", entry, (long)pid);
	path_of(k, suffix, path, sizeof(path));
	write_file(path, "{");
}

/* What a crash left goes, what may be at work stays. */
START_TEST(test_leftovers)
{
	int fd;

	write_temp(&key, dead_pid());
	write_temp(&key, getpid());	/* of a namesake, in another life of the container */
	write_temp(&key, getppid());	/* alive */
	write_temp(&other, dead_pid());
	fd = hold_lock(&other);		/* ... but somebody is at work */
	store = open_store();
	ck_assert_int_eq(count(".tmp."), 2);
	ck_assert_int_eq(count("second"), 2);	/* temp file and lock */
	close(fd);
	store_close(store);
	store = open_store();
	ck_assert_int_eq(count(".tmp."), 1);
	/* A temp file in our way is no hindrance. */
	write_temp(&key, getpid());
	ck_assert_int_eq(save(&key, "one").what, STORE_OK);
	assert_stored(&key, "one");
}
END_TEST

/* --- locks --- */

static void
ask_lock(struct store *st, const struct store_key *k, struct result *r)
{
	memset(r, 0, sizeof(*r));
	store_lock(st, k, completed, r);
	ck_assert(!r->done);
}

static void
get_lock(struct store *st, const struct store_key *k, struct result *r)
{
	ask_lock(st, k, r);
	wait_for(r);
	ck_assert_msg(r->what == STORE_OK, "%s", r->why);
	ck_assert_ptr_nonnull(r->lock);
}

/* One process, two stores and one: they exclude each other, and are served in order. */
START_TEST(test_lock_excludes)
{
	struct store *second = open_store();
	struct result a, b, c, d, elsewhere;
	char path[256];

	get_lock(store, &key, &a);
	path_of(&key, ".lock", path, sizeof(path));
	ck_assert_uint_eq(mode_of(path), 0600);
	ck_assert_int_eq(hold_lock(&key), -1);
	ask_lock(store, &key, &b);
	ask_lock(store, &key, &c);
	ask_lock(second, &key, &d);
	get_lock(store, &other, &elsewhere);	/* I3: keys do not wait for each other */
	ck_assert(!run_until(&b.done, 200));
	ck_assert(!c.done && !d.done);
	store_unlock(a.lock);
	/* b before c; d is another's queue. */
	while (!b.done || !c.done || !d.done) {
		struct result *r = !b.done && !d.done ? NULL : b.lock != NULL ? &b :
		    d.lock != NULL ? &d : c.lock != NULL ? &c : NULL;

		if (r != NULL) {
			ck_assert_int_eq(hold_lock(&key), -1);
			store_unlock(r->lock);
			r->lock = NULL;
		}
		loop_run(loop);
	}
	ck_assert_int_lt(b.order, c.order);
	store_unlock(b.lock);
	store_unlock(c.lock);
	store_unlock(d.lock);
	store_unlock(elsewhere.lock);
	store_unlock(NULL);
	store_close(second);
}
END_TEST

/* Who asked first is first, though the pauses between his tries have grown long by now. */
START_TEST(test_lock_in_order)
{
	struct flock fl = { .l_type = F_UNLCK, .l_whence = SEEK_SET };
	struct result first, second;
	int fd = hold_lock(&key);

	ask_lock(store, &key, &first);
	ck_assert(!run_until(&first.done, 2000));
	ask_lock(store, &key, &second);
	ck_assert(!run_until(&second.done, 20));
	/* No close, so that nobody is told. */
	ck_assert_int_eq(fcntl(fd, F_OFD_SETLK, &fl), 0);
	wait_for(&first);
	ck_assert(!second.done);
	store_unlock(first.lock);
	wait_for(&second);
	store_unlock(second.lock);
	close(fd);
}
END_TEST

/* C2 */
START_TEST(test_lock_timeout)
{
	struct result first, second;
	int64_t begin = loop_now(loop).boot, took;
	int fd = hold_lock(&key);

	store_set_lock_wait(store, 300);
	ask_lock(store, &key, &first);
	ask_lock(store, &key, &second);
	wait_for(&first);
	wait_for(&second);
	took = loop_now(loop).boot - begin;
	ck_assert_int_eq(first.what, STORE_TIMEOUT);
	ck_assert_int_eq(second.what, STORE_TIMEOUT);
	ck_assert_ptr_null(first.lock);
	ck_assert_msg(took >= 300 && took < 2000, "%lld ms", (long long)took);
	close(fd);
	get_lock(store, &key, &first);
	store_unlock(first.lock);
}
END_TEST

/* The free lock is given also to one who may not wait. */
START_TEST(test_lock_without_wait)
{
	struct result r;

	store_set_lock_wait(store, 0);
	get_lock(store, &key, &r);
	store_unlock(r.lock);
}
END_TEST

/* Another process, in the ways in which it may end its hold; woken at once, not by a back-off. */
START_TEST(test_lock_of_process)
{
	int64_t begin, took;
	struct result r;
	int ready[2];
	char byte;
	pid_t pid;

	ck_assert_int_eq(pipe(ready), 0);
	pid = fork_alone();
	if (pid == 0) {
		hold_lock(&key);
		(void)!write(ready[1], "", 1);
		pause();
		_exit(0);
	}
	store = open_store();
	ck_assert_int_eq(read(ready[0], &byte, 1), 1);
	ask_lock(store, &key, &r);
	/* By now the back-off is at its longest. */
	ck_assert(!run_until(&r.done, 2000));
	kill(pid, SIGKILL);
	begin = loop_now(loop).boot;
	wait_for(&r);
	took = loop_now(loop).boot - begin;
	ck_assert_int_eq(r.what, STORE_OK);
	ck_assert_msg(took < 400, "%lld ms", (long long)took);
	store_unlock(r.lock);
	waitpid(pid, NULL, 0);
}
END_TEST

/* Lock files are never unlinked; if somebody does it all the same, a lock is still one. */
START_TEST(test_lock_file_deleted)
{
	struct result r;
	char path[256];
	int fd = hold_lock(&key);

	path_of(&key, ".lock", path, sizeof(path));
	ask_lock(store, &key, &r);
	ck_assert(!run_until(&r.done, 100));
	ck_assert_int_eq(unlink(path), 0);
	wait_for(&r);
	ck_assert_int_eq(r.what, STORE_OK);
	ck_assert_int_eq(hold_lock(&key), -1);
	close(fd);
	ck_assert_int_eq(hold_lock(&key), -1);
	/* The worst moment: between the opening and the locking. */
	store_unlock(r.lock);
	kernel.deleted = path;
	get_lock(store, &key, &r);
	ck_assert_ptr_null(kernel.deleted);
	ck_assert_int_eq(hold_lock(&key), -1);
	store_unlock(r.lock);
}
END_TEST

/* Who is woken by the close of a lock file must find it free: the unlock comes first. */
START_TEST(test_unlock_before_close)
{
	struct result r;

	get_lock(store, &key, &r);
	memset(kernel.trace, 0, sizeof(kernel.trace));
	store_unlock(r.lock);
	get_lock(store, &key, &r);
	ck_assert_str_eq(kernel.trace, "u");
	store_unlock(r.lock);
}
END_TEST

/* An unlock stands behind the save that was given before it. */
START_TEST(test_unlock_behind_save)
{
	struct store *second = open_store();
	struct result saved = { 0 }, a, b;
	struct record rec;

	get_lock(store, &key, &a);
	ask_lock(second, &key, &b);
	make_record(&rec, &key, "one");
	store_save(store, &key, &rec, completed, &saved);
	store_unlock(a.lock);
	wait_for(&b);
	assert_stored(&key, "one");
	wait_for(&saved);
	store_unlock(b.lock);
	store_close(second);
}
END_TEST

START_TEST(test_forget)
{
	struct result loaded = { 0 }, saved = { 0 }, a, b, c;
	struct record rec;

	/* The work goes on. */
	make_record(&rec, &key, "one");
	store_save(store, &key, &rec, completed, &saved);
	store_forget(store, &saved);
	assert_stored(&key, "one");
	store_load(store, &key, completed, &loaded);
	store_forget(store, &loaded);
	assert_stored(&key, "one");
	ck_assert(!saved.done && !loaded.done);
	/* A lock that was on its way is released ... */
	ask_lock(store, &key, &a);
	store_forget(store, &a);
	get_lock(store, &key, &b);
	/* ... one that waits is given up, and does not keep the next from his turn. */
	ask_lock(store, &key, &a);
	ask_lock(store, &key, &c);
	ck_assert(!run_until(&a.done, 100));
	store_forget(store, &a);
	store_unlock(b.lock);
	wait_for(&c);
	ck_assert(!a.done);
	/* What was handed out is not taken back. */
	store_forget(store, &c);
	ck_assert(!run_until(&a.done, 100));
	ck_assert_int_eq(hold_lock(&key), -1);
	store_unlock(c.lock);
}
END_TEST

/* What was given is finished, and nobody is told. */
START_TEST(test_close)
{
	struct result saved = { 0 }, loaded = { 0 }, held, waiting, trying;
	struct record rec;

	get_lock(store, &other, &held);
	ask_lock(store, &other, &waiting);
	ck_assert(!run_until(&waiting.done, 100));
	ask_lock(store, &key, &trying);
	make_record(&rec, &key, "one");
	store_load(store, &key, completed, &loaded);
	store_save(store, &key, &rec, completed, &saved);
	store_close(store);
	ck_assert(!saved.done && !loaded.done && !waiting.done && !trying.done);
	ck_assert_int_eq(hold_lock(&other), -1);
	store_unlock(held.lock);
	ck_assert_int_ne(hold_lock(&other), -1);
	ck_assert_int_ne(hold_lock(&key), -1);
	store = open_store();
	assert_stored(&key, "one");
	ck_assert(!saved.done && !loaded.done && !waiting.done && !trying.done);
}
END_TEST

/* --- watches --- */

struct told {
	bool	 any;
	int	 times;
};

static void
told(void *arg)
{
	struct told *t = arg;

	t->any = true;
	t->times++;
	loop_stop(loop);
}

static bool
was_told(struct told *t)
{
	bool any = run_until(&t->any, PATIENCE);

	t->any = false;
	return any;
}

/* Everything that was queued so far is seen: a change of another key behind it comes through. */
static void
see_all(struct store *st)
{
	static const struct store_key mark = { "mark", URL };
	struct told t = { 0 };

	ck_assert_int_eq(store_watch(store, &mark, told, &t), 0);
	ck_assert_int_eq(save_to(st, &mark, "m").what, STORE_OK);
	ck_assert(was_told(&t));
	ck_assert_int_eq(store_watch(store, &mark, NULL, NULL), 0);
}

/* H2: by whomever and in whatever way it is changed. */
START_TEST(test_watch)
{
	struct store *second = open_store();
	struct told t = { 0 };
	char path[256], beside[256];

	path_of(&key, entry, path, sizeof(path));
	path_of(&key, ".beside", beside, sizeof(beside));
	ck_assert_int_eq(store_watch(store, &key, told, &t), 0);
	ck_assert_int_eq(save_to(second, &key, "one").what, STORE_OK);
	ck_assert(was_told(&t));
	ck_assert_int_eq(save(&key, "two").what, STORE_OK);
	ck_assert(was_told(&t));
	ck_assert_int_eq(rename(path, beside), 0);
	ck_assert(was_told(&t));
	ck_assert_int_eq(link(beside, path), 0);
	ck_assert(was_told(&t));
	write_file(path, "{");
	ck_assert(was_told(&t));
	ck_assert_int_eq(unlink(path), 0);
	ck_assert(was_told(&t));
	store_close(second);
}
END_TEST

/* Neither temp nor lock files nor other keys, nor after its end. */
START_TEST(test_watch_nothing_else)
{
	struct told t = { 0 };
	struct result lock;
	char path[256];

	ck_assert_int_eq(store_watch(store, &key, told, &t), 0);
	get_lock(store, &key, &lock);
	store_unlock(lock.lock);
	write_temp(&key, getpid());
	char name[64];

	snprintf(name, sizeof(name), "%s20200101T000000Z", aside);
	path_of(&key, name, path, sizeof(path));
	write_file(path, "");
	ck_assert_int_eq(save(&other, "x").what, STORE_OK);
	see_all(store);
	ck_assert_int_eq(t.times, 0);
	/* A second watch of the key replaces the first. */
	ck_assert_int_eq(store_watch(store, &key, told, &t), 0);
	ck_assert_int_eq(store_watch(store, &key, NULL, NULL), 0);
	ck_assert_int_eq(store_watch(store, &key, NULL, NULL), 0);
	ck_assert_int_eq(save(&key, "one").what, STORE_OK);
	see_all(store);
	ck_assert_int_eq(t.times, 0);
}
END_TEST

START_TEST(test_watch_directory_moved)
{
	struct told t = { 0 };
	char moved[128];

	ck_assert_int_eq(store_watch(store, &key, told, &t), 0);
	snprintf(moved, sizeof(moved), "%s.old", dir);
	ck_assert_int_eq(rename(dir, moved), 0);
	ck_assert(was_told(&t));
	ck_assert(was_told(&t));	/* and from now on we look ourselves */
}
END_TEST

/* A change whose event was lost among too many others. */
START_TEST(test_watch_overflow)
{
	struct told t = { 0 };
	char noise[128];
	FILE *f = fopen("/proc/sys/fs/inotify/max_queued_events", "r");
	int max = 0, i;

	ck_assert_ptr_nonnull(f);
	ck_assert_int_eq(fscanf(f, "%d", &max), 1);
	fclose(f);
	ck_assert_int_eq(store_watch(store, &key, told, &t), 0);
	snprintf(noise, sizeof(noise), "%s/noise", dir);
	for (i = 0; i < max; i++) {	/* create, close, delete */
		write_file(noise, "");
		unlink(noise);
	}
	ck_assert(was_told(&t));
}
END_TEST

/* H2 where inotify may be blind, and where there is none: every 5 s. */
START_TEST(test_watch_polls)
{
	struct told network = { 0 }, blind = { 0 };
	struct store *a, *b;
	char why[200];

	kernel.fs_type = NFS;
	a = open_at(dir, true, why);
	kernel.fs_type = 0;
	kernel.no_inotify = true;
	b = open_at(dir, false, why);
	ck_assert(a != NULL && b != NULL);
	ck_assert_int_eq(store_watch(a, &key, told, &network), 0);
	ck_assert_int_eq(store_watch(b, &key, told, &blind), 0);
	ck_assert(was_told(&network));
	ck_assert(was_told(&blind));
	ck_assert(was_told(&network));
	store_close(a);
	store_close(b);
}
END_TEST

/* --- many processes --- */

#define PROCESSES	8
#define KEYS		4
#define UPDATES		25

/* One key's locked read-and-write, over and over, as the callbacks come. */
struct updater {
	char		 name[16];
	struct store_key key;
	struct store_lock *lock;
	int		 left;
};

static int	updaters;

static void	update_next(struct updater *);

static void
update_saved(void *arg, struct store_reply *reply)
{
	struct updater *u = arg;

	if (reply->result != STORE_OK)
		_exit(4);
	store_unlock(u->lock);
	u->left--;
	update_next(u);
}

static void
update_loaded(void *arg, struct store_reply *reply)
{
	struct updater *u = arg;
	struct record rec;
	char token[32];
	int n = 0;

	if (reply->result == STORE_OK)
		n = atoi(reply->record->access_token);
	else if (reply->result != STORE_GONE)
		_exit(3);
	snprintf(token, sizeof(token), "%d", n + 1);
	make_record(&rec, &u->key, token);
	store_save(store, &u->key, &rec, update_saved, u);
}

static void
update_locked(void *arg, struct store_reply *reply)
{
	struct updater *u = arg;

	if (reply->result != STORE_OK)
		_exit(2);
	u->lock = reply->lock;
	store_load(store, &u->key, update_loaded, u);
}

static void
update_next(struct updater *u)
{
	if (u->left > 0)
		store_lock(store, &u->key, update_locked, u);
	else if (--updaters == 0)
		loop_stop(loop);
}

static void
updater_key(struct updater *u, int i)
{
	snprintf(u->name, sizeof(u->name), "key-%d", i);
	u->key = (struct store_key){ u->name, URL };
}

static void
update_process(void)
{
	struct updater u[KEYS];
	char why[200];
	int i;

	loop = loop_new();
	store = open_at(dir, false, why);
	if (store == NULL)
		_exit(1);
	updaters = KEYS;
	for (i = 0; i < KEYS; i++) {
		updater_key(&u[i], i);
		u[i].left = UPDATES;
		update_next(&u[i]);
	}
	loop_run(loop);
	store_close(store);
	_exit(0);
}

/* I3, C: nothing is lost between two, and between eight. */
START_TEST(test_processes)
{
	int processes = _i == 0 ? 2 : PROCESSES, i, status;
	struct updater u;
	char expected[32];
	pid_t pid[PROCESSES];

	for (i = 0; i < processes; i++)
		if ((pid[i] = fork_alone()) == 0)
			update_process();
	for (i = 0; i < processes; i++) {
		ck_assert_int_eq(waitpid(pid[i], &status, 0), pid[i]);
		ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "status %x", status);
	}
	store = open_store();
	snprintf(expected, sizeof(expected), "%d", processes * UPDATES);
	for (i = 0; i < KEYS; i++) {
		updater_key(&u, i);
		assert_stored(&u.key, expected);
	}
	ck_assert_int_eq(count(".tmp."), 0);
	ck_assert_int_eq(count(".bad-"), 0);
}
END_TEST

/* Saves without an end; each token is all of one letter. */
static void
save_for_ever(void)
{
	char token[2000], why[200];
	struct result r;
	struct record rec;
	int i;

	loop = loop_new();
	store = open_at(dir, false, why);
	for (i = 0; ; i++) {
		memset(token, 'a' + i % 26, sizeof(token) - 1);
		token[sizeof(token) - 1] = '\0';
		make_record(&rec, &key, token);
		memset(&r, 0, sizeof(r));
		store_save(store, &key, &rec, completed, &r);
		while (!r.done)
			loop_run(loop);
	}
}

/* C11: killed at any moment, the entry is whole, old or new; the next start clears up. */
START_TEST(test_killed)
{
	struct result r;
	const char *t;
	pid_t pid;
	int round;

	ck_assert_int_eq(save(&key, "first").what, STORE_OK);
	for (round = 0; round < 25; round++) {
		pid = fork_alone();
		if (pid == 0)
			save_for_ever();
		usleep((useconds_t)(random() % 20000));
		kill(pid, SIGKILL);
		ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
		store = open_store();
		ck_assert_int_eq(count(".tmp."), 0);
		memset(&r, 0, sizeof(r));
		store_load(store, &key, completed, &r);
		wait_for(&r);
		ck_assert_msg(r.what == STORE_OK, "%s", r.why);
		t = r.record->access_token;
		ck_assert(strcmp(t, "first") == 0 || strspn(t, (char []){ *t, '\0' }) == 1999);
		record_free(r.record);
	}
}
END_TEST

static void
add_file_tests(TCase *tc)
{
	tcase_add_test(tc, test_save_load_delete);
	tcase_add_test(tc, test_keys_apart);
	tcase_add_test(tc, test_save_order);
	tcase_add_test(tc, test_save_in_pieces);
	tcase_add_loop_test(tc, test_save_fails, 0, 3);
	tcase_add_test(tc, test_save_directory_fsync_fails);
	tcase_add_test(tc, test_unreadable);
	tcase_add_test(tc, test_save_unprintable);
	tcase_add_loop_test(tc, test_directory_replaced, 0, 2);
	tcase_add_test(tc, test_directory_deleted);
	tcase_add_loop_test(tc, test_torn_is_set_aside, 0, nitems(torn));
	tcase_add_test(tc, test_torn_is_not_overwritten);
	tcase_add_test(tc, test_huge_is_set_aside);
	tcase_add_test(tc, test_torn_under_lock);
	tcase_add_test(tc, test_newer);
	tcase_add_loop_test(tc, test_entry_refused, 0, REFUSALS);
	tcase_add_loop_test(tc, test_lock_refused, 0, REFUSALS);
	tcase_add_test(tc, test_directory_refused);
	tcase_add_loop_test(tc, test_network_refused, 0, nitems(network_types));
	tcase_add_test(tc, test_leftovers);
}

static void
add_other_tests(TCase *tc)
{
	tcase_add_test(tc, test_lock_excludes);
	tcase_add_test(tc, test_lock_in_order);
	tcase_add_test(tc, test_lock_timeout);
	tcase_add_test(tc, test_lock_without_wait);
	tcase_add_test(tc, test_lock_of_process);
	tcase_add_test(tc, test_lock_file_deleted);
	tcase_add_test(tc, test_unlock_before_close);
	tcase_add_test(tc, test_unlock_behind_save);
	tcase_add_test(tc, test_forget);
	tcase_add_test(tc, test_close);
	tcase_add_test(tc, test_watch);
	tcase_add_test(tc, test_watch_nothing_else);
	tcase_add_test(tc, test_watch_directory_moved);
	tcase_add_test(tc, test_watch_overflow);
	tcase_add_test(tc, test_watch_polls);
	tcase_add_loop_test(tc, test_processes, 0, 2);
	tcase_add_test(tc, test_killed);
}

int
main(void)
{
	Suite *s = suite_create("store");
	TCase *tc = tcase_create("store");
	SRunner *sr;
	int failed;

	tcase_set_timeout(tc, 60);
	tcase_add_checked_fixture(tc, setup, teardown);
	add_file_tests(tc);
	add_other_tests(tc);
	suite_add_tcase(s, tc);
	tc = tcase_create("sealed");
	tcase_set_timeout(tc, 60);
	tcase_add_checked_fixture(tc, setup_sealed, teardown);
	add_file_tests(tc);
	tcase_add_loop_test(tc, test_processes, 0, 2);
	tcase_add_test(tc, test_killed);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
