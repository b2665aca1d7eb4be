/*
 * Moving every entry to another backend, or sealing it anew (store_migrate(),
 * store_rekey()).  The order is what keeps entries safe: all locks; no call
 * under way; copy and read back each; then the new ones are in use; then the
 * old ones are deleted.
 */
#include <stdarg.h>
#include <stdio.h>

#include "log.h"
#include "store_impl.h"

#define BIT(kind)	(1u << (kind))
#define ROUNDS		8	/* entries that appear while locks are taken, before we give up */

enum move_state {
	MOVE_BEGUN,
	MOVE_LISTING,
	MOVE_LOCKING,
	MOVE_HOLDING,		/* until nothing else is under way */
	MOVE_COPYING,
	MOVE_UNDOING,		/* copies that are not needed */
	MOVE_DELETING,		/* old ones */
	MOVE_TURNING		/* the key file */
};

struct move_entry {
	char		 stem[STORE_STEM];
	struct store_key key;		/* of the list */
	unsigned	 where;		/* bits of enum config_backend */
	struct store_lock *lock;
	bool		 made;		/* a copy that was not there before */
};

struct store_move {
	struct store_move *next;	/* of those that are refused */
	struct store	*store;
	enum move_state	 state;
	enum config_backend to;
	char		*new_key;	/* rekey; NULL: migrate */
	struct store_key_list keys;
	struct move_entry *entries;	/* in the order of stems, so that two movers do not deadlock */
	size_t		 n, i;
	enum config_backend at;		/* of listing, checking and deleting */
	struct store_job *listing;
	unsigned	 rounds;
	enum config_backend from;	/* of the entry in hand */
	struct record	*rec;		/* ... as it is in use */
	bool		 failed, pending;
	char		 why[200];
	size_t		 moved;
	store_done	 done;		/* NULL: forgotten */
	void		*arg;
};

static void	move_list(struct store_move *);
static void	move_lock(struct store_move *);
static void	move_copy(struct store_move *);
static void	move_delete(struct store_move *);
static void	move_undo(struct store_move *);

/* --- the end --- */

static void
move_free(struct store_move *m)
{
	record_free(m->rec);
	store_keys_clear(&m->keys);
	free(m->entries);
	free(m->new_key);
	free(m);
}

static void
move_end(void *arg)
{
	struct store_move *m = arg;
	struct store *st = m->store;
	struct store_reply reply = { .result = m->failed ? STORE_FAILED : STORE_OK };
	size_t i;

	memcpy(reply.why, m->why, sizeof(reply.why));
	if (m->failed)
		log_err(NULL, "store", "%s", m->why);
	else
		log_info(NULL, "store", "%s", m->why);
	st->move = NULL;
	st->held = false;
	for (i = 0; i < m->n; i++)
		store_unlock(m->entries[i].lock);
	store_go_on(st);
	store_drift_anew(st);
	if (m->done != NULL)
		m->done(m->arg, &reply);
	move_free(m);
}

/* Nothing has been deleted yet: what was there is there. */
static void _printf_(2, 3)
move_fail(struct store_move *m, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(m->why, sizeof(m->why), fmt, ap);
	va_end(ap);
	m->failed = true;
	m->i = 0;
	move_undo(m);
}

/* --- steps on one backend --- */

static struct store_job *
begin_job(struct store_move *m, enum store_op op, enum config_backend where, store_done done)
{
	static const struct store_key none = { "", "" };
	const struct store_key *key = op == STORE_LIST ? &none : &m->entries[m->i].key;
	struct store_job *job = store_job_new(m->store, op, key, done, m);

	job->own = true;
	if (op == STORE_SAVE)
		store_job_print(job, m->rec);
	store_job_begin(job, store_backends[where]);
	return job;
}

static const char *
name_of(enum config_backend kind)
{
	return store_backends[kind]->name;
}

/* Can that backend be asked? */
static bool
is_there(const struct store_move *m, enum config_backend kind)
{
	const struct store *st = m->store;

	if (kind == CONFIG_STORE_KEYRING)
		return st->keyring != NULL && keyring_state(st->keyring) >= KEYRING_LOCKED;
	return true;
}

