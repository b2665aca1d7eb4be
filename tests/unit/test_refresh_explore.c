/*
 * Every event sequence of two refresh machines on one store, one lock and one
 * rotating provider, to the depth where no new state appears; then millions
 * of longer random ones.  After each step the contract's invariants hold:
 *
 *   C    never two transactions
 *   C11  a rotated token is used only once persisted, or while its persist is owed
 *   D    a refresh token known to be spent is never sent
 *   E2   a generation that was renewed is not renewed again for an old 401
 *   E3   (waiters) nobody who waits is forgotten
 *   H1   a logout is never undone, a login never overwritten by a refresh
 *   C6   a grant that renews itself never waits for a login, and what was
 *        logged out is not stored again
 *   H2   what was logged out elsewhere is dropped
 *   BUG  no cell that "cannot happen" is ever reached
 *
 * Exits 0 and prints states and sequences.  With a cell broken on purpose it
 * must find a violation: that is tried for several cells, too.
 */
#include <stdio.h>

#include "refresh.h"

#define MACHINES	2
#define TOKENS		5	/* rotations and logins that one history may have */

enum op { OP_NONE, OP_LOCK, OP_LOAD, OP_SAVE, OP_DELETE, OP_SEND, OP_VERIFY };

/* What a machine's driver holds besides the machine: as daemon/credential.c does. */
struct driver {
	struct refresh	m;
	enum op		op;		/* in flight */
	struct refresh_facts payload;	/* of OP_SAVE */
	bool		sent;		/* OP_SEND: the provider has already rotated */
	bool		waiter;		/* an exchange is parked */
	uint64_t	after;		/* ... which met a 401 for this generation */
	bool		timer;
	bool		changed;	/* a notice of the store is on its way */
	unsigned char	job;		/* 0, 'i' login, 'o' logout: queued or running */
	bool		job_runs;
	unsigned char	job_token;
};

struct world {
	struct driver	d[MACHINES];
	struct refresh_facts store;	/* access 0 = gone */
	unsigned char	owner;		/* of the lock: machine + 1 */
	unsigned char	next;		/* next token number */
	unsigned char	valid;		/* the provider's one live refresh token */
	bool		expired[TOKENS + 1];
	bool		spent[TOKENS + 1];	/* its successor was received */
	bool		logged_out;	/* the last job that completed was a logout */
	unsigned char	floor;		/* the last login's token: nothing older may be stored again */
	unsigned char	faults, jobs, rejects, expiries;	/* budgets left */
};

static const struct now now0 = { .wall = 1000000000, .boot = 1000000 };
static const struct refresh_cell (*grid)[REFRESH_EVENTS] = refresh_grid;
static const char *violation;
static bool drains;		/* explore K as well */
static bool itself;		/* explore a grant that renews itself */

static void
broken(const char *what)
{
	if (violation == NULL)
		violation = what;
}

/* --- the model's facts --- */

static struct refresh_facts
token(const struct world *w, unsigned n)
{
	return (struct refresh_facts){
		.access = n, .renewal = itself ? 0 : n, .renewable = true, .lifetime = HOUR_MS,
		.expires_at = now0.wall + (w->expired[n] ? -1 : HOUR_MS / 2),
	};
}

static struct refresh_facts
store_facts(const struct world *w)
{
	struct refresh_facts f = w->store;

	f.expires_at = now0.wall + (w->expired[f.access] ? -1 : HOUR_MS / 2);
	f.tried_at = now0.wall - (f.tries > 1 ? UNKNOWN_NEXT : UNKNOWN_FIRST);	/* ripe */
	return f;
}

/* --- the driver --- */

static void feed(struct world *, int, enum refresh_event);

static void
start(struct driver *d, enum op op)
{
	if (d->op != OP_NONE)
		broken("two operations at once");
	d->op = op;
}

static void
start_save(struct driver *d, struct refresh_facts payload)
{
	start(d, OP_SAVE);
	d->payload = payload;
}

static void
check_send(struct world *w, int i)
{
	struct driver *d = &w->d[i];

	if (w->owner != i + 1)
		broken("C2: a request without the lock");
	if (w->d[!i].op == OP_SEND)
		broken("C: two transactions");
	if (d->m.cur.renewal != 0 && w->spent[d->m.cur.renewal])
		broken("D: a refresh token known to be spent is sent");
	if (!itself && w->logged_out && w->store.access == 0)
		broken("C4: a refresh after a logout");
}

