/* A store in a directory of its own, and its calls made to wait: for tests of the store's parts. */
#ifndef STORING_H
#define STORING_H

#include "store.h"

extern struct loop *loop;
extern struct store *store;
extern char store_top[64], store_dir[96], store_key_file[96];	/* the key is 32 times 'k' */
extern const struct store_key key, other;
extern const char *storing_bus;		/* where the keyring is; nowhere, unless set */

/* What came: `text` is the access token of a load, `why` words. */
struct came {
	bool		 done;
	enum store_result what;
	char		 text[64];
	char		 why[200];
	struct store_lock *lock;
};

/* Makes the directory and the key; no store yet. */
void	storing_begin(void);
void	storing_end(void);
/* Closes what is open.  It must open. */
void	storing_open(enum config_backend, bool with_key);
/* Words; it must not open. */
const char *storing_fails(enum config_backend, const char *key_file, bool credential);

void	came_set(void *came, struct store_reply *);	/* a store_done */
void	came_wait(struct came *);
bool	came_within(struct came *, int64_t ms);
struct came do_load(const struct store_key *);
struct came do_save(const struct store_key *, const char *access);
/* ... obtained then (ms), from "https://issuer.example". */
struct came do_save_at(const struct store_key *, const char *access, int64_t obtained_at);
struct came do_delete(const struct store_key *);
struct came do_migrate(enum config_backend to);
struct came do_rekey(const char *file);

/* DIR/STEM.suffix */
const char *entry_path(const struct store_key *, const char *suffix);
/* Names in the directory that contain that. */
int	entries_with(const char *part);
void	put_file(const char *path, const void *, size_t n);	/* 0600, whole */
size_t	get_file(const char *path, char *out, size_t size);
/* The store's status, one of two static buffers. */
const char *storing_status(void);

#endif