static bool
needs_keyring(const struct store_move *m)
{
	return m->to == CONFIG_STORE_KEYRING || m->store->backend->kind == CONFIG_STORE_KEYRING;
}

/* --- listing --- */

static int
by_stem(const void *a, const void *b)
{
	return strcmp(((const struct move_entry *)a)->stem, ((const struct move_entry *)b)->stem);
}

static void
add_entry(struct store_move *m, const struct store_key *key)
{
	char stem[STORE_STEM];
	struct move_entry *e;
	size_t i;

	record_stem(key->name, key->url, stem, sizeof(stem));
	for (i = 0; i < m->n && strcmp(m->entries[i].stem, stem) != 0; i++)
		;
	if (i == m->n) {
		m->entries = reallocarray(m->entries, m->n + 1, sizeof(*m->entries));
		if (m->entries == NULL)
			abort();
		e = &m->entries[m->n++];
		memset(e, 0, sizeof(*e));
		memcpy(e->stem, stem, sizeof(stem));
		store_key_add(&m->keys, key->name, key->url);
		e->key = m->keys.keys[m->keys.n - 1];
	}
	m->entries[i].where |= BIT(m->at);
}

/* The first time: locks for them.  Again, with nothing else under way: then it is known what there is. */
static void
listed_all(struct store_move *m)
{
	size_t i;

	if (m->n > 0)
		qsort(m->entries, m->n, sizeof(*m->entries), by_stem);
	for (i = 0; i < m->n && m->entries[i].lock != NULL; i++)
		;
	if (m->store->held && i == m->n) {
		m->state = MOVE_COPYING;
		m->i = 0;
		move_copy(m);
		return;
	}
	m->store->held = false;
	store_go_on(m->store);
	if (++m->rounds > ROUNDS)
		move_fail(m, "new entries appear all the time: try again");
	else
		move_lock(m);
}

static void
on_listed(void *arg, struct store_reply *r)
{
	struct store_move *m = arg;
	size_t i;

	/* A keyring that is locked, or dies, is no matter of those who do not use it. */
	if (r->result != STORE_OK && (m->at != CONFIG_STORE_KEYRING || needs_keyring(m))) {
		move_fail(m, "the %s store cannot be listed: %s", name_of(m->at), r->why);
		return;
	}
	for (i = 0; r->result == STORE_OK && i < m->listing->keys.n; i++)
		add_entry(m, &m->listing->keys.keys[i]);
	m->at++;
	move_list(m);
}

/* Whatever it holds: it is unlocked, or nobody wants to. */
static void
on_unlocked(void *arg, struct store_reply *r)
{
	struct store_move *m = arg;

	if (r->result == STORE_FAILED || r->result == STORE_TIMEOUT)
		move_fail(m, "the keyring cannot be used: %s", r->why);
	else
		m->listing = begin_job(m, STORE_LIST, m->at, on_listed);
}

static void
move_list(struct store_move *m)
{
	m->state = MOVE_LISTING;
	if (m->at == CONFIG_STORE_KEYRING && !is_there(m, m->at) && needs_keyring(m))
		move_fail(m, "no keyring answers: %s", keyring_why(m->store->keyring));
	else if (m->at > CONFIG_STORE_KEYRING || !is_there(m, m->at))
		listed_all(m);
	else if (m->at == CONFIG_STORE_KEYRING && needs_keyring(m) && m->n > 0 &&
	    keyring_state(m->store->keyring) == KEYRING_LOCKED) {
		m->i = 0;
		begin_job(m, STORE_LOAD, m->at, on_unlocked);
	} else
		m->listing = begin_job(m, STORE_LIST, m->at, on_listed);
}

static void
list_anew(struct store_move *m)
{
	size_t i;

	for (i = 0; i < m->n; i++)
		m->entries[i].where = 0;
	m->at = CONFIG_STORE_FILE;
	move_list(m);
}

/* --- locks --- */

static void
on_locked(void *arg, struct store_reply *r)
{
	struct store_move *m = arg;

	if (r->result != STORE_OK) {
		move_fail(m, "%s: its lock was not to be had: %s", m->entries[m->i].key.name, r->why);
		return;
	}
	m->entries[m->i].lock = r->lock;
	move_lock(m);
}

