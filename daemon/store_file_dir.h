/*
 * The directory of the store: who may touch it, what is in it, and the lock
 * files, which every backend needs (contract C2, C4, I6).  Blocking: for the
 * worker thread, and for start and end.
 */
#ifndef STORE_FILE_DIR_H
#define STORE_FILE_DIR_H

#include "store.h"

#define STORE_STEM	(48 + 1 + 16 + 1)	/* record_stem() with its NUL */
#define STORE_NAME	(STORE_STEM + 64)	/* the longest name of ours: STEM.sealed.bad-TIME-N */
#define STORE_PLAIN	".json"
#define STORE_SEALED	".sealed"

/* One cross-process lock, wanted or held; fd = -1 to begin with. */
struct store_flock {
	LIST_ENTRY(store_flock) entry;	/* private: among those that are held */
	char	 stem[STORE_STEM];
	int	 fd;			/* stays open while waiting: closing it would wake the others */
	bool	 held;
};

/* Words for a failure; `why` of struct store_reply fits. */
struct store_why {
	char	*text;
	size_t	 size;
};

/* Keys that are this list's own. */
struct store_key_list {
	struct store_key *keys;
	size_t	 n;
};

struct store_dir {
	int	 fd;
	char	*path;
	dev_t	 dev;
	ino_t	 ino;
	bool	 network;		/* changes made elsewhere may not be seen by inotify */
	unsigned long temps;		/* makes the names of temp files differ */
	LIST_HEAD(, store_flock) held;
};

void	store_key_add(struct store_key_list *, const char *name, const char *url);	/* once; aborts without memory */
void	store_keys_clear(struct store_key_list *);

void	store_say(struct store_why, const char *fmt, ...) _printf_(2, 3);
/* STORE_FAILED with "cannot WHAT PATH/NAME" and errno's words. */
enum store_result store_failed(const struct store_dir *, const char *name, const char *what,
	    struct store_why);

/* Makes, opens and checks it, and removes what a crash left.  NULL with words. */
struct store_dir *store_dir_open(const char *path, bool allow_network_fs, struct store_why);
void	store_dir_close(struct store_dir *);
/* The path still leads to the directory that was opened (C4: same device and inode); else words. */
bool	store_dir_same(const struct store_dir *, struct store_why);
/*
 * Calls visit(dir, name, arg) for every name until it returns other than 0,
 * and returns that; -1 with errno if the directory cannot be read.
 */
int	store_dir_each(struct store_dir *, int (*visit)(struct store_dir *, const char *, void *),
	    void *arg);
/* Is it STEM.suffix, nothing before or behind?  Then the stem is copied. */
bool	store_dir_entry(const char *name, const char *suffix, char stem[STORE_STEM]);
/* The file backend, other than the one used, that has an entry of that stem; NULL: none (I5). */
const char *store_dir_elsewhere(const struct store_dir *, const char *stem, const char *used);
/*
 * openat() for a plain file of ours that nobody else may touch (I6), never
 * through a symlink.  -1 with words and errno: ENOENT, EPERM or ELOOP for what
 * is refused, else as openat().
 */
int	store_dir_openat(const struct store_dir *, const char *name, int flags, const char *what,
	    struct store_why);
/*
 * Writes a new file beside `name` and renames it over that: all of it is
 * durable, or the old one stands.  -1 with errno, *ret_what says at which step.
 */
int	store_dir_replace(struct store_dir *, const char *name, const struct buf *,
	    const char **ret_what);
/* Reads to the end.  0, or -1 with errno; EFBIG beyond the buffer's ceiling. */
int	store_read_all(int fd, struct buf *);
/*
 * Tries.  0; -EAGAIN: somebody else has it, try again with the same flock;
 * else failed, with words.
 */
int	store_dir_lock(struct store_dir *, struct store_flock *, struct store_why);
/* Releases or gives up.  Fine on one that was never tried. */
void	store_dir_unlock(struct store_dir *, struct store_flock *);
/* Does this process hold the lock of that stem? */
bool	store_dir_holds(const struct store_dir *, const char *stem);
/*
 * The counter that stands in a lock file, which is never unlinked: 0 if there
 * is none.  Counting up is best effort: it guards against a restored entry,
 * and is not what keeps one.
 */
uint64_t store_dir_counter(const struct store_dir *, const char *stem);
void	store_dir_count(struct store_dir *, const char *stem, uint64_t);
/* fsync() that minds signals.  0 or -1 with errno. */
int	store_flush(int fd);

#endif