static void
run_actions(struct world *w, int i, unsigned a)
{
	struct driver *d = &w->d[i];

	if (a & A_LOCK)
		start(d, OP_LOCK);
	if (a & A_REREAD)
		start(d, OP_LOAD);
	if (a & A_VERIFY)
		start(d, OP_VERIFY);
	if (a & (A_INTENT | A_CLEAR | A_MARK))
		start_save(d, d->m.cur);
	if (a & A_PERSIST)
		start_save(d, d->m.state == REFRESH_REPERSISTING ? d->m.cur : d->m.minted);
	if (a & A_SAVE_LOGIN)
		start_save(d, d->m.login);
	if (a & A_DELETE)
		start(d, OP_DELETE);
	if (a & A_SEND) {
		start(d, OP_SEND);
		check_send(w, i);
	}
	if (a & A_UNLOCK) {
		if (w->owner == i + 1)
			w->owner = 0;
		else if (d->op == OP_LOCK)
			d->op = OP_NONE;
	}
	if (a & A_TIMER)
		d->timer = true;
}

/* C11, and nothing is used that the lock's owner has not stored. */
static void
check_install(struct world *w, int i, unsigned a)
{
	struct driver *d = &w->d[i];

	if (!(a & A_INSTALL))
		return;
	if (!d->m.unpersisted && w->store.access != d->m.cur.access)
		broken("C11: used before it was persisted");
	if (d->m.unpersisted && w->owner != i + 1)
		broken("D: an unpersisted token without the lock");
}

static void
finish_job(struct world *w, int i, bool ok)
{
	struct driver *d = &w->d[i];

	if (ok && d->job == 'o')
		w->logged_out = true;
	d->job = 0;
	d->job_runs = false;
}

/* As an exchange does when it is woken: ask again, wait again, or be done. */
static void
ask(struct world *w, int i, bool granted)
{
	struct driver *d = &w->d[i];
	enum refresh_event ev;
	struct failure f;

	d->waiter = false;
	switch (refresh_ask(&d->m, d->after, granted, &now0, &ev, &f)) {
	case REFRESH_GO:
		d->after = 0;
		break;
	case REFRESH_WAIT:
		d->waiter = true;
		break;
	case REFRESH_FAIL:
		d->after = 0;
		if (f.reason == REASON_NONE)
			broken("a refusal without a reason");
		/* Refused by the server it may be, but then it backs off. */
		if (itself && f.reason == REASON_LOGIN_REQUIRED && f.retry_ms == 0)
			broken("C6: a grant that renews itself waits for a login");
		break;
	}
	if (ev != REFRESH_EVENTS)
		feed(w, i, ev);
}

static void
rest(struct world *w, int i)
{
	struct driver *d = &w->d[i];

	if (d->m.draining || !refresh_at_rest(&d->m))
		return;
	if (d->job != 0 && !d->job_runs) {
		d->job_runs = true;
		if (d->job == 'i')
			d->m.login = token(w, d->job_token);
		feed(w, i, d->job == 'i' ? REFRESH_LOGIN : REFRESH_LOGOUT);
	} else if (refresh_noted(&d->m))
		feed(w, i, REFRESH_CHANGED);
}

static void
feed(struct world *w, int i, enum refresh_event ev)
{
	struct driver *d = &w->d[i];
	struct refresh_out out;

	d->m.grid = grid;
	if (refresh_step(&d->m, ev, &now0, &out) < 0) {
		broken("BUG: an event that cannot happen");
		return;
	}
	check_install(w, i, out.actions);
	run_actions(w, i, out.actions);
	if (out.actions & (A_JOB_OK | A_JOB_FAILED))
		finish_job(w, i, out.actions & A_JOB_OK);
	if (out.actions & A_FAIL && d->waiter) {
		if (d->m.reason == REASON_NONE)
			broken("a failure without a reason");
		d->waiter = false;
		d->after = 0;
	}
	rest(w, i);
	if (out.actions & A_WAKE && d->waiter)
		ask(w, i, out.actions & A_GRANT);
}

/* --- what can happen next: each choice is one number --- */

/* Everybody who watches the store hears of a change. */
static void
stored(struct world *w)
{
	for (int i = 0; i < MACHINES; i++)
		w->d[i].changed = true;
}

