/*
 * Sealed entries: AES-256-GCM with a key that the administrator keeps.
 *
 *	mcp-authd sealed 1\n
 *	{"key":ID,"nonce":HEX,"counter":N,"name":...,"url":...,"issuer":...}\n
 *	ciphertext and tag
 *
 * Everything up to the second newline is authenticated with the rest, so that
 * no entry passes for another's, and can be read without the key.
 */
#ifndef STORE_CRYPT_H
#define STORE_CRYPT_H

#include "store_file.h"

#define STORE_KEY_BYTES	32
#define STORE_KEY_ID	17	/* 16 hex digits of a hash of the key, and NUL */

/*
 * The key, in memory that is neither swapped (where RLIMIT_MEMLOCK allows) nor
 * dumped.  `file` is a key file, or with `credential` that of a systemd
 * credential, whose owner and mode are systemd's business.  While the file
 * PATH/next-key.path stands in the directory it names another key file: entries are
 * written with that one, and read with either (see store_rekey()).  Blocking.
 * NULL with words.
 */
struct store_keys *store_keys_open(const char *file, bool credential, struct store_dir *, struct store_why);
void	store_keys_close(struct store_keys *);	/* wipes; NULL is fine */
const char *store_keys_file(const struct store_keys *);
/* Of the key that entries are written with. */
const char *store_keys_id(const struct store_keys *);

/* The turns of a rekeying; on the worker.  OK, or FAILED with words. */
/* Checks FILE and notes it durably in next-key.path; from now on it is written with. */
enum store_result store_keys_next(struct store_keys *, const char *file, struct store_why);
/*
 * Every entry has been written anew: the key file becomes the new key, and
 * next-key.path goes.  A systemd credential cannot be replaced by us: *ret_pending.
 */
enum store_result store_keys_turn(struct store_keys *, bool *ret_pending, struct store_why);

/* What store_sealed needs to forget at the end. */
void	store_crypt_forget(struct store_files *);

#endif
