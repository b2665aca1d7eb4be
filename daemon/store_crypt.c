#include <sys/mman.h>
#include <sys/stat.h>

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <unistd.h>

#include <openssl/evp.h>
#include <openssl/rand.h>

#include "base64.h"
#include "bounds.h"
#include "json.h"
#include "store_crypt.h"

#define MAGIC		"mcp-authd sealed "
#define VERSION_1	1
#define NONCE		12		/* 96 random bits: NIST SP 800-38D section 8.2.2 */
#define TAG		16
#define HEADER_MAX	(256 * KIB)	/* URL_BYTES and TOKEN_BYTES of an issuer, escaped */
#define KEY_FILE_MAX	256		/* the key as text, with some white space */
#define NEXT_KEY	"next-key.path"	/* names the new key's file while entries are being sealed anew */

struct seal_key {
	unsigned char bytes[STORE_KEY_BYTES];
	char	 id[STORE_KEY_ID];	/* "": none */
};

/* In pages of their own. */
struct store_keys {
	struct seal_key	 cur;		/* of the key file */
	struct seal_key	 next;		/* of the file that NEXT_KEY names */
	struct seal_key	 prev;		/* what cur was, for reading alone */
	struct store_dir *dir;
	char		*file, *next_file;
	bool		 credential;
};

/* The highest counter of an entry that this process has seen. */
struct store_seen {
	LIST_ENTRY(store_seen) entry;
	char		 stem[STORE_STEM];
	uint64_t	 counter;
};

/* --- keys --- */

static void
to_hex(const unsigned char *p, size_t n, char *out)
{
	for (; n > 0; n--, p++, out += 2)
		snprintf(out, 3, "%02x", *p);
}

/* 0 or -1. */
static int
from_hex(const char *s, unsigned char *out, size_t n)
{
	static const char digits[] = "0123456789abcdef";
	const char *high, *low;

	if (strlen(s) != 2 * n)
		return -1;
	for (; n > 0; n--, s += 2) {
		high = strchr(digits, s[0] | 0x20);
		low = strchr(digits, s[1] | 0x20);
		if (high == NULL || low == NULL)
			return -1;
		*out++ = (unsigned char)((high - digits) << 4 | (low - digits));
	}
	return 0;
}

/* A hash that says nothing of the key but which one it is. */
static bool
name_key(struct seal_key *key)
{
	static const char label[] = "mcp-authd key id";
	unsigned char md[EVP_MAX_MD_SIZE];
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	bool ok;

	ok = ctx != NULL && EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) == 1 &&
	    EVP_DigestUpdate(ctx, label, sizeof(label)) == 1 &&
	    EVP_DigestUpdate(ctx, key->bytes, sizeof(key->bytes)) == 1 &&
	    EVP_DigestFinal_ex(ctx, md, NULL) == 1;
	EVP_MD_CTX_free(ctx);
	if (ok)
		to_hex(md, (STORE_KEY_ID - 1) / 2, key->id);
	return ok;
}

static bool
from_base64(struct buf *text, unsigned char *out)
{
	struct buf bytes = BUF_SECRET(KEY_FILE_MAX);
	bool ok;
	char *p;

	for (p = text->p; *p != '\0'; p++)
		*p = *p == '+' ? '-' : *p == '/' ? '_' : *p;
	while (text->len > 0 && text->p[text->len - 1] == '=')
		text->len--;
	ok = base64url_get(&bytes, text->p, text->len) == 0 && bytes.len == STORE_KEY_BYTES;
	if (ok)
		memcpy(out, bytes.p, STORE_KEY_BYTES);
	buf_free(&bytes);
	return ok;
}

/* 32 bytes as they are, or as text. */
static bool
parse_key(struct buf *text, unsigned char *out)
{
	if (text->len == STORE_KEY_BYTES) {
		memcpy(out, text->p, STORE_KEY_BYTES);
		return true;
	}
	while (text->len > 0 && strchr(" \t\r\n", text->p[text->len - 1]) != NULL)
		text->p[--text->len] = '\0';
	if (text->len == 0 || strlen(text->p) != text->len)
		return false;
	return from_hex(text->p, out, STORE_KEY_BYTES) == 0 || from_base64(text, out);
}

