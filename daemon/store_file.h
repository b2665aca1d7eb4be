/*
 * The file backends: one file for each credential in a directory of our own,
 * plain or sealed (contract C4, C11, I6, I7).  Blocking: for the worker alone,
 * one call at a time.
 */
#ifndef STORE_FILE_H
#define STORE_FILE_H

#include "store_file_dir.h"

struct store_files;
struct store_keys;

/* What is wrong with an entry's bytes. */
struct store_fault {
	int	 err;		/* -EBADMSG: corrupt, to be set aside; -ENOTSUP: whole, but not for us; else failed */
	char	 words[200];
};

/* How a record stands in a file. */
struct store_codec {
	const char *backend;			/* "file" or "encrypted" */
	const char *suffix;
	size_t	 max;		/* bytes of a file */
	/* `key` NULL: of whoever it is.  NULL with *ret_fault. */
	struct record *(*decode)(struct store_files *, const struct store_key *, const char *stem,
	    const struct buf *, struct store_fault *ret_fault);
	/* The document as it is to be written.  0, or negative with words.  NULL: as it is. */
	int	 (*encode)(struct store_files *, const struct store_key *, const char *stem,
	    const struct buf *doc, const char *issuer, struct buf *out, struct store_why);
	/* The file was durably replaced or removed.  May be NULL. */
	void	 (*written)(struct store_files *, const struct store_key *, const char *stem);
};

extern const struct store_codec store_plain;
extern const struct store_codec store_sealed;	/* store_crypt.c */

struct store_seen;

struct store_files {
	struct store_dir *dir;
	const struct store_codec *codec;
	struct store_keys *keys;		/* of the sealed ones; NULL: no key is configured */
	LIST_HEAD(, store_seen) seen;		/* of the sealed ones: see store_crypt.c */
};

/* Words for an entry that another backend holds (I5, C4). */
#define STORE_ELSEWHERE	"is kept in the %s store, which is not in use: set store.backend to \"%s\" " \
	"and restart, or run mcp-authctl store migrate %s"
/* Is the record that of the key, or with NULL of the stem? */
bool	store_is_of(const struct record *, const struct store_key *, const char *stem);

/* OK with *ret (the caller's), GONE, BAD or FAILED. */
enum store_result store_file_load(struct store_files *, const struct store_key *, const char *stem,
	    struct record **ret, struct store_why);
/*
 * OK or FAILED; OK means that it survives a power cut.  Never replaces what it
 * cannot read; what had to be set aside first is in the words of an OK.
 */
enum store_result store_file_save(struct store_files *, const struct store_key *, const char *stem,
	    const struct buf *doc, const char *issuer, struct store_why);
enum store_result store_file_remove(struct store_files *, const struct store_key *,
	    const char *stem, struct store_why);
/*
 * The backend in use, by name, has no such entry: GONE, but BAD if one was set
 * aside, by whichever backend, or stands in another.
 */
enum store_result store_why_absent(struct store_dir *, const char *stem, const char *used,
	    struct store_why);
/* Removes what was set aside, by whichever backend.  OK or FAILED. */
enum store_result store_remove_aside(struct store_dir *, const char *stem, struct store_why);
/* Adds the keys of all entries.  OK; FAILED if one cannot be read, or the directory. */
enum store_result store_file_list(struct store_files *, struct store_key_list *, struct store_why);

#endif
