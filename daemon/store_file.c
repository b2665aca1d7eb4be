#include <sys/stat.h>

#include <fcntl.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "bounds.h"
#include "store_file.h"

#define BAD_TRIES	1000	/* entries of one key set aside within a second */

/* --- set-aside entries --- */

struct stem_visit {
	const char	*stem;
	char		 name[STORE_NAME * 2];
};

/* STEM.SUFFIX.bad-... of that stem?  What was set aside before a move counts behind it. */
static bool
is_aside(const char *name, const char *stem)
{
	static const char *const marks[] = { STORE_PLAIN ".bad-", STORE_SEALED ".bad-" };
	size_t i, n = strlen(stem);

	for (i = 0; i < nitems(marks); i++)
		if (strncmp(name, stem, n) == 0 &&
		    strncmp(name + n, marks[i], strlen(marks[i])) == 0)
			return true;
	return false;
}

static int
find_aside(_unused_ struct store_dir *dir, const char *name, void *arg)
{
	struct stem_visit *v = arg;

	if (!is_aside(name, v->stem))
		return 0;
	snprintf(v->name, sizeof(v->name), "%s", name);
	return 1;
}

static int
remove_aside(struct store_dir *dir, const char *name, void *arg)
{
	struct stem_visit *v = arg;

	if (!is_aside(name, v->stem))
		return 0;
	if (unlinkat(dir->fd, name, 0) == -1 && errno != ENOENT) {
		snprintf(v->name, sizeof(v->name), "%s", name);
		return -1;
	}
	return 0;
}

/* STEM.SUFFIX.bad-TIME, or with -N behind it if that is taken. */
static int
free_bad_name(struct store_files *f, const char *stem, char *out, size_t size)
{
	char when[32];
	struct stat st;
	struct tm tm;
	time_t now;
	int n;

	now = time(NULL);
	gmtime_r(&now, &tm);
	strftime(when, sizeof(when), "%Y%m%dT%H%M%SZ", &tm);
	snprintf(out, size, "%s%s.bad-%s", stem, f->codec->suffix, when);
	for (n = 1; n < BAD_TRIES; n++) {
		if (fstatat(f->dir->fd, out, &st, AT_SYMLINK_NOFOLLOW) == -1)
			return errno == ENOENT ? 0 : -1;
		snprintf(out, size, "%s%s.bad-%s-%d", stem, f->codec->suffix, when, n);
	}
	errno = EEXIST;
	return -1;
}

static void
entry_name(const struct store_files *f, const char *stem, char name[STORE_NAME])
{
	snprintf(name, STORE_NAME, "%s%s", stem, f->codec->suffix);
}