/* I6 for a key: ours alone, unless systemd vouches for it. */
static int
open_key(const char *file, bool credential, struct store_why why)
{
	struct stat st;
	int fd;

	fd = open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY |
	    (credential ? 0 : O_NOFOLLOW));
	if (fd == -1) {
		store_say(why, "the key %s cannot be read: %s", file, errno == ELOOP ?
		    "it is a symbolic link: name the file itself" : strerrordesc_np(errno));
		return -1;
	}
	if (fstat(fd, &st) == -1 || !S_ISREG(st.st_mode))
		store_say(why, "the key %s is not a plain file", file);
	else if (!credential && st.st_uid != geteuid())
		store_say(why, "the key %s belongs to uid %u, not to uid %u that we run as: chown it",
		    file, (unsigned)st.st_uid, (unsigned)geteuid());
	else if (!credential && (st.st_mode & 07177) != 0)
		store_say(why, "the key %s is open to others (mode %04o): run chmod 0600 on it", file,
		    (unsigned)st.st_mode & 07777);
	else
		return fd;
	close(fd);
	return -1;
}

static bool
read_key(const char *file, bool credential, struct seal_key *ret, struct store_why why)
{
	struct buf text = BUF_SECRET(KEY_FILE_MAX);
	bool ok = false;
	int fd;

	fd = open_key(file, credential, why);
	if (fd == -1)
		return false;
	if (store_read_all(fd, &text) == -1 && errno != EFBIG)
		store_say(why, "the key %s cannot be read: %s", file, strerrordesc_np(errno));
	else if (!parse_key(&text, ret->bytes))
		store_say(why, "%s is no key: it must hold 32 bytes, or them as 64 hex digits or as "
		    "base64; make one with: openssl rand -out FILE 32", file);
	else if (!name_key(ret))
		store_say(why, "out of memory");
	else
		ok = true;
	close(fd);
	buf_free(&text);
	return ok;
}

static void
set_key(struct seal_key *to, const struct seal_key *from)
{
	if (from == NULL)
		explicit_bzero(to, sizeof(*to));
	else
		memcpy(to, from, sizeof(*to));
}

/* The path in NEXT_KEY, or NULL; 0, -ENOENT if certainly there is none, else it is not known. */
static int
read_next(const struct store_keys *k, char **ret, struct store_why why)
{
	struct buf text = BUF_INIT(PATH_MAX);
	int fd, r = -EIO;

	*ret = NULL;
	fd = store_dir_openat(k->dir, NEXT_KEY, O_RDONLY, "open", why);
	if (fd == -1)
		return errno == ENOENT ? -ENOENT : -EIO;
	if (store_read_all(fd, &text) == -1) {
		store_failed(k->dir, NEXT_KEY, "read", why);
	} else if (text.len < 2 || text.p[text.len - 1] != '\n') {
		store_say(why, "%s/" NEXT_KEY " holds no path: write the new key file's there, or remove "
		    "it if no entry was sealed anew", k->dir->path);
	} else {
		text.p[text.len - 1] = '\0';
		*ret = strdup(text.p);
		r = *ret != NULL ? 0 : -ENOMEM;
	}
	close(fd);
	buf_free(&text);
	return r;
}

static void
end_next(struct store_keys *k)
{
	if (unlinkat(k->dir->fd, NEXT_KEY, 0) == 0)
		store_flush(k->dir->fd);
	set_key(&k->next, NULL);
	free(k->next_file);
	k->next_file = NULL;
}

/* The key file; what cannot be read leaves what is known. */
static bool
refresh_current(struct store_keys *k, struct store_why why)
{
	struct seal_key found = { .id = "" };
	bool ok = read_key(k->file, k->credential, &found, why);

	if (ok && strcmp(found.id, k->cur.id) != 0) {
		set_key(&k->prev, &k->cur);
		set_key(&k->cur, &found);
	}
	set_key(&found, NULL);
	return ok;
}