static void
apply_save(struct world *w, int i)
{
	struct driver *d = &w->d[i];

	if (w->owner != i + 1)
		broken("H1: a write without the lock");
	/* No refresh token: no intent to write down. */
	if (itself && (d->m.state == REFRESH_INTENDING || d->m.state == REFRESH_CLEARING))
		return;
	if (!itself && w->logged_out && d->job != 'i' && d->m.state != REFRESH_LOGIN_SAVING)
		broken("H1: a logout is undone");
	if (d->payload.access < w->floor && d->m.state != REFRESH_LOGIN_SAVING)
		broken("H1: a login is overwritten");
	if (d->m.state == REFRESH_LOGIN_SAVING) {
		w->logged_out = false;
		w->floor = d->job_token;
	}
	w->store = d->payload;
	stored(w);
}

static void
complete_save(struct world *w, int i, bool ok)
{
	struct driver *d = &w->d[i];

	if (ok)
		apply_save(w, i);
	if (ok && d->payload.access == d->m.minted.access && d->payload.access > 1 &&
	    (d->m.state == REFRESH_PERSISTING || d->m.state == REFRESH_REPERSISTING))
		w->spent[d->payload.access - 1] = true;
	d->op = OP_NONE;
	feed(w, i, refresh_saw_saved(&d->m, ok, &now0));
}

static void
complete_load(struct world *w, int i, bool readable)
{
	struct driver *d = &w->d[i];
	struct refresh_facts f = store_facts(w);

	d->op = OP_NONE;
	feed(w, i, refresh_saw_stored(&d->m, !readable ? REFRESH_UNREADABLE :
	    w->store.access == 0 ? REFRESH_ABSENT : REFRESH_FOUND, &f, &now0));
}

/* The provider reads the request: rotates, or finds a replay. */
static enum token_class
provider(struct world *w, struct driver *d)
{
	if (!itself && d->m.cur.renewal != w->valid)
		return TOKEN_DEAD;
	w->valid = w->next++;
	return TOKEN_OK;
}

static bool
complete_send(struct world *w, int i, unsigned how)
{
	static const enum token_class faults[] = {
		TOKEN_REFUSED, TOKEN_STRIKE, TOKEN_TRANSIENT, TOKEN_UNKNOWN, TOKEN_UNKNOWN,
	};
	struct driver *d = &w->d[i];
	struct refresh_facts f = { 0 };
	enum token_class class;

	if (how > 0 && w->faults-- == 0)
		return false;
	if (w->next > TOKENS)
		return false;
	if (how == 0 || how == nitems(faults))
		class = provider(w, d);		/* last one: rotated, but the answer is lost */
	else
		class = faults[how - 1];
	if (how == nitems(faults))
		class = TOKEN_UNKNOWN;
	if (class == TOKEN_OK)
		f = token(w, w->valid);
	d->op = OP_NONE;
	feed(w, i, refresh_saw_token(&d->m, class, &f, 0, &now0));
	return true;
}

static bool
complete(struct world *w, int i, unsigned how)
{
	struct driver *d = &w->d[i];

	switch (d->op) {
	case OP_NONE:
		return false;
	case OP_LOCK:
		if (how == 0 && w->owner == 0) {
			w->owner = (unsigned char)(i + 1);
			d->op = OP_NONE;
			feed(w, i, REFRESH_LOCKED);
			return true;
		}
		if (how > 2 || how == 0 || w->faults-- == 0)
			return false;
		d->op = OP_NONE;
		feed(w, i, how == 1 ? REFRESH_LOCK_TIMEOUT : REFRESH_LOCK_FAILED);
		return true;
	case OP_LOAD:
		if (how > 1 || (how == 1 && w->faults-- == 0))
			return false;
		complete_load(w, i, how == 0);
		return true;
	case OP_SAVE:
		if (how > 1 || (how == 1 && w->faults-- == 0))
			return false;
		complete_save(w, i, how == 0);
		return true;
	case OP_DELETE:
		if (how > 1 || (how == 1 && w->faults-- == 0))
			return false;
		if (how == 0) {
			memset(&w->store, 0, sizeof(w->store));
			if (itself)
				w->floor = w->next;	/* what comes back is new */
			stored(w);
		}
		d->op = OP_NONE;
		feed(w, i, refresh_saw_saved(&d->m, how == 0, &now0));
		return true;
	case OP_VERIFY:
		if (how > 1 || (how == 1 && w->faults-- == 0))
			return false;
		d->op = OP_NONE;
		feed(w, i, how == 0 ? REFRESH_VERIFIED : REFRESH_MISMATCH);
		return true;
	case OP_SEND:
		return how <= 5 && complete_send(w, i, how);
	}
	return false;
}

