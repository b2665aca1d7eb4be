#include <sys/stat.h>

#include <fcntl.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "bounds.h"
#include "store_file_dir.h"

#define NAME_TRIES	1000	/* names of temp files left by a namesake in another container */

/* --- set-aside entries --- */

struct stem_visit {
	const char	*prefix;	/* STEM.json.bad- */
	char		 name[STORE_NAME * 2];
};

static int
find_prefix(_unused_ struct store_dir *dir, const char *name, void *arg)
{
	struct stem_visit *v = arg;

	if (strncmp(name, v->prefix, strlen(v->prefix)) != 0)
		return 0;
	snprintf(v->name, sizeof(v->name), "%s", name);
	return 1;
}

static int
remove_prefix(struct store_dir *dir, const char *name, void *arg)
{
	struct stem_visit *v = arg;

	if (strncmp(name, v->prefix, strlen(v->prefix)) != 0)
		return 0;
	if (unlinkat(dir->fd, name, 0) == -1 && errno != ENOENT) {
		snprintf(v->name, sizeof(v->name), "%s", name);
		return -1;
	}
	return 0;
}

/* STEM.json.bad-TIME, or with -N behind it if that is taken. */
static int
free_bad_name(struct store_dir *dir, const char *stem, char *out, size_t size)
{
	char when[32];
	struct stat st;
	struct tm tm;
	time_t now;
	int n;

	now = time(NULL);
	gmtime_r(&now, &tm);
	strftime(when, sizeof(when), "%Y%m%dT%H%M%SZ", &tm);
	snprintf(out, size, "%s.json.bad-%s", stem, when);
	for (n = 1; n < NAME_TRIES; n++) {
		if (fstatat(dir->fd, out, &st, AT_SYMLINK_NOFOLLOW) == -1)
			return errno == ENOENT ? 0 : -1;
		snprintf(out, size, "%s.json.bad-%s-%d", stem, when, n);
	}
	errno = EEXIST;
	return -1;
}

/* Renames the entry.  Its lock is held: nobody has replaced it since it was read. */
static enum store_result
set_aside(struct store_dir *dir, const char *stem, const char *fault, struct store_why why)
{
	char name[STORE_NAME], bad[STORE_NAME];

	snprintf(name, sizeof(name), "%s.json", stem);
	if (free_bad_name(dir, stem, bad, sizeof(bad)) == -1 ||
	    renameat(dir->fd, name, dir->fd, bad) == -1) {
		store_say(why, "%s/%s is unreadable (%s) and cannot be set aside: %s", dir->path,
		    name, fault, strerrordesc_np(errno));
		return STORE_BAD;
	}
	store_flush(dir->fd);
	store_say(why, "set aside as %s/%s: %s", dir->path, bad, fault);
	return STORE_BAD;
}

/* --- loading --- */

/* 0, or -1 with errno; EFBIG for what cannot be a record. */
static int
read_all(int fd, struct buf *out)
{
	ssize_t n;
	int r;

	for (;;) {
		if ((r = buf_reserve(out, out->len == 0 ? 4 * KIB : 1)) < 0) {
			errno = r == -EMSGSIZE ? EFBIG : ENOMEM;
			return -1;
		}
		n = read(fd, out->p + out->len, out->cap - out->len - 1);
		if (n == -1 && errno == EINTR)
			continue;
		if (n <= 0)
			return (int)n;
		out->len += (size_t)n;
		out->p[out->len] = '\0';
	}
}

/* ENOENT of an entry: a logout, or something that must not be taken for one (C4)? */
static enum store_result
why_absent(struct store_dir *dir, const char *stem, struct store_why why)
{
	char prefix[STORE_NAME];
	struct stem_visit v = { .prefix = prefix };
	int r;

	snprintf(prefix, sizeof(prefix), "%s.json.bad-", stem);
	r = store_dir_each(dir, find_prefix, &v);
	if (!store_dir_same(dir, why))
		return STORE_FAILED;
	if (r == -1)
		return store_failed(dir, "", "read the directory", why);
	if (r == 1) {
		store_say(why, "was set aside as %s/%s: mend it and rename it back, or log in anew",
		    dir->path, v.name);
		return STORE_BAD;
	}
	return STORE_GONE;
}