/* NEXT_KEY and the file that it names; the same. */
static bool
refresh_next(struct store_keys *k, struct store_why why)
{
	struct seal_key found = { .id = "" };
	char *path, said[160];
	bool ok = true;
	int r;

	r = read_next(k, &path, why);
	if (r == -ENOENT) {
		if (k->next.id[0] != '\0')
			set_key(&k->prev, &k->next);	/* whoever sealed anew has ended it */
		set_key(&k->next, NULL);
	} else if (r < 0) {
		ok = false;
	} else if (!read_key(path, false, &found, (struct store_why){ said, sizeof(said) })) {
		store_say(why, "entries are being sealed anew (%s/" NEXT_KEY "): %s", k->dir->path, said);
		ok = false;
	} else if (strcmp(found.id, k->cur.id) == 0) {
		end_next(k);		/* the turn was made */
	} else {
		set_key(&k->next, &found);
		free(k->next_file);
		k->next_file = path;
		path = NULL;
	}
	free(path);
	set_key(&found, NULL);
	return ok;
}

/*
 * Files may have been changed by a person or by another process that seals
 * anew.  false: the first trouble is in `why`.
 */
static bool
refresh_keys(struct store_keys *k, struct store_why why)
{
	char quiet[200];

	if (refresh_current(k, why))
		return refresh_next(k, why);
	refresh_next(k, (struct store_why){ quiet, sizeof(quiet) });
	return false;
}

static const struct seal_key *
write_key(const struct store_keys *k)
{
	return k->next.id[0] != '\0' ? &k->next : &k->cur;
}

static const struct seal_key *
key_of_id(const struct store_keys *k, const char *id)
{
	const struct seal_key *const all[] = { &k->cur, &k->next, &k->prev };
	size_t i;

	for (i = 0; i < nitems(all); i++)
		if (id[0] != '\0' && strcmp(all[i]->id, id) == 0)
			return all[i];
	return NULL;
}

