#include <stdio.h>
#include <unistd.h>

#include "log.h"
#include "store_impl.h"

void *
store_alloc(size_t size)
{
	void *p = calloc(1, size);

	if (p == NULL) {
		log_err(NULL, "memory", "out of memory");
		abort();
	}
	return p;
}

struct store_why
store_words(struct store_reply *reply)
{
	return (struct store_why){ reply->why, sizeof(reply->why) };
}

/* --- jobs --- */

static void
job_free(struct store_job *job)
{
	TAILQ_REMOVE(&job->store->jobs, job, entry);
	record_free(job->reply.record);
	buf_free(&job->doc);
	free(job->issuer);
	store_keys_clear(&job->keys);
	free(job);
}

struct store_job *
store_job_new(struct store *st, enum store_op op, const struct store_key *key, store_done done,
    void *arg)
{
	size_t name = strlen(key->name) + 1, url = strlen(key->url) + 1;
	struct store_job *job;

	job = store_alloc(sizeof(*job) + name + url);
	job->store = st;
	job->op = op;
	job->key.name = memcpy(job->text, key->name, name);
	job->key.url = memcpy(job->text + name, key->url, url);
	record_stem(key->name, key->url, job->stem, sizeof(job->stem));
	job->done = done;
	job->arg = arg;
	job->reply.result = STORE_FAILED;
	TAILQ_INSERT_TAIL(&st->jobs, job, entry);
	return job;
}

void
store_job_print(struct store_job *job, const struct record *rec)
{
	int r;

	job->doc = BUF_SECRET(RECORD_BYTES);
	r = record_print(rec, &job->doc);
	if (r == 0 && rec->issuer != NULL && (job->issuer = strdup(rec->issuer)) == NULL)
		r = -ENOMEM;
	job->unprintable = r != 0;
	if (r != 0)
		snprintf(job->reply.why, sizeof(job->reply.why), r == -ENOMEM ? "out of memory" :
		    "a credential that could not be read back is not written");
}

void
store_job_end(void *arg)
{
	struct store_job *job = arg;
	store_done done = job->done;
	struct store *st = job->store;
	char stem[STORE_STEM];

	if (job->reply.result == STORE_OK && job->reply.why[0] != '\0') {
		log_warn(job->key.name, "store", "%s", job->reply.why);
		job->reply.why[0] = '\0';
	}
	job->done = NULL;
	if (done != NULL)
		done(job->arg, &job->reply);
	memcpy(stem, job->stem, sizeof(stem));
	job_free(job);
	store_lock_settle(st, stem);
	if (st->move != NULL && !store_busy(st))
		store_move_idle(st);
}

static void
job_run(void *arg)
{
	struct store_job *job = arg;

	job->reply.result = job->run(job, store_words(&job->reply));
	buf_free(&job->doc);		/* wiped as early as can be */
}

/* What cannot go there fails in the next settling. */
void
store_job_give(struct store_job *job)
{
	if (worker_give(job->store->worker, job_run, store_job_end, job) == 0)
		return;
	job->reply.result = STORE_FAILED;
	snprintf(job->reply.why, sizeof(job->reply.why), "out of memory");
	loop_defer(job->store->loop, store_job_end, job);
}

void
store_job_begin(struct store_job *job, const struct store_backend *backend)
{
	job->backend = backend;
	if (job->unprintable)
		loop_defer(job->store->loop, store_job_end, job);
	else
		backend->begin(job);
}

/* To the backend in use, as soon as there is one and nobody holds the calls. */
static void
job_start(struct store_job *job)
{
	if (job->store->backend != NULL && !job->store->held)
		store_job_begin(job, job->store->backend);
}

bool
store_busy(const struct store *st)
{
	const struct store_job *job;

	TAILQ_FOREACH(job, &st->jobs, entry)
		if (!job->own && job->backend != NULL)
			return true;
	return false;
}

void
store_go_on(struct store *st)
{
	struct store_job *job;

	TAILQ_FOREACH(job, &st->jobs, entry)
		if (job->backend == NULL)
			job_start(job);
}

