#include <sys/stat.h>
#include <sys/vfs.h>

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "store_file_dir.h"

#define LOCK_RACES	16	/* lock files replaced under our hands, before we give up */
#define NAME_TRIES	1000	/* names of temp files left by a namesake in another container */
#define COUNTER_BYTES	21	/* 20 digits and a newline: never shorter, so never half a number */

void
store_say(struct store_why why, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why.text, why.size, fmt, ap);
	va_end(ap);
}

enum store_result
store_failed(const struct store_dir *dir, const char *name, const char *what, struct store_why why)
{
	store_say(why, "cannot %s %s/%s: %s", what, dir->path, name, strerrordesc_np(errno));
	return STORE_FAILED;
}

int
store_flush(int fd)
{
	int r;

	do
		r = fsync(fd);
	while (r == -1 && errno == EINTR);
	return r;
}

void
store_key_add(struct store_key_list *list, const char *name, const char *url)
{
	struct store_key *k;
	size_t i;

	for (i = 0; i < list->n; i++)
		if (strcmp(list->keys[i].name, name) == 0 && strcmp(list->keys[i].url, url) == 0)
			return;
	list->keys = reallocarray(list->keys, list->n + 1, sizeof(*list->keys));
	if (list->keys == NULL)
		abort();
	k = &list->keys[list->n++];
	k->name = strdup(name);
	k->url = strdup(url);
	if (k->name == NULL || k->url == NULL)
		abort();
}

void
store_keys_clear(struct store_key_list *list)
{
	size_t i;

	for (i = 0; i < list->n; i++) {
		free((char *)(uintptr_t)list->keys[i].name);
		free((char *)(uintptr_t)list->keys[i].url);
	}
	free(list->keys);
	*list = (struct store_key_list){ NULL, 0 };
}

/* --- the directory --- */

/* File systems whose locks, renames or change events cannot be trusted (I6). */
static bool
is_network(int fd)
{
	static const unsigned long types[] = {
		0x6969 /* NFS */, 0x517b /* SMB */, 0xfe534d42 /* SMB2 */, 0xff534d42 /* CIFS */,
		0x65735546 /* FUSE */, 0x01021997 /* 9P */, 0x5346414f /* AFS */,
		0x6b414653 /* kAFS */, 0x00c36400 /* Ceph */, 0x73757245 /* Coda */,
		0x564c /* NCP */, 0x7461636f /* OCFS2 */, 0x01161970 /* GFS2 */,
		0x0bd00bd0 /* Lustre */, 0x47504653 /* GPFS */, 0x20030528 /* OrangeFS */,
		0x786f4256 /* VirtualBox */, 0xbacbacbc /* VMware */
	};
	struct statfs sfs;
	size_t i;

	if (fstatfs(fd, &sfs) == -1)
		return true;
	for (i = 0; i < nitems(types); i++)
		if ((unsigned long)sfs.f_type == types[i])
			return true;
	return false;
}

/* Makes the directory and its missing parents, 0700 each.  0 or -1 with errno. */
static int
make_directories(char *path)
{
	char *p;

	for (p = path + 1; (p = strchr(p, '/')) != NULL; p++) {
		*p = '\0';
		if (mkdir(path, 0700) == -1 && errno != EEXIST && errno != EROFS &&
		    errno != EACCES) {
			*p = '/';
			return -1;
		}
		*p = '/';
	}
	return mkdir(path, 0700) == -1 && errno != EEXIST ? -1 : 0;
}

/* I6: a directory of our own, closed to everybody else, on a file system that keeps its word. */
static bool
directory_fits(struct store_dir *dir, const struct stat *st, bool allow_network_fs,
    struct store_why why)
{
	dir->network = is_network(dir->fd);
	if (st->st_uid != geteuid())
		store_say(why, "%s belongs to uid %u, not to uid %u that we run as: chown it or set another "
		    "store.path", dir->path, (unsigned)st->st_uid, (unsigned)geteuid());
	else if ((st->st_mode & 077) != 0)
		store_say(why, "%s is open to others (mode %04o): run chmod 0700 %s", dir->path,
		    (unsigned)st->st_mode & 07777, dir->path);
	else if (dir->network && !allow_network_fs)
		store_say(why, "%s is on a network or FUSE file system: set store.path to a local "
		    "directory, or store.allowNetworkFs", dir->path);
	else
		return true;
	return false;
}