struct store_keys *
store_keys_open(const char *file, bool credential, struct store_dir *dir, struct store_why why)
{
	struct store_keys *k;

	k = mmap(NULL, sizeof(*k), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (k == MAP_FAILED) {
		store_say(why, "out of memory");
		return NULL;
	}
	/* Best effort: RLIMIT_MEMLOCK may be 0; no core is dumped in any case. */
	(void)mlock(k, sizeof(*k));
	(void)madvise(k, sizeof(*k), MADV_DONTDUMP);
	k->dir = dir;
	k->credential = credential;
	k->file = strdup(file);
	if (k->file == NULL)
		store_say(why, "out of memory");
	else if (refresh_keys(k, why))
		return k;
	store_keys_close(k);
	return NULL;
}

void
store_keys_close(struct store_keys *k)
{
	if (k == NULL)
		return;
	free(k->file);
	free(k->next_file);
	explicit_bzero(k, sizeof(*k));
	munmap(k, sizeof(*k));
}

const char *
store_keys_file(const struct store_keys *k)
{
	return k->file;
}

const char *
store_keys_id(const struct store_keys *k)
{
	return write_key(k)->id;
}

/* --- a new key --- */

enum store_result
store_keys_next(struct store_keys *k, const char *file, struct store_why why)
{
	struct buf text = BUF_INIT(PATH_MAX);
	enum store_result result = STORE_FAILED;
	struct seal_key key = { .id = "" };
	const char *what;

	refresh_keys(k, why);
	if (file[0] != '/' || strlen(file) + 2 > PATH_MAX || strchr(file, '\n') != NULL) {
		store_say(why, "the new key's file must be named by an absolute path");
		return STORE_FAILED;
	}
	if (!read_key(file, false, &key, why))
		return STORE_FAILED;
	if (strcmp(key.id, k->cur.id) == 0)
		store_say(why, "%s holds the key that is in use already", file);
	else if (k->next.id[0] != '\0' && strcmp(key.id, k->next.id) != 0)
		store_say(why, "entries are being sealed with the key in %s: finish that first, with "
		    "--new-key %s", k->next_file, k->next_file);
	else if (buf_addf(&text, "%s\n", file) < 0)
		store_say(why, "out of memory");
	else if (store_dir_replace(k->dir, NEXT_KEY, &text, &what) == -1)
		store_failed(k->dir, NEXT_KEY, what, why);
	else if (refresh_keys(k, why) && strcmp(k->next.id, key.id) == 0)
		result = STORE_OK;
	buf_free(&text);
	explicit_bzero(&key, sizeof(key));
	return result;
}

/* --- counters --- */

static struct store_seen *
find_seen(struct store_files *f, const char *stem)
{
	struct store_seen *s;

	LIST_FOREACH(s, &f->seen, entry)
		if (strcmp(s->stem, stem) == 0)
			return s;
	return NULL;
}

static void
saw_counter(struct store_files *f, const char *stem, uint64_t counter)
{
	struct store_seen *s = find_seen(f, stem);

	if (s == NULL) {
		s = calloc(1, sizeof(*s));
		if (s == NULL)
			return;
		snprintf(s->stem, sizeof(s->stem), "%s", stem);
		LIST_INSERT_HEAD(&f->seen, s, entry);
	}
	s->counter = MAX(s->counter, counter);
}

static uint64_t
known_counter(struct store_files *f, const char *stem)
{
	const struct store_seen *s = find_seen(f, stem);
	uint64_t known = store_dir_counter(f->dir, stem);

	return s != NULL ? MAX(s->counter, known) : known;
}

/* Registrations are saved without their lock, so two may be one behind the other for good reason. */
static bool
is_counted(const char *name)
{
	return strcmp(name, RECORD_CLIENT) != 0;
}

/*
 * The counter goes up after the file was replaced, so that a crash between
 * leaves an entry that is ahead, not one that is refused; and after it was
 * removed, so that what was deleted does not come back.
 */
static void
sealed_written(struct store_files *f, const struct store_key *key, const char *stem)
{
	uint64_t counter;

	if (!is_counted(key->name))
		return;
	counter = known_counter(f, stem) + 1;
	saw_counter(f, stem, counter);
	store_dir_count(f->dir, stem, counter);
}

void
store_crypt_forget(struct store_files *f)
{
	struct store_seen *s;

	while ((s = LIST_FIRST(&f->seen)) != NULL) {
		LIST_REMOVE(s, entry);
		free(s);
	}
}

/* --- sealing --- */

/* 1, 0: failed; the tag stands behind the text.  `to` has room for n + TAG. */
static int
encrypt(const struct seal_key *key, const unsigned char *nonce, struct slice header,
    const char *from, size_t n, char *to)
{
	EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
	unsigned char *out = (unsigned char *)to;
	int len, ok;

	ok = ctx != NULL &&
	    EVP_EncryptInit_ex(ctx, EVP_aes_256_gcm(), NULL, key->bytes, nonce) == 1 &&
	    EVP_EncryptUpdate(ctx, NULL, &len, (const unsigned char *)header.p, (int)header.n) == 1 &&
	    EVP_EncryptUpdate(ctx, out, &len, (const unsigned char *)from, (int)n) == 1 &&
	    EVP_EncryptFinal_ex(ctx, out + len, &len) == 1 &&
	    EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_GCM_GET_TAG, TAG, out + n) == 1;
	EVP_CIPHER_CTX_free(ctx);
	return ok;
}

/* 1; 0: not what was sealed; -1: no memory. */
static int
decrypt(const struct seal_key *key, const unsigned char *nonce, struct slice header,
    const char *from, size_t n, char *to)
{
	EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
	unsigned char tag[TAG], *out = (unsigned char *)to;
	int len, ok;

	if (ctx == NULL ||
	    EVP_DecryptInit_ex(ctx, EVP_aes_256_gcm(), NULL, key->bytes, nonce) != 1) {
		EVP_CIPHER_CTX_free(ctx);
		return -1;
	}
	memcpy(tag, from + n, TAG);
	ok = EVP_DecryptUpdate(ctx, NULL, &len, (const unsigned char *)header.p, (int)header.n) == 1 &&
	    EVP_DecryptUpdate(ctx, out, &len, (const unsigned char *)from, (int)n) == 1 &&
	    EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_GCM_SET_TAG, TAG, tag) == 1 &&
	    EVP_DecryptFinal_ex(ctx, out + len, &len) == 1;
	EVP_CIPHER_CTX_free(ctx);
	return ok;
}