/* Those that are missing, in order; then everybody else's calls are held. */
static void
move_lock(struct store_move *m)
{
	m->state = MOVE_LOCKING;
	for (m->i = 0; m->i < m->n && m->entries[m->i].lock != NULL; m->i++)
		;
	if (m->i < m->n) {
		store_lock(m->store, &m->entries[m->i].key, on_locked, m);
		return;
	}
	m->state = MOVE_HOLDING;
	m->store->held = true;
	if (!store_busy(m->store))
		list_anew(m);
}

void
store_move_idle(struct store *st)
{
	if (st->move->state == MOVE_HOLDING)
		list_anew(st->move);
}

/* --- copying --- */

/* Which one counts: that in use, else the only other.  false: nobody can say. */
static bool
choose_source(struct store_move *m, unsigned where)
{
	enum config_backend used = m->store->backend->kind;
	int kind;

	if ((where & BIT(used)) != 0) {
		m->from = used;
		return true;
	}
	for (kind = CONFIG_STORE_FILE; kind <= CONFIG_STORE_KEYRING; kind++)
		if (where == BIT(kind)) {
			m->from = (enum config_backend)kind;
			return true;
		}
	return false;
}

static void
next_entry(struct store_move *m)
{
	record_free(m->rec);
	m->rec = NULL;
	m->moved++;
	m->i++;
	move_copy(m);
}

static bool
same_record(const struct record *a, const struct record *b)
{
	struct buf x = BUF_SECRET(RECORD_BYTES), y = BUF_SECRET(RECORD_BYTES);
	bool same;

	same = record_print(a, &x) == 0 && record_print(b, &y) == 0 && x.len == y.len &&
	    memcmp(x.p, y.p, x.len) == 0;
	buf_free(&x);
	buf_free(&y);
	return same;
}

static void
on_verified(void *arg, struct store_reply *r)
{
	struct store_move *m = arg;
	const struct move_entry *e = &m->entries[m->i];

	if (r->result != STORE_OK)
		move_fail(m, "%s: the copy in the %s store cannot be read back: %s", e->key.name,
		    name_of(m->to), r->result == STORE_GONE ? "it is gone" : r->why);
	else if (!same_record(r->record, m->rec))
		move_fail(m, "%s: the copy in the %s store is not what was written", e->key.name,
		    name_of(m->to));
	else
		next_entry(m);
}

static void
on_copied(void *arg, struct store_reply *r)
{
	struct store_move *m = arg;
	struct move_entry *e = &m->entries[m->i];

	if (r->result != STORE_OK) {
		move_fail(m, "%s: cannot be written to the %s store: %s", e->key.name, name_of(m->to),
		    r->why);
		return;
	}
	e->made = (e->where & BIT(m->to)) == 0;
	begin_job(m, STORE_LOAD, m->to, on_verified);
}

static void	compare_next(struct store_move *);

static void
on_compared(void *arg, struct store_reply *r)
{
	struct store_move *m = arg;
	const char *name = m->entries[m->i].key.name;

	if (r->result != STORE_OK)
		move_fail(m, "%s: its copy in the %s store cannot be read: %s", name, name_of(m->at),
		    r->why);
	else if (r->record->obtained_at > m->rec->obtained_at)
		move_fail(m, "%s: the %s store has a later token than the %s store, which counts: remove "
		    "one of them by hand, or log in anew", name, name_of(m->at), name_of(m->from));
	else {
		m->at++;
		compare_next(m);
	}
}

/* No copy may be later than the one that counts; then it is copied. */
static void
compare_next(struct store_move *m)
{
	const struct move_entry *e = &m->entries[m->i];

	while (m->at <= CONFIG_STORE_KEYRING && (m->at == m->from || (e->where & BIT(m->at)) == 0))
		m->at++;
	if (m->at <= CONFIG_STORE_KEYRING)
		begin_job(m, STORE_LOAD, m->at, on_compared);
	else if (m->from != m->to || m->new_key != NULL)
		begin_job(m, STORE_SAVE, m->to, on_copied);
	else
		next_entry(m);
}