bool
store_dir_same(const struct store_dir *dir, struct store_why why)
{
	struct stat st;

	if (fstatat(AT_FDCWD, dir->path, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	    st.st_dev == dir->dev && st.st_ino == dir->ino)
		return true;
	store_say(why, "%s was moved, deleted or replaced: put it back, or restart mcp-authd", dir->path);
	return false;
}

int
store_dir_each(struct store_dir *dir, int (*visit)(struct store_dir *, const char *, void *),
    void *arg)
{
	struct dirent *d;
	DIR *stream;
	int fd, r = 0, e;

	fd = openat(dir->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd == -1)
		return -1;
	stream = fdopendir(fd);
	if (stream == NULL) {
		e = errno;
		close(fd);
		errno = e;
		return -1;
	}
	for (;;) {
		errno = 0;
		d = readdir(stream);
		if (d == NULL || (r = visit(dir, d->d_name, arg)) != 0)
			break;
	}
	if (d == NULL && errno != 0)
		r = -1;
	e = errno;
	closedir(stream);
	errno = e;
	return r;
}

bool
store_dir_entry(const char *name, const char *suffix, char stem[STORE_STEM])
{
	const char *dot = strchr(name, '.');

	if (dot == NULL || strcmp(dot, suffix) != 0 || (size_t)(dot - name) >= STORE_STEM)
		return false;
	memcpy(stem, name, (size_t)(dot - name));
	stem[dot - name] = '\0';
	return true;
}

const char *
store_dir_elsewhere(const struct store_dir *dir, const char *stem, const char *used)
{
	static const char *const kinds[][2] = {
		{ STORE_PLAIN, "file" }, { STORE_SEALED, "encrypted" }
	};
	char name[STORE_NAME];
	struct stat st;
	size_t i;

	for (i = 0; i < nitems(kinds); i++) {
		snprintf(name, sizeof(name), "%s%s", stem, kinds[i][0]);
		if (strcmp(kinds[i][1], used) != 0 &&
		    fstatat(dir->fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0)
			return kinds[i][1];
	}
	return NULL;
}

/* --- locks --- */

/* Is `name` still the file that fd has open? */
static bool
same_file(const struct store_dir *dir, int fd, const char *name)
{
	struct stat a, b;

	return fstat(fd, &a) == 0 &&
	    fstatat(dir->fd, name, &b, AT_SYMLINK_NOFOLLOW) == 0 &&
	    a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

/* I6 for one file: a plain file of ours that nobody else may touch. */
static bool
file_fits(const struct store_dir *dir, const char *name, const struct stat *st,
    struct store_why why)
{
	if (!S_ISREG(st->st_mode))
		store_say(why, "%s/%s is not a plain file: remove it", dir->path, name);
	else if (st->st_uid != geteuid())
		store_say(why, "%s/%s belongs to uid %u, not to uid %u that we run as: chown it",
		    dir->path, name, (unsigned)st->st_uid, (unsigned)geteuid());
	else if ((st->st_mode & 07177) != 0)
		store_say(why, "%s/%s is open to others (mode %04o): run chmod 0600 on it",
		    dir->path, name, (unsigned)st->st_mode & 07777);
	else
		return true;
	return false;
}

int
store_dir_openat(const struct store_dir *dir, const char *name, int flags, const char *what,
    struct store_why why)
{
	struct stat st;
	int fd, e;

	do
		fd = openat(dir->fd, name, flags | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_NOCTTY,
		    0600);
	while (fd == -1 && errno == EINTR);
	if (fd == -1) {
		e = errno;
		if (e == ELOOP)
			store_say(why, "%s/%s is a symbolic link: remove it", dir->path, name);
		else
			store_failed(dir, name, what, why);
		errno = e;
		return -1;
	}
	if (fstat(fd, &st) == -1) {
		e = errno;
		store_failed(dir, name, "look at", why);
	} else if (file_fits(dir, name, &st, why))
		return fd;
	else
		e = EPERM;
	close(fd);
	errno = e;
	return -1;
}

/* --- reading and writing --- */

int
store_read_all(int fd, struct buf *out)
{
	ssize_t n;
	int r;

	for (;;) {
		if ((r = buf_reserve(out, out->len == 0 ? MIN(out->max, 4 * (size_t)KIB) : 1)) < 0) {
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

/* Creates NAME.tmp.PID.N. */
static int
open_temp(struct store_dir *dir, const char *name, char *temp, size_t size)
{
	int fd, i;

	for (i = 0; i < NAME_TRIES; i++) {
		if (snprintf(temp, size, "%s.tmp.%ld.%lu", name, (long)getpid(), dir->temps++) >=
		    (int)size) {
			errno = ENAMETOOLONG;
			return -1;
		}
		fd = openat(dir->fd, temp,
		    O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
		if (fd != -1 || (errno != EEXIST && errno != EINTR))
			return fd;
	}
	return -1;
}

int
store_dir_replace(struct store_dir *dir, const char *name, const struct buf *text,
    const char **ret_what)
{
	char temp[NAME_MAX + 1];
	int fd, r, e;

	*ret_what = "create a file beside";
	if ((fd = open_temp(dir, name, temp, sizeof(temp))) == -1)
		return -1;
	*ret_what = "write";
	r = write_all(fd, text->p, text->len);
	if (r == 0)
		r = store_flush(fd);
	e = errno;
	close(fd);		/* what it might say, fsync() has said */
	if (r == 0) {
		*ret_what = "replace";
		r = renameat(dir->fd, temp, dir->fd, name);
		e = errno;
	}
	if (r == -1)
		unlinkat(dir->fd, temp, 0);
	errno = e;
	if (r == 0) {
		*ret_what = "sync the directory of";
		r = store_flush(dir->fd);
	}
	return r;
}

/* --- taking a lock --- */

static int
set_lock(int fd, short type)
{
	struct flock fl = { .l_type = type, .l_whence = SEEK_SET };
	int r;

	do
		r = fcntl(fd, F_OFD_SETLK, &fl);
	while (r == -1 && errno == EINTR);
	return r == 0 ? 0 : errno == EACCES ? -EAGAIN : -errno;
}

/*
 * The lock counts only if the file that is locked is still the one that others
 * will find under its name; somebody may have deleted it in between.
 */
static int
try_lock(struct store_dir *dir, struct store_flock *lock, struct store_why why)
{
	char name[STORE_NAME];
	int r, races;

	snprintf(name, sizeof(name), "%s.lock", lock->stem);
	for (races = 0; races < LOCK_RACES; races++) {
		if (lock->fd != -1 && !same_file(dir, lock->fd, name)) {
			close(lock->fd);
			lock->fd = -1;
		}
		if (lock->fd == -1 &&
		    (lock->fd = store_dir_openat(dir, name, O_RDWR | O_CREAT, "open", why)) == -1)
			return -EIO;
		if ((r = set_lock(lock->fd, F_WRLCK)) == 0 && same_file(dir, lock->fd, name))
			return 0;
		if (r == -EAGAIN)
			return r;
		if (r < 0) {
			errno = -r;
			store_failed(dir, name, "lock", why);
			return r;
		}
	}
	store_say(why, "%s/%s is replaced all the time: something deletes lock files", dir->path,
	    name);
	return -EIO;
}

int
store_dir_lock(struct store_dir *dir, struct store_flock *lock, struct store_why why)
{
	int r;

	if (!store_dir_same(dir, why))
		return -ESTALE;
	r = try_lock(dir, lock, why);
	if (r == 0) {
		lock->held = true;
		LIST_INSERT_HEAD(&dir->held, lock, entry);
	}
	return r;
}

/* Unlocked before it is closed: the close wakes those who wait, and must find the lock free. */
void
store_dir_unlock(_unused_ struct store_dir *dir, struct store_flock *lock)
{
	if (lock->held)
		LIST_REMOVE(lock, entry);
	if (lock->fd != -1) {
		set_lock(lock->fd, F_UNLCK);
		close(lock->fd);
	}
	lock->held = false;
	lock->fd = -1;
}

/* The descriptor of a lock that this process holds, -1 if it does not. */
static int
held_fd(const struct store_dir *dir, const char *stem)
{
	struct store_flock *lock;

	LIST_FOREACH(lock, &dir->held, entry)
		if (strcmp(lock->stem, stem) == 0)
			return lock->fd;
	return -1;
}

bool
store_dir_holds(const struct store_dir *dir, const char *stem)
{
	return held_fd(dir, stem) != -1;
}

/* The lock file of that stem, to be closed unless it is the one that is held. */
static int
open_counter(const struct store_dir *dir, const char *stem, int flags)
{
	char name[STORE_NAME], words[1];
	int fd = held_fd(dir, stem);

	snprintf(name, sizeof(name), "%s.lock", stem);
	return fd != -1 ? fd : store_dir_openat(dir, name, flags, "open",
	    (struct store_why){ words, sizeof(words) });
}

uint64_t
store_dir_counter(const struct store_dir *dir, const char *stem)
{
	char text[COUNTER_BYTES + 1] = "";
	int fd = open_counter(dir, stem, O_RDONLY);
	ssize_t n = -1;

	if (fd != -1)
		n = pread(fd, text, COUNTER_BYTES, 0);
	if (fd != -1 && fd != held_fd(dir, stem))
		close(fd);
	if (n != COUNTER_BYTES || strspn(text, "0123456789") != COUNTER_BYTES - 1)
		return 0;
	return strtoull(text, NULL, 10);
}

void
store_dir_count(struct store_dir *dir, const char *stem, uint64_t counter)
{
	char text[COUNTER_BYTES + 1];
	int fd = open_counter(dir, stem, O_RDWR | O_CREAT);
	ssize_t n;

	if (fd == -1)
		return;
	snprintf(text, sizeof(text), "%020llu\n", (unsigned long long)counter);
	do
		n = pwrite(fd, text, COUNTER_BYTES, 0);
	while (n == -1 && errno == EINTR);
	if (fd != held_fd(dir, stem))
		close(fd);
}

/* --- opening --- */

/* The PID in STEM.SUFFIX.tmp.PID.N, and the stem; 0 if the name is not of that kind. */
static pid_t
temp_owner(const char *name, char *stem, size_t size)
{
	static const char *const kinds[] = {
		STORE_PLAIN ".tmp.", STORE_SEALED ".tmp.", ".path.tmp."
	};
	const char *mark = NULL, *number;
	char *end;
	size_t i;
	long pid;

	for (i = 0; i < nitems(kinds) && mark == NULL; i++) {
		mark = strstr(name, kinds[i]);
		number = mark != NULL ? mark + strlen(kinds[i]) : NULL;
	}
	if (mark == NULL || (size_t)(mark - name) >= size)
		return 0;
	pid = strtol(number, &end, 10);
	if (*end != '.' || pid <= 0 || end[1] == '\0' ||
	    strspn(end + 1, "0123456789") != strlen(end + 1))
		return 0;
	memcpy(stem, name, (size_t)(mark - name));
	stem[mark - name] = '\0';
	return (pid_t)pid;
}

/*
 * A temp file of a dead process.  Its number may live in another namespace, so
 * the lock decides, which every writer holds; our own number is a namesake's,
 * since we have written nothing yet.
 */
static int
clean_temp(struct store_dir *dir, const char *name, _unused_ void *arg)
{
	struct store_flock lock = { .fd = -1 };
	char words[1];
	pid_t pid;

	pid = temp_owner(name, lock.stem, sizeof(lock.stem));
	if (pid == 0 || (pid != getpid() && !(kill(pid, 0) == -1 && errno == ESRCH)))
		return 0;
	if (try_lock(dir, &lock, (struct store_why){ words, sizeof(words) }) == 0)
		unlinkat(dir->fd, name, 0);
	store_dir_unlock(dir, &lock);
	return 0;
}

/* Without trailing slashes and "/.", behind which O_NOFOLLOW would follow. */
static char *
clean_path(const char *path)
{
	char *s = strdup(path);
	size_t n;

	if (s == NULL)
		return NULL;
	for (n = strlen(s); n > 1; ) {
		if (s[n - 1] == '/')
			s[--n] = '\0';
		else if (n > 2 && s[n - 1] == '.' && s[n - 2] == '/')
			s[--n] = '\0';
		else
			break;
	}
	return s;
}

void
store_dir_close(struct store_dir *dir)
{
	if (dir == NULL)
		return;
	if (dir->fd != -1)
		close(dir->fd);
	free(dir->path);
	free(dir);
}

static bool
open_directory(struct store_dir *dir, bool allow_network_fs, struct store_why why)
{
	struct stat st;

	if (dir->path[0] != '/') {
		store_say(why, "store.path must be absolute: %s", dir->path);
		return false;
	}
	if (make_directories(dir->path) == -1) {
		store_say(why, "cannot create %s: %s", dir->path, strerrordesc_np(errno));
		return false;
	}
	dir->fd = open(dir->path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (dir->fd == -1 || fstat(dir->fd, &st) == -1) {
		if (errno == ELOOP || errno == ENOTDIR)
			store_say(why, "%s is a symbolic link or no directory: set store.path to the "
			    "directory itself", dir->path);
		else
			store_say(why, "cannot open %s: %s", dir->path, strerrordesc_np(errno));
		return false;
	}
	dir->dev = st.st_dev;
	dir->ino = st.st_ino;
	return directory_fits(dir, &st, allow_network_fs, why);
}

struct store_dir *
store_dir_open(const char *path, bool allow_network_fs, struct store_why why)
{
	struct store_dir *dir;

	dir = calloc(1, sizeof(*dir));
	if (dir == NULL) {
		store_say(why, "out of memory");
		return NULL;
	}
	dir->fd = -1;
	LIST_INIT(&dir->held);
	dir->path = clean_path(path);
	if (dir->path == NULL)
		store_say(why, "out of memory");
	else if (open_directory(dir, allow_network_fs, why)) {
		if (store_dir_each(dir, clean_temp, NULL) != -1)
			return dir;
		store_failed(dir, "", "read", why);
	}
	store_dir_close(dir);
	return NULL;
}