void
store_load(struct store *st, const struct store_key *key, store_done done, void *arg)
{
	job_start(store_job_new(st, STORE_LOAD, key, done, arg));
}

void
store_save(struct store *st, const struct store_key *key, const struct record *rec,
    store_done done, void *arg)
{
	struct store_job *job = store_job_new(st, STORE_SAVE, key, done, arg);

	store_job_print(job, rec);
	job_start(job);
}

void
store_delete(struct store *st, const struct store_key *key, store_done done, void *arg)
{
	job_start(store_job_new(st, STORE_REMOVE, key, done, arg));
}

void
store_forget(struct store *st, void *arg)
{
	struct store_job *job;

	TAILQ_FOREACH(job, &st->jobs, entry)
		if (job->arg == arg)
			job->done = NULL;
	store_lock_forget(st, arg);
	store_move_forget(st, arg);
}

/* --- files --- */

static enum store_result
run_files(struct store_job *job, struct store_why why)
{
	struct store *st = job->store;
	struct store_files *f = job->backend->kind == CONFIG_STORE_FILE ? &st->plain : &st->sealed;

	switch (job->op) {
	case STORE_LOAD:
		return store_file_load(f, &job->key, job->stem, &job->reply.record, why);
	case STORE_SAVE:
		return store_file_save(f, &job->key, job->stem, &job->doc, job->issuer, why);
	case STORE_REMOVE:	/* set-aside ones first: others take the absence for a logout */
		if (!job->own && store_remove_aside(st->dir, job->stem, why) != STORE_OK)
			return STORE_FAILED;
		return store_file_remove(f, &job->key, job->stem, why);
	case STORE_LIST:
		return store_file_list(f, &job->keys, why);
	}
	abort();
}

static void
files_begin(struct store_job *job)
{
	job->run = run_files;
	store_job_give(job);
}

static const struct store_backend file_backend = { "file", CONFIG_STORE_FILE, files_begin };
static const struct store_backend encrypted_backend = {
	"encrypted", CONFIG_STORE_ENCRYPTED, files_begin
};

/* --- the keyring --- */

static enum store_result
run_elsewhere(struct store_job *job, struct store_why why)
{
	return store_why_absent(job->store->dir, job->stem, job->backend->name, why);
}

static enum store_result
run_remove_aside(struct store_job *job, struct store_why why)
{
	return store_remove_aside(job->store->dir, job->stem, why);
}

static void
take_reply(struct store_job *job, const struct keyring_reply *r)
{
	job->reply.result = r->result;
	snprintf(job->reply.why, sizeof(job->reply.why), "%s", r->why);
}

/* The record that the item holds; NULL: BAD or FAILED with words. */
static struct record *
item_record(struct store_job *job, const struct buf *secret, int *ret_err)
{
	const char *words = "";
	struct record *rec;

	*ret_err = 0;
	rec = record_parse(secret->p, secret->len, ret_err, &words);
	if (rec != NULL && !store_is_of(rec, &job->key, job->stem)) {
		record_free(rec);
		rec = NULL;
		*ret_err = -EBADMSG;
		words = "it belongs to another upstream";
	}
	job->reply.result = rec != NULL ? STORE_OK : *ret_err == -ENOMEM ? STORE_FAILED : STORE_BAD;
	if (rec == NULL)
		snprintf(job->reply.why, sizeof(job->reply.why), "the keyring's item is unreadable: %s",
		    words);
	return rec;
}

static void
item_loaded(void *arg, struct keyring_reply *r)
{
	struct store_job *job = arg;
	int err;

	take_reply(job, r);
	if (r->result == STORE_OK)
		job->reply.record = item_record(job, &r->secret, &err);
	if (r->result == STORE_GONE) {		/* C4: or has it only never come here? */
		job->run = run_elsewhere;
		store_job_give(job);
	} else
		store_job_end(job);
}