/* SIGKILL: what was being written may or may not have reached the disk. */
static bool
crash(struct world *w, int i, bool written)
{
	struct driver *d = &w->d[i];

	if (w->faults-- == 0 || (written && d->op != OP_SAVE && d->op != OP_SEND))
		return false;
	if (written && d->op == OP_SAVE)
		apply_save(w, i);
	if (written && d->op == OP_SEND && w->next <= TOKENS)
		provider(w, d);
	if (w->owner == i + 1)
		w->owner = 0;
	memset(d, 0, sizeof(*d));
	refresh_init(&d->m, 0);
	d->m.renews_itself = itself;
	feed(w, i, REFRESH_CHANGED);
	return true;
}

static bool
exchange(struct world *w, int i, bool rejected)
{
	struct driver *d = &w->d[i];
	struct failure f;

	if (d->waiter)
		return false;
	if (!rejected) {
		ask(w, i, false);
		return true;
	}
	if (d->m.cur.access == 0 || w->rejects-- == 0)
		return false;
	if (!refresh_rejected(&d->m, d->m.generation, false, &now0, &f))
		return true;
	d->after = d->m.generation;
	ask(w, i, false);
	return true;
}

static bool
expire(struct world *w)
{
	unsigned n = w->next - 1u;

	if (n == 0 || w->expired[n] || w->expiries-- == 0)
		return false;
	w->expired[n] = true;
	for (int i = 0; i < MACHINES; i++)
		if (w->d[i].m.cur.access == n)
			w->d[i].m.cur.expires_at = now0.wall - 1;
	return true;
}

static bool
job(struct world *w, int i, unsigned char what)
{
	struct driver *d = &w->d[i];

	if (d->job != 0 || w->next > TOKENS || w->jobs-- == 0 || d->m.draining)
		return false;
	d->job = what;
	if (what == 'i') {
		d->job_token = w->next++;
		w->valid = d->job_token;
	}
	rest(w, i);
	return true;
}

static bool
other(struct world *w, int i, unsigned what)
{
	struct driver *d = &w->d[i];

	switch (what) {
	case 0:
		return exchange(w, i, false);
	case 1:
		return exchange(w, i, true);
	case 2:
		if (!d->changed)
			return false;
		d->changed = false;
		feed(w, i, REFRESH_CHANGED);
		return true;
	case 3:
		if (!d->timer)
			return false;
		d->timer = false;
		d->m.retry_at = 0;
		feed(w, i, REFRESH_TIMER);
		return true;
	case 4:
		return job(w, i, 'i');
	case 5:
		return job(w, i, 'o');
	case 6:
		return crash(w, i, false);
	case 7:
		return crash(w, i, true);
	case 8:
		return i == 0 && expire(w);
	case 9:
		if (!drains || d->m.draining)
			return false;
		if (d->m.grid[d->m.state][REFRESH_DRAIN].actions & A_UNLOCK && w->owner == i + 1 &&
		    d->op != OP_NONE)
			d->op = OP_NONE;	/* store_forget() */
		feed(w, i, REFRESH_DRAIN);
		return true;
	}
	return false;
}

#define PER_MACHINE	16
#define CHOICES		(MACHINES * PER_MACHINE)

static bool
choose(struct world *w, unsigned n)
{
	int i = (int)(n / PER_MACHINE);

	n %= PER_MACHINE;
	return n < 6 ? complete(w, i, n) : other(w, i, n - 6);
}

/* --- invariants of a settled world --- */

static void
check(const struct world *w)
{
	for (int i = 0; i < MACHINES; i++) {
		const struct driver *d = &w->d[i];
		bool moving = d->op != OP_NONE || d->timer;

		if (d->waiter && !moving)
			broken("E2: a waiter is forgotten");
		if (d->job_runs && d->op == OP_NONE)
			broken("H1: a login or logout is forgotten");
		if (d->m.unpersisted && w->owner != i + 1)
			broken("D: a persist is owed without the lock");
		if (refresh_at_rest(&d->m) && !d->m.unpersisted && w->owner == i + 1)
			broken("C12: the lock is kept");
		if (w->store.access == 0 && d->m.cur.access != 0 && d->m.state == REFRESH_IDLE &&
		    !d->changed && !d->m.noted && !d->m.unreadable)
			broken("H2: a token is kept that was logged out");
		if (d->op == OP_NONE && !refresh_at_rest(&d->m))
			broken("nothing runs, but the machine is not at rest");
	}
}