/* Reads the entry's bytes.  OK; GONE if there is no such file; BAD if I6 forbids to read it. */
static enum store_result
read_entry(struct store_dir *dir, const char *stem, struct buf *out, struct store_why why)
{
	char name[STORE_NAME];
	enum store_result result = STORE_OK;
	int fd;

	snprintf(name, sizeof(name), "%s.json", stem);
	fd = store_dir_openat(dir, name, O_RDONLY, "open", why);
	if (fd == -1 && errno == ENOENT) {
		store_say(why, "%s", "");
		return STORE_GONE;
	}
	if (fd == -1)
		return errno == EPERM || errno == ELOOP ? STORE_BAD : STORE_FAILED;
	if (read_all(fd, out) == -1 && errno != EFBIG)
		result = store_failed(dir, name, "read", why);
	close(fd);
	return result;
}

static bool
right_key(const struct record *rec, const struct store_key *key)
{
	return strcmp(rec->name, key->name) == 0 && strcmp(rec->url, key->url) == 0;
}

/* OK, GONE (any ENOENT), BAD or FAILED; corrupt: BAD with the fault, and no words yet. */
static enum store_result
parse_entry(struct store_dir *dir, const struct store_key *key, const char *stem,
    struct record **ret, const char **ret_fault, struct store_why why)
{
	struct buf text = BUF_SECRET(RECORD_BYTES + 1);
	enum store_result result;
	const char *fault = NULL;
	struct record *rec;
	int err = 0;

	result = read_entry(dir, stem, &text, why);
	if (result != STORE_OK) {
		buf_free(&text);
		return result;
	}
	rec = record_parse(text.p, text.len, &err, &fault);
	buf_free(&text);
	if (rec != NULL && right_key(rec, key)) {
		*ret = rec;
		return STORE_OK;
	}
	if (rec == NULL && err != -EBADMSG) {
		store_say(why, "%s/%s.json: %s", dir->path, stem, fault);
		return err == -ENOTSUP ? STORE_BAD : STORE_FAILED;
	}
	*ret_fault = rec != NULL ? "it belongs to another upstream" : fault;
	record_free(rec);
	return STORE_BAD;
}

/*
 * As load, but GONE for any ENOENT.  What is corrupt is set aside (I7), but
 * only if it is so under the credential's lock, which we have or take for the
 * moment: else a sibling's good save could come between reading and renaming.
 */
static enum store_result
load_entry(struct store_dir *dir, const struct store_key *key, const char *stem,
    struct record **ret, struct store_why why)
{
	struct store_flock lock = { .fd = -1 };
	enum store_result result;
	const char *fault = NULL;
	int r;

	result = parse_entry(dir, key, stem, ret, &fault, why);
	if (fault == NULL)
		return result;
	if (store_dir_holds(dir, stem))
		return set_aside(dir, stem, fault, why);
	snprintf(lock.stem, sizeof(lock.stem), "%s", stem);
	r = store_dir_lock(dir, &lock, why);
	if (r == 0) {
		fault = NULL;
		result = parse_entry(dir, key, stem, ret, &fault, why);
		if (fault != NULL)
			result = set_aside(dir, stem, fault, why);
	} else if (r == -EAGAIN)
		store_say(why, "%s/%s.json is unreadable (%s), and its lock is taken", dir->path,
		    stem, fault);
	store_dir_unlock(dir, &lock);
	return result;
}

static enum store_result
file_load(void *arg, const struct store_key *key, const char *stem, struct record **ret,
    struct store_why why)
{
	struct store_dir *dir = arg;
	enum store_result result;

	if (!store_dir_same(dir, why))
		return STORE_FAILED;
	result = load_entry(dir, key, stem, ret, why);
	return result == STORE_GONE ? why_absent(dir, stem, why) : result;
}

/* --- saving --- */

static int
write_all(int fd, const char *p, size_t n)
{
	ssize_t w;

	while (n > 0) {
		w = write(fd, p, n);
		if (w == -1 && errno == EINTR)
			continue;
		if (w <= 0) {
			if (w == 0)
				errno = ENOSPC;
			return -1;
		}
		p += w;
		n -= (size_t)w;
	}
	return 0;
}

