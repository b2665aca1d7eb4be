/*
 * Adds members to an object of a config that people write by hand (JSON with
 * comments and trailing commas): by position, so that every byte that was
 * there stays as it is, comments included.
 */
#ifndef INSERT_H
#define INSERT_H

#include "json.h"

struct insert_member {
	const char	*name;
	const char	*value;		/* JSON, one line */
};

/*
 * Appends to *out the text with the members at the end of the root's object
 * `key`, which is made at the root's end if it is missing; indented and ended
 * like what stands there.  0; -EBADMSG with *ret_error: the text is not right,
 * or `key` is no object; -ENOMEM; -EMSGSIZE.
 */
int	insert_members(struct buf *out, const char *text, size_t n, const char *key,
	    const struct insert_member *, size_t nmembers, struct json_error *ret_error);
/*
 * Appends what `diff -u` would show, as one hunk, for a text that became
 * another by insertions.  Nothing if they are the same.  0, -ENOMEM, -EMSGSIZE.
 */
int	insert_diff(struct buf *out, const char *label, struct slice before, struct slice after);

#endif