static void
item_done(void *arg, struct keyring_reply *r)
{
	struct store_job *job = arg;

	if (r->result != STORE_OK || job->op != STORE_SAVE)
		take_reply(job, r);
	else
		job->reply.result = STORE_OK;
	buf_free(&job->doc);
	if (r->result == STORE_OK && job->op == STORE_REMOVE && !job->own) {
		job->run = run_remove_aside;
		store_job_give(job);
	} else
		store_job_end(job);
}

/* I7: what a newer version wrote stays; the unreadable is replaced, and that is said. */
static void
item_checked(void *arg, struct keyring_reply *r)
{
	struct store_job *job = arg;
	int err = 0;

	take_reply(job, r);
	if (r->result == STORE_OK)
		record_free(item_record(job, &r->secret, &err));
	if (r->result == STORE_FAILED || r->result == STORE_TIMEOUT || r->result == STORE_BAD ||
	    err == -ENOTSUP || err == -ENOMEM) {
		job->reply.result = STORE_FAILED;
		store_job_end(job);
		return;
	}
	if (err == 0)
		job->reply.why[0] = '\0';
	keyring_save(job->store->keyring, &job->key, job->doc.p, job->doc.len, item_done, job);
}

static void
items_listed(void *arg, enum store_result result, const struct store_key *keys, size_t n,
    const char *why)
{
	struct store_job *job = arg;
	size_t i;

	job->reply.result = result;
	if (result != STORE_OK)
		snprintf(job->reply.why, sizeof(job->reply.why), "%s", why);
	for (i = 0; result == STORE_OK && i < n; i++)
		store_key_add(&job->keys, keys[i].name, keys[i].url);
	store_job_end(job);
}

static void
keyring_begin(struct store_job *job)
{
	struct keyring *k = job->store->keyring;

	switch (job->op) {
	case STORE_LOAD:
		keyring_load(k, &job->key, item_loaded, job);
		break;
	case STORE_SAVE:
		keyring_load(k, &job->key, item_checked, job);
		break;
	case STORE_REMOVE:
		keyring_delete(k, &job->key, item_done, job);
		break;
	case STORE_LIST:
		keyring_list(k, items_listed, job);
		break;
	}
}

static const struct store_backend keyring_backend = {
	"keyring", CONFIG_STORE_KEYRING, keyring_begin
};

const struct store_backend *const store_backends[CONFIG_STORE_KEYRING + 1] = {
	[CONFIG_STORE_FILE] = &file_backend,
	[CONFIG_STORE_ENCRYPTED] = &encrypted_backend,
	[CONFIG_STORE_KEYRING] = &keyring_backend
};

static void
items_changed(void *arg)
{
	struct store *st = arg;

	if (st->backend == &keyring_backend)
		store_watch_all(st);
	else if (st->backend != NULL)
		store_drift_look(st);
}

struct keyring *
store_need_keyring(struct store *st)
{
	if (st->keyring == NULL && (st->keyring = keyring_open(st->loop, st->bus)) != NULL)
		keyring_watch(st->keyring, items_changed, st);
	return st->keyring;
}

/* --- which backend --- */

void
store_pin(struct store *st, enum config_backend kind, const char *how)
{
	st->backend = store_backends[kind];
	st->how = how;
	store_go_on(st);
	store_drift_look(st);
}

static void
keyring_is_known(void *arg)
{
	struct store *st = arg;
	enum keyring_state state = keyring_state(st->keyring);
	bool key = st->sealed.keys != NULL;

	if (state == KEYRING_READY)
		store_pin(st, CONFIG_STORE_KEYRING, "auto: a keyring answers and is unlocked");
	else if (key)
		store_pin(st, CONFIG_STORE_ENCRYPTED, state == KEYRING_LOCKED ?
		    "auto: the keyring is locked, and a key is configured" :
		    "auto: there is no keyring, and a key is configured");
	else
		store_pin(st, CONFIG_STORE_FILE, state == KEYRING_LOCKED ?
		    "auto: the keyring is locked, and no key is configured" :
		    "auto: there is no keyring, and no key is configured");
	log_info(NULL, "store", "credentials are kept in the %s store (%s)", st->backend->name,
	    st->how);
}