static void
on_read(void *arg, struct store_reply *r)
{
	struct store_move *m = arg;

	if (r->result != STORE_OK) {
		move_fail(m, "%s: cannot be read in the %s store: %s", m->entries[m->i].key.name,
		    name_of(m->from), r->result == STORE_GONE ? "it is gone" : r->why);
		return;
	}
	m->rec = r->record;
	r->record = NULL;
	m->at = m->new_key != NULL ? CONFIG_STORE_KEYRING + 1 : CONFIG_STORE_FILE;
	compare_next(m);
}

/* --- the key --- */

static void
turn_run(void *arg)
{
	struct store_move *m = arg;

	m->failed = store_keys_turn(m->store->sealed.keys, &m->pending,
	    (struct store_why){ m->why, sizeof(m->why) }) != STORE_OK;
}

static void
turn_done(void *arg)
{
	struct store_move *m = arg;

	if (!m->failed && !m->pending)
		snprintf(m->why, sizeof(m->why), "%zu credentials are sealed with the new key, which now "
		    "stands in the key file: %s is not needed any more", m->moved, m->new_key);
	move_end(m);
}

static void
turn(struct store_move *m)
{
	m->state = MOVE_TURNING;
	if (worker_give(m->store->worker, turn_run, turn_done, m) == 0)
		return;
	m->failed = true;
	snprintf(m->why, sizeof(m->why), "out of memory");
	loop_defer(m->store->loop, move_end, m);
}

static void
next_run(void *arg)
{
	struct store_move *m = arg;

	m->failed = store_keys_next(m->store->sealed.keys, m->new_key,
	    (struct store_why){ m->why, sizeof(m->why) }) != STORE_OK;
}

static void
next_done(void *arg)
{
	struct store_move *m = arg;

	if (m->failed)
		move_end(m);
	else
		list_anew(m);
}

/* --- copied --- */

/* The one turning point: before it the old entries are in use, behind it the new ones. */
static void
copied_all(struct store_move *m)
{
	struct store *st = m->store;

	if (m->new_key != NULL) {
		turn(m);
		return;
	}
	if (st->backend->kind != m->to) {
		st->backend = store_backends[m->to];
		st->how = "by store migrate";
	}
	snprintf(m->why, sizeof(m->why), "%zu credentials are in the %s store, which is in use now: "
	    "set store.backend to \"%s\" in the config", m->moved, name_of(m->to), name_of(m->to));
	m->state = MOVE_DELETING;
	m->i = 0;
	m->at = CONFIG_STORE_FILE;
	move_delete(m);
}

static void
move_copy(struct store_move *m)
{
	const struct move_entry *e;
	unsigned where;

	/* Of those that were locked first, some may be gone; a rekeying is of the sealed ones alone. */
	for (; m->i < m->n; m->i++) {
		where = m->entries[m->i].where;
		if (where != 0 && (m->new_key == NULL || (where & BIT(CONFIG_STORE_ENCRYPTED)) != 0))
			break;
	}
	if (m->i == m->n) {
		copied_all(m);
		return;
	}
	e = &m->entries[m->i];
	if (m->new_key != NULL)
		m->from = CONFIG_STORE_ENCRYPTED;
	else if (!choose_source(m, e->where)) {
		move_fail(m, "%s: several stores have it, and none of them is in use", e->key.name);
		return;
	}
	begin_job(m, STORE_LOAD, m->from, on_read);
}

/* --- deleting and undoing --- */

static void
on_deleted(void *arg, struct store_reply *r)
{
	struct store_move *m = arg;
	size_t n = strlen(m->why);

	if (r->result != STORE_OK && !m->failed) {
		m->failed = true;
		snprintf(m->why + n, sizeof(m->why) - n, "; but an old copy was not deleted: %s", r->why);
	}
	m->at++;
	move_delete(m);
}

static void
move_delete(struct store_move *m)
{
	for (; m->i < m->n; m->i++, m->at = CONFIG_STORE_FILE) {
		for (; m->at <= CONFIG_STORE_KEYRING; m->at++) {
			if (m->at != m->to && (m->entries[m->i].where & BIT(m->at)) != 0) {
				begin_job(m, STORE_REMOVE, m->at, on_deleted);
				return;
			}
		}
	}
	move_end(m);
}