static int
add_header(struct buf *out, const struct seal_key *key, const unsigned char *nonce,
    uint64_t counter, const struct store_key *of, const char *issuer)
{
	char hex[2 * NONCE + 1];
	int e;

	to_hex(nonce, NONCE, hex);
	e = buf_addf(out, MAGIC "%d\n{\"key\":\"%s\",\"nonce\":\"%s\",\"counter\":%llu,\"name\":",
	    VERSION_1, key->id, hex, (unsigned long long)counter);
	e |= buf_addjson(out, of->name, strlen(of->name));
	e |= buf_adds(out, ",\"url\":");
	e |= buf_addjson(out, of->url, strlen(of->url));
	if (issuer != NULL) {
		e |= buf_adds(out, ",\"issuer\":");
		e |= buf_addjson(out, issuer, strlen(issuer));
	}
	return e | buf_adds(out, "}\n");
}

static int
sealed_encode(struct store_files *f, const struct store_key *of, const char *stem,
    const struct buf *doc, const char *issuer, struct buf *out, struct store_why why)
{
	const struct seal_key *key;
	unsigned char nonce[NONCE];
	char quiet[200];
	uint64_t counter = 0;

	refresh_keys(f->keys, (struct store_why){ quiet, sizeof(quiet) });
	key = write_key(f->keys);
	if (is_counted(of->name))
		counter = known_counter(f, stem) + 1;
	if (RAND_bytes(nonce, sizeof(nonce)) != 1) {
		store_say(why, "no random numbers");
		return -EIO;
	}
	if (add_header(out, key, nonce, counter, of, issuer) != 0 ||
	    buf_reserve(out, doc->len + TAG) < 0 ||
	    !encrypt(key, nonce, (struct slice){ out->p, out->len }, doc->p, doc->len,
	    out->p + out->len)) {
		store_say(why, "out of memory");
		return -ENOMEM;
	}
	out->len += doc->len + TAG;
	return 0;
}

/* --- opening --- */

struct header {
	cJSON		*json;
	const char	*key, *name, *url, *issuer;	/* issuer NULL: none */
	unsigned char	 nonce[NONCE];
	uint64_t	 counter;
	struct slice	 text;		/* what is authenticated: both lines */
};

static int
fault_is(struct store_fault *fault, int err, const char *words)
{
	fault->err = err;
	snprintf(fault->words, sizeof(fault->words), "%s", words);
	return err;
}

/* The first line.  The second one's beginning, or NULL with a fault. */
static const char *
check_magic(const struct buf *text, struct store_fault *fault)
{
	const size_t n = strlen(MAGIC);
	const char *end;
	long version;

	if (text->len < n || memcmp(text->p, MAGIC, n) != 0 ||
	    (end = memchr(text->p, '\n', MIN(text->len, n + 8))) == NULL) {
		fault_is(fault, -EBADMSG, "not a sealed credential");
		return NULL;
	}
	version = strtol(text->p + n, NULL, 10);
	if (version == VERSION_1)
		return end + 1;
	if (version > VERSION_1)
		fault_is(fault, -ENOTSUP, "written by a newer mcp-authd");
	else
		fault_is(fault, -EBADMSG, "not a sealed credential");
	return NULL;
}

/* 0 or the fault; h->json is freed by the caller in any case. */
static int
parse_header(const struct buf *text, struct header *h, struct store_fault *fault)
{
	struct json_error error = { .line = 1 };
	const char *line, *end, *nonce;
	const cJSON *counter;

	if ((line = check_magic(text, fault)) == NULL)
		return fault->err;
	end = memchr(line, '\n', MIN(text->len - (size_t)(line - text->p), (size_t)HEADER_MAX));
	if (end == NULL)
		return fault_is(fault, -EBADMSG, "it is cut off");
	h->json = json_parse(line, (size_t)(end - line), &error);
	if (h->json == NULL && error.line == 0)
		return fault_is(fault, -ENOMEM, "out of memory");
	h->key = json_string(h->json, "key");
	h->name = json_string(h->json, "name");
	h->url = json_string(h->json, "url");
	h->issuer = json_string(h->json, "issuer");
	nonce = json_string(h->json, "nonce");
	counter = json_member(h->json, "counter");
	if (h->key == NULL || h->name == NULL || h->url == NULL || nonce == NULL ||
	    from_hex(nonce, h->nonce, NONCE) < 0 || !cJSON_IsNumber(counter) ||
	    !(counter->valuedouble >= 0) || counter->valuedouble > 9007199254740992.0)
		return fault_is(fault, -EBADMSG, "its header is damaged");
	h->counter = (uint64_t)counter->valuedouble;
	h->text = (struct slice){ text->p, (size_t)(end + 1 - text->p) };
	if (text->len - h->text.n < TAG)
		return fault_is(fault, -EBADMSG, "it is cut off");
	return 0;
}