/* false: no memory. */
static bool
choose(struct store *st, enum config_backend wanted)
{
	if ((wanted == CONFIG_STORE_AUTO || wanted == CONFIG_STORE_KEYRING) &&
	    store_need_keyring(st) == NULL)
		return false;
	if (wanted == CONFIG_STORE_AUTO)
		keyring_settled(st->keyring, keyring_is_known, st);
	else
		store_pin(st, wanted, "as configured");
	return true;
}

/* --- opening and closing --- */

static bool
open_files(struct store *st, const struct store_options *o, struct store_why why)
{
	if (o->backend == CONFIG_STORE_ENCRYPTED && o->key_file == NULL) {
		store_say(why, "store.backend is \"encrypted\": set store.keyFile or "
		    "store.keyCredential, too");
		return false;
	}
	st->dir = store_dir_open(o->path, o->allow_network_fs, why);
	st->plain = (struct store_files){ .dir = st->dir, .codec = &store_plain };
	st->sealed = (struct store_files){ .dir = st->dir, .codec = &store_sealed };
	if (st->dir == NULL || o->key_file == NULL)
		return st->dir != NULL;
	st->sealed.keys = store_keys_open(o->key_file, o->key_is_credential, st->dir, why);
	return st->sealed.keys != NULL;
}

struct store *
store_open(struct loop *loop, const struct store_options *o, char *why, size_t size)
{
	struct store_why said = { why, size };
	struct store *st;

	snprintf(why, size, "out of memory");
	st = calloc(1, sizeof(*st));
	if (st == NULL)
		return NULL;
	st->loop = loop;
	st->lock_wait = LOCK_WAIT;
	st->inotify = -1;
	TAILQ_INIT(&st->jobs);
	TAILQ_INIT(&st->locks);
	LIST_INIT(&st->watches);
	st->path = strdup(o->path);
	st->bus = o->bus != NULL ? strdup(o->bus) : NULL;
	if (st->path == NULL || (o->bus != NULL && st->bus == NULL) || !open_files(st, o, said) ||
	    store_watch_start(st) == -1) {
		store_close(st);
		return NULL;
	}
	st->worker = worker_new(loop);
	if (st->worker == NULL) {
		snprintf(why, size, "cannot start a thread: %s", strerrordesc_np(errno));
		store_close(st);
		return NULL;
	}
	if (!choose(st, o->backend)) {
		snprintf(why, size, "out of memory");
		store_close(st);
		return NULL;
	}
	snprintf(why, size, "%s", "");
	return st;
}

void
store_close(struct store *st)
{
	struct store_job *job;

	if (st == NULL)
		return;
	worker_free(st->worker);
	keyring_close(st->keyring);
	while ((job = TAILQ_FIRST(&st->jobs)) != NULL) {
		loop_undefer(st->loop, job);
		job_free(job);
	}
	store_lock_close(st);
	store_move_close(st);		/* holds locks that are now nobody's but its own */
	store_watch_close(st);
	store_drift_close(st);
	store_crypt_forget(&st->sealed);
	store_keys_close(st->sealed.keys);
	store_dir_close(st->dir);
	free(st->path);
	free(st->bus);
	free(st);
}

const char *
store_backend(const struct store *st)
{
	return st->backend != NULL ? st->backend->name : "auto";
}

struct worker *
store_worker(struct store *st)
{
	return st->worker;
}

const char *
store_path(const struct store *st)
{
	return st->path;
}

static int
add_text(struct buf *b, const char *before, const char *text)
{
	int e = buf_adds(b, before);

	return e | buf_addjson(b, text, strlen(text));
}

int
store_status(const struct store *st, struct buf *b)
{
	int e;

	e = add_text(b, "{\"backend\":", store_backend(st));
	e |= add_text(b, ",\"resolved\":", st->how != NULL ? st->how : "not yet: the keyring is asked");
	e |= add_text(b, ",\"path\":", st->path);
	e |= buf_adds(b, ",\"drift\":");
	e |= store_drift_print(st, b);
	return e | buf_adds(b, "}");
}