/* Creates STEM.json.tmp.PID.N. */
static int
open_temp(struct store_dir *dir, const char *stem, char *name, size_t size)
{
	int fd, i;

	for (i = 0; i < NAME_TRIES; i++) {
		snprintf(name, size, "%s.json.tmp.%ld.%lu", stem, (long)getpid(), dir->temps++);
		fd = openat(dir->fd, name,
		    O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
		if (fd != -1 || (errno != EEXIST && errno != EINTR))
			return fd;
	}
	return -1;
}

/* Writes and renames; -1 with errno, *ret_what says at which step. */
static int
replace_entry(struct store_dir *dir, const char *stem, const struct buf *doc, const char **ret_what)
{
	char temp[STORE_NAME], name[STORE_NAME];
	int fd, r, e;

	*ret_what = "create a file beside";
	if ((fd = open_temp(dir, stem, temp, sizeof(temp))) == -1)
		return -1;
	*ret_what = "write";
	r = write_all(fd, doc->p, doc->len);
	if (r == 0)
		r = store_flush(fd);
	e = errno;
	close(fd);		/* what it might say, fsync() has said */
	if (r == 0) {
		*ret_what = "replace";
		snprintf(name, sizeof(name), "%s.json", stem);
		r = renameat(dir->fd, temp, dir->fd, name);
		e = errno;
	}
	if (r == -1)
		unlinkat(dir->fd, temp, 0);
	errno = e;
	return r;
}

/*
 * What stands there now must be known before it is replaced: a newer version's
 * record and what breaks I6 stay, and the unreadable is set aside first (I7).
 */
static enum store_result
check_old(struct store_dir *dir, const struct store_key *key, const char *stem,
    struct store_why why)
{
	struct record *rec = NULL;
	enum store_result result;
	char name[STORE_NAME];
	struct stat st;

	result = load_entry(dir, key, stem, &rec, why);
	record_free(rec);
	if (result != STORE_BAD)
		return result == STORE_FAILED ? STORE_FAILED : STORE_OK;
	snprintf(name, sizeof(name), "%s.json", stem);
	if (fstatat(dir->fd, name, &st, AT_SYMLINK_NOFOLLOW) == -1 && errno == ENOENT)
		return STORE_OK;
	return STORE_FAILED;
}

static enum store_result
file_save(void *arg, const struct store_key *key, const char *stem, const struct buf *doc,
    struct store_why why)
{
	struct store_dir *dir = arg;
	char name[STORE_NAME];
	const char *what;

	if (!store_dir_same(dir, why) || check_old(dir, key, stem, why) != STORE_OK)
		return STORE_FAILED;
	snprintf(name, sizeof(name), "%s.json", stem);
	if (replace_entry(dir, stem, doc, &what) == -1)
		return store_failed(dir, name, what, why);
	if (store_flush(dir->fd) == -1)
		return store_failed(dir, "", "sync", why);
	return STORE_OK;
}

/* The set-aside ones first: the entry's absence is what others take for a logout. */
static enum store_result
file_remove(void *arg, const char *stem, struct store_why why)
{
	struct store_dir *dir = arg;
	char prefix[STORE_NAME], name[STORE_NAME];
	struct stem_visit v = { .prefix = prefix };

	if (!store_dir_same(dir, why))
		return STORE_FAILED;
	snprintf(prefix, sizeof(prefix), "%s.json.bad-", stem);
	snprintf(name, sizeof(name), "%s.json", stem);
	if (store_dir_each(dir, remove_prefix, &v) == -1)
		return store_failed(dir, v.name, "remove", why);
	if (unlinkat(dir->fd, name, 0) == -1 && errno != ENOENT)
		return store_failed(dir, name, "remove", why);
	if (store_flush(dir->fd) == -1)
		return store_failed(dir, "", "sync", why);
	return STORE_OK;
}

/* --- the table --- */

static void *
file_open(const char *path, bool allow_network_fs, struct store_why why)
{
	return store_dir_open(path, allow_network_fs, why);
}

static void
file_close(void *arg)
{
	store_dir_close(arg);
}

static int
file_directory(const void *arg)
{
	return ((const struct store_dir *)arg)->fd;
}

static bool
file_polled(const void *arg)
{
	return ((const struct store_dir *)arg)->network;
}

static int
file_lock(void *arg, struct store_flock *lock, struct store_why why)
{
	return store_dir_lock(arg, lock, why);
}

static void
file_unlock(void *arg, struct store_flock *lock)
{
	store_dir_unlock(arg, lock);
}

const struct store_backend store_file = {
	.name = "file",
	.open = file_open,
	.close = file_close,
	.directory = file_directory,
	.polled = file_polled,
	.load = file_load,
	.save = file_save,
	.remove = file_remove,
	.lock = file_lock,
	.unlock = file_unlock
};