/* NULL with a fault; whoever has changed the keys meanwhile is believed. */
static const struct seal_key *
find_key(struct store_keys *keys, const char *id, struct store_fault *fault)
{
	const struct seal_key *key;
	char quiet[200], shown[40];

	if (keys == NULL) {
		fault_is(fault, -ENOTSUP, "it is sealed, and no key is configured: set store.keyFile or "
		    "store.keyCredential and restart, or remove it");
		return NULL;
	}
	key = key_of_id(keys, id);
	if (key == NULL) {
		refresh_keys(keys, (struct store_why){ quiet, sizeof(quiet) });
		key = key_of_id(keys, id);
	}
	if (key != NULL)
		return key;
	fault->err = -ENOTSUP;
	snprintf(fault->words, sizeof(fault->words), "sealed with another key (%s) than ours (%s): put "
	    "that key back, or log out and in anew", text_escape(shown, sizeof(shown), id, strlen(id)),
	    write_key(keys)->id);
	return NULL;
}

/* The record, if it is the one that the header speaks of. */
static struct record *
parse_sealed(const struct header *h, const struct buf *doc, struct store_fault *fault)
{
	const char *words = "";
	struct record *rec;

	rec = record_parse(doc->p, doc->len, &fault->err, &words);
	if (rec == NULL)
		snprintf(fault->words, sizeof(fault->words), "%s", words);
	if (rec == NULL || (strcmp(rec->name, h->name) == 0 && strcmp(rec->url, h->url) == 0 &&
	    text_same(rec->issuer, h->issuer)))
		return rec;
	record_free(rec);
	fault_is(fault, -EBADMSG, "its header speaks of another credential than it holds");
	return NULL;
}

static struct record *
open_sealed(struct store_files *f, const struct header *h, const char *stem,
    const struct buf *text, struct store_fault *fault)
{
	size_t n = text->len - h->text.n - TAG;
	struct buf doc = BUF_SECRET(text->len);
	const struct seal_key *key = find_key(f->keys, h->key, fault);
	struct record *rec = NULL;
	int r = -1;

	if (key == NULL)
		return NULL;
	if (buf_reserve(&doc, n) == 0)
		r = decrypt(key, h->nonce, h->text, text->p + h->text.n, n, doc.p);
	if (r == 1) {
		doc.len = n;
		doc.p[n] = '\0';
	}
	if (r == -1)
		fault_is(fault, -ENOMEM, "out of memory");
	else if (r == 0)
		fault_is(fault, -EBADMSG, "it was changed or is damaged: its key does not open it");
	else if (is_counted(h->name) && h->counter < known_counter(f, stem))
		fault_is(fault, -EBADMSG, "it is older than what was stored last: an old copy was put "
		    "in its place");
	else if ((rec = parse_sealed(h, &doc, fault)) != NULL && is_counted(h->name))
		saw_counter(f, stem, h->counter);
	buf_free(&doc);
	return rec;
}

static struct record *
sealed_decode(struct store_files *f, const struct store_key *key, const char *stem,
    const struct buf *text, struct store_fault *fault)
{
	struct header h = { .json = NULL };
	struct record *rec = NULL, who = { .name = NULL };

	if (parse_header(text, &h, fault) == 0) {
		who.name = (char *)(uintptr_t)h.name;
		who.url = (char *)(uintptr_t)h.url;
		if (store_is_of(&who, key, stem))
			rec = open_sealed(f, &h, stem, text, fault);
		else
			fault_is(fault, -EBADMSG, "it belongs to another upstream");
	}
	cJSON_Delete(h.json);
	return rec;
}

