/*
 * TOML 1.0 as far as other programs' configs are read here: tables, arrays,
 * keys and strings become a cJSON tree.
 */
#ifndef TOML_H
#define TOML_H

#include "json.h"

/*
 * NULL with *ret_error (may be NULL) on any fault of the grammar, a duplicate
 * key, or more than 10,000 keys; out of memory has line 0.  Numbers and
 * dates, which nobody asks for, become null.  Laxer than the standard: a table
 * may be opened twice.  Free with cJSON_Delete().
 */
cJSON	*toml_parse(const char *, size_t n, struct json_error *ret_error);

#endif