/* --- the set of states seen --- */

/*
 * Only what decides counts: times as "is there a back-off", generations as
 * "is it still the one", facts that the next event overwrites not at all.
 */
static void
normalise(struct driver *d)
{
	struct refresh *m = &d->m;

	m->grid = NULL;
	m->retry_at = m->retry_at > now0.boot + WAIT_WORTH ? 2 : m->retry_at > now0.boot;
	m->fails = m->refusals = 0;
	m->strikes = MIN(m->strikes, STRIKES - 1);
	m->cur.tries = MIN(m->cur.tries, 2);
	m->cur.tried_at = 0;
	d->after = d->after == m->generation ? 1 : d->after != 0 ? 2 : 0;
	m->generation = 0;
	memset(&m->stored, 0, sizeof(m->stored));
	memset(&m->login, 0, sizeof(m->login));
	if (m->state != REFRESH_PERSISTING)
		memset(&m->minted, 0, sizeof(m->minted));
	if (d->op != OP_SAVE)
		memset(&d->payload, 0, sizeof(d->payload));
	if (d->job == 0)
		d->job_token = 0;
	if (m->reason != REASON_DRAINING && m->reason != REASON_NONE && m->retry_at == 0)
		m->reason = REASON_STORE;
	d->payload.tried_at = 0;
	d->payload.tries = MIN(d->payload.tries, 2);
	if (m->state == REFRESH_IDLE || m->state == REFRESH_LOADING)
		m->after_401 = false;
}

static uint64_t
hash_bytes(uint64_t h, const void *bytes, size_t n)
{
	const uint64_t *p = bytes;

	for (size_t i = 0; i < n / sizeof(*p); i++) {
		h = (h ^ p[i]) * 0x9e3779b97f4a7c15ull;
		h ^= h >> 29;
	}
	return h;
}

/* The two machines are alike: a world and its mirror image count once. */
static uint64_t
hash_world(const struct world *w)
{
	static struct world k;
	uint64_t a, b, rest_of;
	unsigned owner = w->owner;

	k = *w;
	normalise(&k.d[0]);
	normalise(&k.d[1]);
	k.owner = 0;
	k.store.tries = MIN(k.store.tries, 2);
	k.store.tried_at = 0;
	rest_of = hash_bytes(14695981039346656037ull, &k.store,
	    sizeof(k) - offsetof(struct world, store));
	a = hash_bytes(owner == 1, &k.d[0], sizeof(k.d[0]));
	b = hash_bytes(owner == 2, &k.d[1], sizeof(k.d[1]));
	rest_of ^= (MIN(a, b) * 31 + MAX(a, b)) * 0x9e3779b97f4a7c15ull;
	return rest_of != 0 ? rest_of : 1;
}

static struct {
	uint64_t *slot;
	size_t	 mask, n;
} seen;

static bool
see(uint64_t h)
{
	size_t i = h & seen.mask;

	for (; seen.slot[i] != 0; i = (i + 1) & seen.mask)
		if (seen.slot[i] == h)
			return false;
	seen.slot[i] = h;
	seen.n++;
	return true;
}

static void
begin(struct world *w, unsigned faults, unsigned jobs)
{
	memset(w, 0, sizeof(*w));
	w->next = 1;
	if (!itself) {
		w->valid = w->floor = w->next++;
		w->store = token(w, w->valid);
	}
	w->faults = (unsigned char)faults;
	w->jobs = (unsigned char)jobs;
	w->rejects = 1;
	w->expiries = 1;
	for (int i = 0; i < MACHINES; i++) {
		refresh_init(&w->d[i].m, 0);
		w->d[i].m.renews_itself = itself;
		feed(w, i, REFRESH_CHANGED);
	}
}

static void
begin_long(struct world *w)
{
	begin(w, 6, 3);
	w->rejects = 6;
	w->expiries = 3;
}

struct node {
	struct world	w;
	size_t		parent;
	unsigned	choice;
};

struct queue {
	struct node	*n;
	size_t		 head, tail, cap;
};

