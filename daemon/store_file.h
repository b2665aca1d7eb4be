/*
 * What a store backend does, and the first of them: one file for each
 * credential in a directory of our own (contract C4, C11, I6, I7).
 */
#ifndef STORE_FILE_H
#define STORE_FILE_H

#include "store.h"

#define STORE_STEM	(48 + 1 + 16 + 1)	/* record_stem() with its NUL */

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

/*
 * Calls block.  open, close and the two describing ones run at start and end,
 * the others on the worker thread alone, one at a time.
 */
struct store_backend {
	const char *name;
	/* NULL with words. */
	void	*(*open)(const char *path, bool allow_network_fs, struct store_why);
	void	 (*close)(void *);
	/* The directory that inotify is to watch, and whether it may miss changes (network). */
	int	 (*directory)(const void *);
	bool	 (*polled)(const void *);
	/* OK with *ret (the caller's), GONE, BAD or FAILED. */
	enum store_result (*load)(void *, const struct store_key *, const char *stem,
	    struct record **ret, struct store_why);
	/*
	 * OK or FAILED; OK means that it survives a power cut.  Never replaces
	 * what it cannot read; what had to be set aside first is in the words
	 * of an OK.
	 */
	enum store_result (*save)(void *, const struct store_key *, const char *stem,
	    const struct buf *doc, struct store_why);
	enum store_result (*remove)(void *, const char *stem, struct store_why);
	/* Tries.  0; -EAGAIN: somebody else has it, try again with the same flock; else failed. */
	int	 (*lock)(void *, struct store_flock *, struct store_why);
	/* Releases or gives up.  Fine on one that was never tried. */
	void	 (*unlock)(void *, struct store_flock *);
};

extern const struct store_backend store_file;

#endif
