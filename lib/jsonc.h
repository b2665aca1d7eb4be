/*
 * What people write by hand: JSON with comments and trailing commas.  Cleaned
 * to strict JSON of the same length, so that positions stay true, and a way
 * back from a parsed value to its place in the text.
 */
#ifndef JSONC_H
#define JSONC_H

#include "json.h"

/*
 * Overwrites comments and trailing commas by blanks, in place.  Line breaks
 * stay.  0, or -EBADMSG for a comment that does not end.
 */
int	jsonc_clean(char *, size_t n, struct json_error *ret_error);
/*
 * Where `item` of the document `root`, which json_parse() made of this cleaned
 * text, stands: its value, or its key if it has one and `key` says so.
 */
void	jsonc_locate(const char *, size_t n, const cJSON *root, const cJSON *item, bool key,
	    unsigned *ret_line, unsigned *ret_column);

#endif