static void
on_undone(void *arg, _unused_ struct store_reply *r)
{
	struct store_move *m = arg;

	m->i++;
	move_undo(m);
}

static void
move_undo(struct store_move *m)
{
	m->state = MOVE_UNDOING;
	while (m->i < m->n && !m->entries[m->i].made)
		m->i++;
	if (m->i < m->n)
		begin_job(m, STORE_REMOVE, m->to, on_undone);
	else
		move_end(m);
}

/* --- beginning --- */

static void
refuse(struct store_move *m, const char *words)
{
	m->failed = true;
	snprintf(m->why, sizeof(m->why), "%s", words);
	loop_defer(m->store->loop, move_end, m);
}

/* Another one runs: it is not touched. */
static void
answer_busy(void *arg)
{
	struct store_move *m = arg, **p;
	struct store_reply reply = { .result = STORE_FAILED,
	    .why = "entries are being moved already: try again when that is over" };

	for (p = &m->store->refused; *p != m; p = &(*p)->next)
		;
	*p = m->next;
	if (m->done != NULL)
		m->done(m->arg, &reply);
	move_free(m);
}

static struct store_move *
move_new(struct store *st, enum config_backend to, store_done done, void *arg)
{
	struct store_move *m = store_alloc(sizeof(*m));

	m->store = st;
	m->to = to;
	m->at = CONFIG_STORE_FILE;
	m->done = done;
	m->arg = arg;
	if (st->move != NULL) {
		m->next = st->refused;
		st->refused = m;
		loop_defer(st->loop, answer_busy, m);
		return NULL;
	}
	st->move = m;
	return m;
}

static void
keyring_is_known(void *arg)
{
	struct store_move *m = ((struct store *)arg)->move;

	if (m != NULL && m->state == MOVE_BEGUN)
		list_anew(m);
}

void
store_migrate(struct store *st, enum config_backend to, store_done done, void *arg)
{
	struct store_move *m = move_new(st, to, done, arg);

	if (m == NULL)
		return;
	if (st->backend == NULL)
		refuse(m, "it is not known yet which store is in use: try again");
	else if (to == CONFIG_STORE_ENCRYPTED && st->sealed.keys == NULL)
		refuse(m, "the encrypted store needs a key: set store.keyFile or store.keyCredential and "
		    "restart; make one with: openssl rand -out FILE 32");
	else if (to == CONFIG_STORE_KEYRING && store_need_keyring(st) == NULL)
		refuse(m, "out of memory");
	else if (st->keyring != NULL)
		keyring_settled(st->keyring, keyring_is_known, st);
	else
		list_anew(m);
}

void
store_rekey(struct store *st, const char *new_key_file, store_done done, void *arg)
{
	struct store_move *m = move_new(st, CONFIG_STORE_ENCRYPTED, done, arg);

	if (m == NULL)
		return;
	m->new_key = strdup(new_key_file);
	if (st->sealed.keys == NULL)
		refuse(m, "no key is configured: set store.keyFile or store.keyCredential and restart");
	else if (m->new_key == NULL ||
	    worker_give(st->worker, next_run, next_done, m) < 0)
		refuse(m, "out of memory");
}

void
store_move_forget(struct store *st, void *arg)
{
	struct store_move *m;

	if (st->move != NULL && st->move->arg == arg)
		st->move->done = NULL;
	for (m = st->refused; m != NULL; m = m->next)
		if (m->arg == arg)
			m->done = NULL;
}

/* Its jobs have been ended; its locks, cut loose, are given up here. */
void
store_move_close(struct store *st)
{
	struct store_move *m;
	size_t i;

	while ((m = st->refused) != NULL) {
		st->refused = m->next;
		loop_undefer(st->loop, m);
		move_free(m);
	}
	m = st->move;
	if (m == NULL)
		return;
	loop_undefer(st->loop, m);
	for (i = 0; i < m->n; i++)
		store_unlock(m->entries[i].lock);
	move_free(m);
	st->move = NULL;
}