/* --- the turn --- */

struct turn_visit {
	const char	*id;		/* of the new key */
	struct store_why why;
};

/* 1: not by the new key, or not to be read. */
static int
check_sealed(struct store_dir *dir, const char *name, void *arg)
{
	struct buf text = BUF_INIT(store_sealed.max + 1);
	struct header h = { .json = NULL };
	const struct turn_visit *v = arg;
	struct store_fault fault = { 0 };
	char stem[STORE_STEM];
	int fd, r = 1;

	if (!store_dir_entry(name, STORE_SEALED, stem))
		return 0;
	fd = store_dir_openat(dir, name, O_RDONLY, "open", v->why);
	if (fd == -1)
		return errno == ENOENT ? 0 : 1;
	if (store_read_all(fd, &text) == -1)
		store_failed(dir, name, "read", v->why);
	else if (parse_header(&text, &h, &fault) != 0)
		store_say(v->why, "%s/%s: %s", dir->path, name, fault.words);
	else if (strcmp(h.key, v->id) != 0)
		store_say(v->why, "%s/%s is not sealed with the new key: try again", dir->path, name);
	else
		r = 0;
	close(fd);
	cJSON_Delete(h.json);
	buf_free(&text);
	return r;
}

/* The old key is given up only if no entry needs it, whoever wrote it. */
static bool
all_sealed_anew(const struct store_keys *k, struct store_why why)
{
	struct turn_visit v = { k->next.id, why };
	int r = store_dir_each(k->dir, check_sealed, &v);

	if (r == -1)
		store_failed(k->dir, "", "read the directory", why);
	return r == 0;
}

/* Durably.  false with words. */
static bool
replace_key_file(const struct store_keys *k, struct store_why why)
{
	struct buf text = BUF_SECRET(KEY_FILE_MAX);
	struct store_dir there = { .fd = -1 };
	char folder[PATH_MAX];
	const char *name = strrchr(k->file, '/'), *what = "open the directory of";
	bool ok = false;

	if (name == NULL || snprintf(folder, sizeof(folder), "%.*s", (int)(name - k->file) + 1,
	    k->file) >= (int)sizeof(folder))
		return false;
	there.path = folder;
	there.fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (there.fd != -1 && buf_add(&text, k->next.bytes, sizeof(k->next.bytes)) == 0)
		ok = store_dir_replace(&there, name + 1, &text, &what) == 0;
	if (!ok)
		store_say(why, "every entry is sealed with the new key, but I cannot %s %s (%s): put "
		    "the new key there yourself; until then %s is needed", what, k->file,
		    strerrordesc_np(errno), k->next_file);
	if (there.fd != -1)
		close(there.fd);
	buf_free(&text);
	return ok;
}

enum store_result
store_keys_turn(struct store_keys *k, bool *ret_pending, struct store_why why)
{
	*ret_pending = false;
	if (k->next.id[0] == '\0') {
		store_say(why, "the note of the new key (%s/" NEXT_KEY ") has gone: try again",
		    k->dir->path);
		return STORE_FAILED;
	}
	if (!all_sealed_anew(k, why))
		return STORE_FAILED;
	if (k->credential) {
		*ret_pending = true;
		store_say(why, "every entry is sealed with the new key: make it the systemd credential "
		    "and restart; until then %s is needed", k->next_file);
		return STORE_OK;
	}
	if (!replace_key_file(k, why)) {
		*ret_pending = true;
		return STORE_OK;
	}
	set_key(&k->prev, &k->cur);
	set_key(&k->cur, &k->next);
	end_next(k);
	return STORE_OK;
}

const struct store_codec store_sealed = {
	.backend = "encrypted",
	.suffix = STORE_SEALED,
	.max = RECORD_BYTES + HEADER_MAX + TAG,
	.decode = sealed_decode,
	.encode = sealed_encode,
	.written = sealed_written
};
