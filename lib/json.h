/*
 * JSON that may be trusted: what cJSON would accept but should not (duplicate
 * keys, invalid UTF-8, \u0000, lone surrogates, trailing bytes, deep nesting)
 * is refused before cJSON sees the document.  RFC 8259.
 */
#ifndef JSON_H
#define JSON_H

#include <cjson/cJSON.h>

#include "buf.h"

struct json_error {
	unsigned	 line;		/* from 1 */
	unsigned	 column;	/* from 1, in bytes */
	const char	*what;		/* static words, no remote text */
};

/*
 * Checks and parses.  Depth is at most JSON_DEPTH.  NULL with *ret_error
 * (may be NULL) set on any fault; out of memory has line 0.  Free with
 * cJSON_Delete().
 */
cJSON	*json_parse(const char *, size_t n, struct json_error *ret_error);
/* Only checks: 0, -EBADMSG, or -ENOMEM (then line is 0). */
int	json_check(const char *, size_t n, struct json_error *ret_error);

/*
 * Case-sensitive typed members of an object.  NULL / false if absent or of
 * another type; the string belongs to the document.
 */
const char *json_string(const cJSON *object, const char *key);
const cJSON *json_member(const cJSON *object, const char *key);

#endif