/* Renames the entry.  Its lock is held: nobody has replaced it since it was read. */
static enum store_result
set_aside(struct store_files *f, const char *stem, const char *fault, struct store_why why)
{
	char name[STORE_NAME], bad[STORE_NAME];
	struct store_dir *dir = f->dir;

	entry_name(f, stem, name);
	if (free_bad_name(f, stem, bad, sizeof(bad)) == -1 ||
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

bool
store_is_of(const struct record *rec, const struct store_key *key, const char *stem)
{
	char own[STORE_STEM];

	if (key != NULL)
		return strcmp(rec->name, key->name) == 0 && strcmp(rec->url, key->url) == 0;
	record_stem(rec->name, rec->url, own, sizeof(own));
	return strcmp(own, stem) == 0;
}

/* A logout, or something that must not be taken for one (C4)? */
enum store_result
store_why_absent(struct store_dir *dir, const char *stem, const char *used, struct store_why why)
{
	struct stem_visit v = { .stem = stem };
	const char *elsewhere;
	int r;

	r = store_dir_each(dir, find_aside, &v);
	if (!store_dir_same(dir, why))
		return STORE_FAILED;
	if (r == -1)
		return store_failed(dir, "", "read the directory", why);
	if (r == 1) {
		store_say(why, "was set aside as %s/%s: mend it and rename it back, or log in anew",
		    dir->path, v.name);
		return STORE_BAD;
	}
	elsewhere = store_dir_elsewhere(dir, stem, used);
	if (elsewhere == NULL)
		return STORE_GONE;
	store_say(why, STORE_ELSEWHERE, elsewhere, elsewhere, used);
	return STORE_BAD;
}

/* Reads the entry's bytes.  OK; GONE if there is no such file; BAD if I6 forbids to read it. */
static enum store_result
read_entry(struct store_files *f, const char *stem, struct buf *out, struct store_why why)
{
	struct store_dir *dir = f->dir;
	enum store_result result = STORE_OK;
	char name[STORE_NAME];
	int fd;

	entry_name(f, stem, name);
	fd = store_dir_openat(dir, name, O_RDONLY, "open", why);
	if (fd == -1 && errno == ENOENT) {
		store_say(why, "%s", "");
		return STORE_GONE;
	}
	if (fd == -1)
		return errno == EPERM || errno == ELOOP ? STORE_BAD : STORE_FAILED;
	if (store_read_all(fd, out) == -1 && errno != EFBIG)
		result = store_failed(dir, name, "read", why);
	close(fd);
	return result;
}

/*
 * OK, GONE (any ENOENT), BAD or FAILED; corrupt: BAD with the fault (its err
 * is -EBADMSG), and no words yet.
 */
static enum store_result
parse_entry(struct store_files *f, const struct store_key *key, const char *stem,
    struct record **ret, struct store_fault *ret_fault, struct store_why why)
{
	struct buf text = BUF_SECRET(f->codec->max + 1);
	enum store_result result;

	*ret_fault = (struct store_fault){ .err = 0 };
	result = read_entry(f, stem, &text, why);
	if (result == STORE_OK) {
		*ret = f->codec->decode(f, key, stem, &text, ret_fault);
		if (*ret == NULL && ret_fault->err != -EBADMSG)
			store_say(why, "%s/%s%s: %s", f->dir->path, stem, f->codec->suffix,
			    ret_fault->words);
		if (*ret == NULL)
			result = ret_fault->err == -EBADMSG || ret_fault->err == -ENOTSUP ?
			    STORE_BAD : STORE_FAILED;
	}
	buf_free(&text);
	return result;
}

/*
 * As load, but GONE for any ENOENT.  What is corrupt is set aside (I7), but
 * only if it is so under the credential's lock, which we have or take for the
 * moment: else a sibling's good save could come between reading and renaming.
 */
static enum store_result
load_entry(struct store_files *f, const struct store_key *key, const char *stem,
    struct record **ret, struct store_why why)
{
	struct store_flock lock = { .fd = -1 };
	enum store_result result;
	struct store_fault fault;
	int r;

	result = parse_entry(f, key, stem, ret, &fault, why);
	if (fault.err != -EBADMSG)
		return result;
	if (store_dir_holds(f->dir, stem))
		return set_aside(f, stem, fault.words, why);
	snprintf(lock.stem, sizeof(lock.stem), "%s", stem);
	r = store_dir_lock(f->dir, &lock, why);
	if (r == 0) {
		result = parse_entry(f, key, stem, ret, &fault, why);
		if (fault.err == -EBADMSG)
			result = set_aside(f, stem, fault.words, why);
	} else if (r == -EAGAIN)
		store_say(why, "%s/%s%s is unreadable (%s), and its lock is taken", f->dir->path,
		    stem, f->codec->suffix, fault.words);
	store_dir_unlock(f->dir, &lock);
	return result;
}

enum store_result
store_file_load(struct store_files *f, const struct store_key *key, const char *stem,
    struct record **ret, struct store_why why)
{
	enum store_result result;

	if (!store_dir_same(f->dir, why))
		return STORE_FAILED;
	result = load_entry(f, key, stem, ret, why);
	return result == STORE_GONE ? store_why_absent(f->dir, stem, f->codec->backend, why) : result;
}

/* --- saving --- */

/*
 * What stands there now must be known before it is replaced: a newer version's
 * record and what breaks I6 stay, and the unreadable is set aside first (I7).
 */
static enum store_result
check_old(struct store_files *f, const struct store_key *key, const char *stem,
    struct store_why why)
{
	struct record *rec = NULL;
	enum store_result result;
	char name[STORE_NAME];
	struct stat st;

	result = load_entry(f, key, stem, &rec, why);
	record_free(rec);
	if (result != STORE_BAD)
		return result == STORE_FAILED ? STORE_FAILED : STORE_OK;
	entry_name(f, stem, name);
	if (fstatat(f->dir->fd, name, &st, AT_SYMLINK_NOFOLLOW) == -1 && errno == ENOENT)
		return STORE_OK;
	return STORE_FAILED;
}

enum store_result
store_file_save(struct store_files *f, const struct store_key *key, const char *stem,
    const struct buf *doc, const char *issuer, struct store_why why)
{
	struct buf sealed = BUF_SECRET(f->codec->max);
	enum store_result result = STORE_FAILED;
	char name[STORE_NAME];
	const char *what;

	if (!store_dir_same(f->dir, why) || check_old(f, key, stem, why) != STORE_OK)
		return STORE_FAILED;
	entry_name(f, stem, name);
	if (f->codec->encode != NULL &&
	    f->codec->encode(f, key, stem, doc, issuer, &sealed, why) < 0)
		goto out;
	if (store_dir_replace(f->dir, name, f->codec->encode != NULL ? &sealed : doc, &what) == -1) {
		result = store_failed(f->dir, name, what, why);
		goto out;
	}
	if (f->codec->written != NULL)
		f->codec->written(f, key, stem);
	result = STORE_OK;
out:
	buf_free(&sealed);
	return result;
}

enum store_result
store_remove_aside(struct store_dir *dir, const char *stem, struct store_why why)
{
	struct stem_visit v = { .stem = stem };

	if (!store_dir_same(dir, why))
		return STORE_FAILED;
	if (store_dir_each(dir, remove_aside, &v) == -1)
		return store_failed(dir, v.name, "remove", why);
	return STORE_OK;
}

enum store_result
store_file_remove(struct store_files *f, const struct store_key *key, const char *stem,
    struct store_why why)
{
	struct store_dir *dir = f->dir;
	char name[STORE_NAME];

	if (!store_dir_same(dir, why))
		return STORE_FAILED;
	entry_name(f, stem, name);
	if (unlinkat(dir->fd, name, 0) == -1 && errno != ENOENT)
		return store_failed(dir, name, "remove", why);
	if (store_flush(dir->fd) == -1)
		return store_failed(dir, "", "sync", why);
	if (f->codec->written != NULL)
		f->codec->written(f, key, stem);
	return STORE_OK;
}

/* --- listing --- */

struct list_visit {
	struct store_files *files;
	struct store_key_list *list;
	struct store_why why;
};

static int
list_one(_unused_ struct store_dir *dir, const char *name, void *arg)
{
	struct list_visit *v = arg;
	struct store_fault fault;
	enum store_result result;
	struct record *rec = NULL;
	char stem[STORE_STEM];

	if (!store_dir_entry(name, v->files->codec->suffix, stem))
		return 0;
	result = parse_entry(v->files, NULL, stem, &rec, &fault, v->why);
	if (fault.err == -EBADMSG)
		store_say(v->why, "%s/%s: %s", dir->path, name, fault.words);
	if (result == STORE_OK)
		store_key_add(v->list, rec->name, rec->url);
	record_free(rec);
	return result == STORE_OK || result == STORE_GONE ? 0 : 1;
}

enum store_result
store_file_list(struct store_files *f, struct store_key_list *list, struct store_why why)
{
	struct list_visit v = { .files = f, .list = list, .why = why };
	int r;

	if (!store_dir_same(f->dir, why))
		return STORE_FAILED;
	r = store_dir_each(f->dir, list_one, &v);
	if (r == -1)
		return store_failed(f->dir, "", "read the directory", why);
	return r == 0 ? STORE_OK : STORE_FAILED;
}

/* --- plain --- */

static struct record *
plain_decode(_unused_ struct store_files *f, const struct store_key *key, const char *stem,
    const struct buf *text, struct store_fault *fault)
{
	const char *words = "";
	struct record *rec;

	rec = record_parse(text->p, text->len, &fault->err, &words);
	if (rec == NULL) {
		snprintf(fault->words, sizeof(fault->words), "%s", words);
		return NULL;
	}
	if (store_is_of(rec, key, stem))
		return rec;
	record_free(rec);
	*fault = (struct store_fault){ -EBADMSG, "it belongs to another upstream" };
	return NULL;
}

const struct store_codec store_plain = {
	.backend = "file",
	.suffix = STORE_PLAIN,
	.max = RECORD_BYTES,
	.decode = plain_decode
};
