/*
 * The directory of the store: who may touch it, what is in it, and the lock
 * files, which every backend needs (contract C2, C4, I6).  Blocking: for the
 * worker thread, and for start and end.
 */
#ifndef STORE_FILE_DIR_H
#define STORE_FILE_DIR_H

#include "store_file.h"

struct store_dir {
	int	 fd;
	char	*path;
	dev_t	 dev;
	ino_t	 ino;
	bool	 network;		/* changes made elsewhere may not be seen by inotify */
	unsigned long temps;		/* makes the names of temp files differ */
	LIST_HEAD(, store_flock) held;
};

#define STORE_NAME	(STORE_STEM + 64)	/* the longest name of ours: STEM.json.bad-TIME-N */

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
/*
 * openat() for a plain file of ours that nobody else may touch (I6), never
 * through a symlink.  -1 with words and errno: ENOENT, EPERM or ELOOP for what
 * is refused, else as openat().
 */
int	store_dir_openat(const struct store_dir *, const char *name, int flags, const char *what,
	    struct store_why);
/* As lock and unlock of struct store_backend. */
int	store_dir_lock(struct store_dir *, struct store_flock *, struct store_why);
void	store_dir_unlock(struct store_dir *, struct store_flock *);
/* Does this process hold the lock of that stem? */
bool	store_dir_holds(const struct store_dir *, const char *stem);
/* fsync() that minds signals.  0 or -1 with errno. */
int	store_flush(int fd);

#endif