static void
push(struct queue *q, const struct world *w, unsigned choice)
{
	if (q->tail == q->cap) {
		q->cap = q->cap == 0 ? 1 << 16 : q->cap * 2;
		q->n = realloc(q->n, q->cap * sizeof(*q->n));
		if (q->n == NULL)
			abort();
	}
	q->n[q->tail++] = (struct node){ *w, q->head > 0 ? q->head - 1 : 0, choice };
}

static const char *
choice_name(const struct world *w, unsigned c, char *out, size_t size)
{
	static const char *const ops[] = { "none", "lock", "load", "save", "delete", "send", "verify" };
	static const char *const others[] = {
		"exchange", "401", "changed", "timer", "login", "logout", "kill",
		"kill, written", "expire", "drain",
	};
	unsigned i = c / PER_MACHINE, n = c % PER_MACHINE;

	if (n < 6)
		snprintf(out, size, "%u: %s ends as %u", i, ops[w->d[i].op], n);
	else
		snprintf(out, size, "%u: %s", i, others[n - 6]);
	return out;
}

/* How it came to the violation, oldest first. */
static void
print_history(const struct queue *q, unsigned last)
{
	size_t path[256], n = 0;
	char name[64];

	for (size_t at = q->head - 1; at != 0 && n < nitems(path); at = q->n[at].parent)
		path[n++] = at;
	printf("history of: %s\n", violation);
	for (size_t i = n; i-- > 0;) {
		const struct node *node = &q->n[path[i]];

		printf("  %-24s -> %s | %s\n",
		    choice_name(&q->n[node->parent].w, node->choice, name, sizeof(name)),
		    refresh_state_name(node->w.d[0].m.state),
		    refresh_state_name(node->w.d[1].m.state));
	}
	printf("  %s\n", choice_name(&q->n[q->head - 1].w, last, name, sizeof(name)));
}

/* Breadth first; transitions taken in *ret_steps; false at the first violation. */
static bool
explore(unsigned faults, unsigned jobs, size_t limit, uint64_t *ret_steps)
{
	struct queue q = { 0 };
	struct world w, v;

	memset(seen.slot, 0, (seen.mask + 1) * sizeof(*seen.slot));
	seen.n = 0;
	violation = NULL;
	begin(&w, faults, jobs);
	see(hash_world(&w));
	push(&q, &w, 0);
	while (q.head < q.tail && violation == NULL && seen.n < limit) {
		w = q.n[q.head++].w;
		for (unsigned c = 0; c < CHOICES && violation == NULL; c++) {
			v = w;
			if (!choose(&v, c))
				continue;
			++*ret_steps;
			check(&v);
			if (violation != NULL && grid == refresh_grid)
				print_history(&q, c);
			if (see(hash_world(&v)))
				push(&q, &v, c);
		}
	}
	free(q.n);
	if (seen.n >= limit)
		broken("the exploration did not close");
	return violation == NULL;
}

/* The same walk again, aloud. */
static void
print_walk(const unsigned char *path, unsigned n)
{
	struct world w;
	char name[64];

	printf("walk to: %s\n", violation);
	begin_long(&w);
	for (unsigned i = 0; i < n; i++) {
		choice_name(&w, path[i], name, sizeof(name));
		choose(&w, path[i]);
		printf("  %-24s -> %s | %s\n", name, refresh_state_name(w.d[0].m.state),
		    refresh_state_name(w.d[1].m.state));
	}
}

static uint64_t seed = 88172645463325252ull;

static unsigned
random_below(unsigned n)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (unsigned)(seed >> 33) % n;
}

static bool
wander(unsigned sequences, unsigned length, uint64_t *ret_steps)
{
	static unsigned char path[1024];
	struct world w, v;
	unsigned n;

	violation = NULL;
	for (unsigned s = 0; s < sequences && violation == NULL; s++) {
		begin_long(&w);
		for (n = 0; n < length && violation == NULL; n++) {
			v = w;
			path[n] = (unsigned char)random_below(CHOICES);
			if (!choose(&v, path[n])) {
				n--;
				continue;
			}
			++*ret_steps;
			check(&v);
			w = v;
		}
		if (violation != NULL)
			print_walk(path, n);
	}
	return violation == NULL;
}

/* --- the grid itself, and broken ones --- */

static struct refresh_cell bad[REFRESH_STATES][REFRESH_EVENTS];

static const struct {
	enum refresh_state state;
	enum refresh_event event;
	struct refresh_cell cell;
	const char *what;
} sabotage[] = {
	{ REFRESH_PERSISTING, REFRESH_SAVE_FAILED,
	    { REFRESH_CELL_GO, REFRESH_IDLE, A_INSTALL | A_UNLOCK | A_WAKE | A_GRANT },
	    "a failed persist is forgotten" },
	{ REFRESH_SENDING, REFRESH_TOKEN_OK,
	    { REFRESH_CELL_GO, REFRESH_IDLE, A_INSTALL | A_UNLOCK | A_WAKE | A_GRANT },
	    "used before it is persisted" },
	{ REFRESH_LOCKING, REFRESH_LOCK_TIMEOUT,
	    { REFRESH_CELL_GO, REFRESH_REREADING, A_REREAD }, "going on without the lock" },
	{ REFRESH_REREADING, REFRESH_GONE,
	    { REFRESH_CELL_GO, REFRESH_INTENDING, A_INTENT }, "a logout is ignored" },
	{ REFRESH_REREADING, REFRESH_NEWER,
	    { REFRESH_CELL_GO, REFRESH_INTENDING, A_INTENT }, "a sibling's refresh is ignored" },
	{ REFRESH_MARKING, REFRESH_SAVED,
	    { REFRESH_CELL_GO, REFRESH_IDLE, A_UNLOCK }, "waiters are forgotten" },
	{ REFRESH_CLEARING, REFRESH_SAVED,
	    { REFRESH_CELL_GO, REFRESH_IDLE, A_WAKE | A_TIMER }, "the lock is kept" },
};

static bool
every_cell_is_written(void)
{
	for (int s = 0; s < REFRESH_STATES; s++)
		for (int e = 0; e < REFRESH_EVENTS; e++)
			if (refresh_grid[s][e].kind == 0) {
				printf("unwritten: %s x %s\n", refresh_state_name((enum refresh_state)s),
				    refresh_event_name((enum refresh_event)e));
				return false;
			}
	return true;
}

static unsigned passed, failed;

static void
verdict(const char *name, bool ok)
{
	if (ok)
		passed++;
	else {
		failed++;
		printf("FAILED: %s: %s\n", name, violation != NULL ? violation : "");
	}
}

static void
break_cells(void)
{
	uint64_t steps = 0;

	for (size_t n = 0; n < nitems(sabotage); n++) {
		memcpy(bad, refresh_grid, sizeof(bad));
		bad[sabotage[n].state][sabotage[n].event] = sabotage[n].cell;
		grid = bad;
		bool found = !explore(1, 1, 4000000, &steps);
		printf("broken on purpose (%s): %s\n", sabotage[n].what,
		    found ? violation : "NOT FOUND");
		verdict(sabotage[n].what, found);
	}
	grid = refresh_grid;
}

/* C6: the same for grants that renew themselves, from an empty store on. */
static void
explore_itself(void)
{
	uint64_t steps = 0, random_steps = 0;

	itself = true;
	for (unsigned jobs = 0; jobs < 2; jobs++) {
		steps = 0;
		verdict("exhaustive, renewing itself", explore(!jobs, jobs, 8000000, &steps));
		printf("renewing itself: %zu states, %llu transitions\n", seen.n,
		    (unsigned long long)steps);
	}
	drains = true;
	verdict("random, renewing itself", wander(50000, 200, &random_steps));
	printf("renewing itself: 50000 sequences, %llu steps\n", (unsigned long long)random_steps);
	drains = false;
	itself = false;
}

int
main(void)
{
	uint64_t steps = 0, random_steps = 0;

	seen.mask = (1u << 24) - 1;
	seen.slot = calloc(seen.mask + 1, sizeof(*seen.slot));
	if (seen.slot == NULL)
		return 1;
	verdict("every cell of the grid is written", every_cell_is_written());
	verdict("exhaustive", explore(1, 1, 8000000, &steps));
	printf("exhaustive: %zu states, %llu transitions\n", seen.n, (unsigned long long)steps);
	drains = true;
	verdict("random", wander(100000, 200, &random_steps));
	printf("random: 100000 sequences, %llu steps\n", (unsigned long long)random_steps);
	drains = false;
	explore_itself();
	break_cells();
	free(seen.slot);
	printf("%u passed, %u failed\n", passed, failed);
	return failed != 0;
}
