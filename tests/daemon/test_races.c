/*
 * Everything that meets in one credential, in thousands of orders: the real
 * credential*.c, auth.c and login*.c of two processes on one store, over a
 * store, an authorization server, a browser and a clock that this file is (the
 * linker takes these symbols and not the daemon's).  A seeded scheduler picks
 * what happens next; after each step contract C1, C2, C5, C6, C8, H1 to H6, K
 * must hold.
 *
 *	test_races [FIRST_SEED [LAST_SEED]]
 */
#include <assert.h>
#include <stdarg.h>
#include <stdio.h>

#include "auth.h"
#include "bearer.h"
#include "callback.h"
#include "credential.h"
#include "discover.h"
#include "fetch.h"
#include "grant.h"
#include "log.h"
#include "login.h"
#include "spawn.h"

#define PROCESSES	2
#define EXCHANGES	40
#define FAMILIES	512		/* first tokens of one seed, at most */
#define SERIALS		4096		/* all of them */
#define WATCHERS	3		/* of the logins of one process */
#define STEPS		400
#define SEEDS		3000

static unsigned seed;
static int step_now;
static bool calm;			/* nothing fails any more, and nobody comes */
static bool machine;			/* this seed's grant needs no person (C6) */

#define MUST(what, ...)	do { if (!(what)) broken(__LINE__, #what, __VA_ARGS__); } while (0)

static void __attribute__((noreturn)) _printf_(3, 4)
broken(int line, const char *what, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	fprintf(stderr, "seed %u, step %d, line %d: %s: ", seed, step_now, line, what);
	vfprintf(stderr, fmt, ap);
	fputc('\n', stderr);
	va_end(ap);
	printf("0 passed, 1 failed\n");
	fflush(stdout);
	abort();
}

static uint32_t random_state;

static unsigned
dice(unsigned n)
{
	random_state = random_state * 1664525u + 1013904223u;
	return (random_state >> 8) % n;
}

/* --- the loop: one for all, its time is ours --- */

static struct loop the_loop;
static struct now clock_now;
static LIST_HEAD(, timer) timers = LIST_HEAD_INITIALIZER(timers);
static struct { void (*fn)(void *); void *arg; } deferred[512];
static size_t ndeferred;

struct now
loop_now(_unused_ struct loop *l)
{
	return clock_now;
}

void
loop_defer(_unused_ struct loop *l, void (*fn)(void *), void *arg)
{
	assert(ndeferred < nitems(deferred));
	deferred[ndeferred].fn = fn;
	deferred[ndeferred++].arg = arg;
}

void
loop_undefer(_unused_ struct loop *l, void *arg)
{
	size_t n = 0;

	for (size_t i = 0; i < ndeferred; i++)
		if (deferred[i].arg != arg)
			deferred[n++] = deferred[i];
	ndeferred = n;
}

static void
settle(void)
{
	while (ndeferred > 0) {
		void (*fn)(void *) = deferred[0].fn;
		void *arg = deferred[0].arg;

		memmove(deferred, deferred + 1, --ndeferred * sizeof(deferred[0]));
		fn(arg);
	}
}

void
timer_init(struct timer *t, struct loop *l, void (*fn)(void *), void *arg)
{
	*t = (struct timer){ .fn = fn, .arg = arg, .loop = l };
}

void
timer_clear(struct timer *t)
{
	if (t->at != 0)
		LIST_REMOVE(t, entry);
	t->at = 0;
}

void
timer_set(struct timer *t, int64_t ms)
{
	timer_clear(t);
	t->at = clock_now.boot + MAX(ms, 1);
	LIST_INSERT_HEAD(&timers, t, entry);
}

/* --- what a token is: its serial stands in it --- */

static int next_serial, next_family;
static int family_by[SERIALS];
static int latest[FAMILIES];		/* the server's refresh token of a family */
static bool landed[FAMILIES], dead[FAMILIES];	/* was ever, and is no more, in the store */
static int rejected_below;		/* the upstream answers 401 to older ones */

static int
serial_of(const struct record *r)
{
	return atoi(r->access_token + strlen("at-"));
}

static int
family_of(const struct record *r)
{
	return family_by[serial_of(r)];
}

static int
new_serial(int family)
{
	assert(next_serial < SERIALS);
	family_by[next_serial] = family;
	return next_serial++;
}

static char *
word(const char *what, int n)
{
	char *s = NULL;

	assert(asprintf(&s, "%s-%d", what, n) > 0);
	return s;
}

static struct record *
new_login(void)
{
	struct record *r = calloc(1, sizeof(*r));
	int f = next_family++, s = new_serial(f);

	assert(f < FAMILIES);
	r->client_id = strdup("us");
	r->access_token = word("at", s);
	r->refresh_token = word("rt", s);
	r->token_endpoint = strdup("https://as.example/token");
	r->revocation_endpoint = strdup("https://as.example/revoke");
	r->issuer = strdup("https://as.example");
	r->lifetime = 60 * SEC;
	r->obtained_at = clock_now.wall;
	r->expires_at = clock_now.wall + r->lifetime;
	latest[f] = s;
	return r;
}

/* --- the processes --- */

struct store { int who; };
struct store_lock { int who; };

enum op_kind { LOAD, SAVE, DELETE, UNLOCK };
struct op {
	TAILQ_ENTRY(op)	 entry;
	enum op_kind	 kind;
	bool		 run;		/* its effect is there, its completion is due */
	store_done	 done;
	void		*arg;
	struct record	*record;
	struct store_reply reply;
	struct store_lock *lock;
};
TAILQ_HEAD(ops, op);

static struct process {
	struct store	 store;
	struct credential *c;
	struct ops	 ops;		/* the worker's: in order */
	store_done	 lock_done;	/* wants the lock */
	void		*lock_arg;
	void		(*changed)(void *);
	void		*changed_arg;
	bool		 notify;
	struct grant	*grant, *code, *revocation;
	struct login	*login;
	struct login_watcher watchers[WATCHERS];
	bool		 watching[WATCHERS];
	struct callback	*callback;
	bool		 revokes;	/* the latest logout has begun to */
	int		 owed;		/* the family that was sent for when it was told to stop; -1 = none */
	bool		 load_failed, save_failed;	/* since the latest logout began */
	struct record	*deleted;	/* what stood in the store when it was deleted */
	int		 jobs;		/* begun, not done */
	int		 renewals;	/* of them */
	bool		 draining, drained, login_drained;
	bool		 gone[FAMILIES];	/* a logout here has ended and took it */
} processes[PROCESSES];
static int lock_owner = -1;
static struct record *disk;

static struct process *
of(struct store *s)
{
	return &processes[s->who];
}

static struct op *
give(struct store *s, enum op_kind kind, store_done done, void *arg)
{
	struct op *o = calloc(1, sizeof(*o));

	*o = (struct op){ .kind = kind, .done = done, .arg = arg };
	TAILQ_INSERT_TAIL(&of(s)->ops, o, entry);
	return o;
}

void
store_load(struct store *s, _unused_ const struct store_key *k, store_done done, void *arg)
{
	give(s, LOAD, done, arg);
}

void
store_save(struct store *s, _unused_ const struct store_key *k, const struct record *r,
    store_done done, void *arg)
{
	MUST(lock_owner == s->who, "process %d writes without the lock", s->who);
	give(s, SAVE, done, arg)->record = record_copy(r);
}

void
store_delete(struct store *s, _unused_ const struct store_key *k, store_done done, void *arg)
{
	MUST(lock_owner == s->who, "process %d deletes without the lock", s->who);
	give(s, DELETE, done, arg);
}

void
store_lock(struct store *s, _unused_ const struct store_key *k, store_done done, void *arg)
{
	MUST(of(s)->lock_done == NULL, "process %d locks twice", s->who);
	of(s)->lock_done = done;
	of(s)->lock_arg = arg;
}

void
store_unlock(struct store_lock *l)
{
	if (l != NULL)
		give(&processes[l->who].store, UNLOCK, NULL, NULL)->lock = l;
}

void
store_forget(struct store *s, void *arg)
{
	struct op *o;

	TAILQ_FOREACH(o, &of(s)->ops, entry)
		if (o->arg == arg)
			o->done = NULL;
	if (of(s)->lock_arg == arg)
		of(s)->lock_done = NULL;
}

int
store_watch(struct store *s, _unused_ const struct store_key *k, void (*changed)(void *), void *arg)
{
	of(s)->changed = changed;
	of(s)->changed_arg = arg;
	return 0;
}

struct worker *
store_worker(_unused_ struct store *s)
{
	return NULL;
}

/* No static bearer here. */
struct bearer *
bearer_new(_unused_ struct loop *l, _unused_ struct worker *w,
    _unused_ const struct config_upstream *u, _unused_ void (*changed)(void *), _unused_ void *arg)
{
	return NULL;
}

void
bearer_free(_unused_ struct bearer *b)
{
}

void
bearer_read(_unused_ struct bearer *b, _unused_ bearer_done done, _unused_ void *arg)
{
}

void
bearer_forget(_unused_ struct bearer *b)
{
}

/* --- the store's thread --- */

static void
fail(struct op *o)
{
	o->reply.result = STORE_FAILED;
	snprintf(o->reply.why, sizeof(o->reply.why), "as the dice fell");
}

static void
load(struct process *p, struct op *o)
{
	if (!calm && dice(40) == 0) {
		p->load_failed = true;
		fail(o);
	} else if (disk == NULL)
		o->reply.result = STORE_GONE;
	else
		o->reply.record = record_copy(disk);
}

/* H1: who does not bring a login may only follow what is there. */
static void
save(struct process *p, struct op *o)
{
	int f = family_of(o->record);

	if (!calm && dice(12) == 0) {
		p->save_failed = true;
		fail(o);
		return;
	}
	MUST(!dead[f], "family %d comes back after its end", f);
	if (landed[f]) {
		MUST(disk != NULL && family_of(disk) == f, "family %d overwrites another", f);
		MUST(serial_of(o->record) >= serial_of(disk), "an older token overwrites a newer one");
	} else if (disk != NULL)
		dead[family_of(disk)] = true;
	landed[f] = true;
	record_free(disk);
	disk = record_copy(o->record);
}

static void
delete(struct process *p, struct op *o)
{
	if (!calm && dice(12) == 0) {
		fail(o);
		return;
	}
	record_free(p->deleted);
	p->deleted = disk;
	if (disk != NULL)
		dead[family_of(disk)] = true;
	disk = NULL;
}

static void
run_op(struct process *p)
{
	struct op *o;

	TAILQ_FOREACH(o, &p->ops, entry)
		if (!o->run)
			break;
	o->run = true;
	switch (o->kind) {
	case LOAD:
		load(p, o);
		return;
	case SAVE:
		save(p, o);
		break;
	case DELETE:
		delete(p, o);
		break;
	case UNLOCK:
		MUST(lock_owner == p->store.who, "process %d unlocks what it has not", p->store.who);
		lock_owner = -1;
		return;
	}
	for (int i = 0; i < PROCESSES; i++)
		processes[i].notify = true;
}

static void
complete_op(struct process *p)
{
	struct op *o = TAILQ_FIRST(&p->ops);

	TAILQ_REMOVE(&p->ops, o, entry);
	if (o->done != NULL)
		o->done(o->arg, &o->reply);
	record_free(o->reply.record);
	record_free(o->record);
	free(o->lock);
	free(o);
}

static void
end_lock_wait(struct process *p, bool got)
{
	struct store_reply r = { .result = got ? STORE_OK : STORE_TIMEOUT };
	store_done done = p->lock_done;

	if (got) {
		r.lock = calloc(1, sizeof(*r.lock));
		r.lock->who = p->store.who;
		lock_owner = p->store.who;
	}
	p->lock_done = NULL;
	done(p->lock_arg, &r);
}

/* --- the authorization server --- */

struct grant {
	struct grant	**place;
	struct record	*rec;
	grant_done	 done;
	void		*arg;
};

static struct process *
of_config(const struct config_upstream *u)
{
	for (int i = 0; i < PROCESSES; i++)
		if (u->oauth.redirect_port == (unsigned)i)	/* any field will do as a mark */
			return &processes[i];
	abort();
}

/* C5: expired, due (B2), or answered 401. */
static bool
is_needed(const struct record *r)
{
	return serial_of(r) < rejected_below ||
	    clock_now.wall >= r->expires_at - MIN(30 * SEC, r->lifetime / 10);
}

/* C1, C2, C8, K: one at a time across all, under the lock, after the intent, none on the way out. */
static void
check_refresh(const struct process *p, const struct grant_request *r)
{
	for (int i = 0; i < PROCESSES; i++)
		MUST(processes[i].grant == NULL, "two token requests at once");
	MUST(lock_owner == p->store.who, "process %d asks without the lock", p->store.who);
	MUST((disk == NULL) == (r->rec == NULL), "asks with what is not stored");
	MUST(disk != NULL || machine, "asks without anything");
	MUST(disk == NULL || family_of(disk) == family_of(r->rec), "asks with what is not stored");
	MUST(machine || disk->intent.tries > 0 || p->save_failed, "asks without an intent");
	MUST(disk == NULL || p->renewals > 0 || is_needed(disk), "asks although a sibling renewed it");
}

/* H4: what is revoked is what was deleted. */
static void
check_revocation(struct process *p, const struct grant_request *r)
{
	const struct record *stood = p->deleted;

	MUST(stood != NULL || p->save_failed, "revokes what was not there");
	MUST(stood == NULL || family_of(r->rec) == family_of(stood), "revokes another login");
	MUST(stood == NULL || serial_of(r->rec) == serial_of(stood) || (p->save_failed &&
	    serial_of(r->rec) > serial_of(stood)), "revokes another token");
	p->revokes = true;
}

struct grant *
grant_start(_unused_ struct connector *c, const struct grant_request *r, grant_done done, void *arg)
{
	struct process *p = of_config(r->config);
	struct grant *g = calloc(1, sizeof(*g)), **place = &p->grant;

	if (r->kind == GRANT_CODE)
		place = &p->code;
	else if (r->kind == GRANT_REVOKE)
		place = &p->revocation;
	MUST(*place == NULL, "two requests of one kind (%d) at once", r->kind);
	MUST(!p->draining, "asks on its way out");
	if (r->kind == GRANT_REVOKE)
		check_revocation(p, r);
	else if (r->kind != GRANT_CODE)
		check_refresh(p, r);
	*g = (struct grant){ place, r->rec != NULL ? record_copy(r->rec) : new_login(), done, arg };
	*place = g;
	return g;
}

static void
grant_over(struct grant *g)
{
	*g->place = NULL;
	record_free(g->rec);
	free(g);
}

/* K: a code that was sent is awaited. */
void
grant_cancel(struct grant *g)
{
	if (g == NULL)
		return;
	for (int i = 0; i < PROCESSES; i++)
		MUST(!processes[i].draining || processes[i].code != g, "a code is given up");
	grant_over(g);
}

void
grant_configure(_unused_ struct grant *g, _unused_ const struct config_upstream *u)
{
}

void
grant_memory_clear(_unused_ struct grant_memory *m)
{
}

static void
mint(struct token_answer *a, int family)
{
	int s = new_serial(family);

	latest[family] = s;
	a->access_token = word("at", s);
	a->refresh_token = word("rt", s);
	a->lifetime = (1 + dice(60)) * SEC;
	a->expires_at = clock_now.wall + a->lifetime;
}

/* A refresh token that was used up is a replay; now and then the answer is lost on its way. */
static void
answer_grant(struct process *p)
{
	struct grant *g = p->grant;
	struct grant_reply r = { .class = TOKEN_OK, .rec = g->rec };
	struct token_answer lost = { 0 };
	int f = family_of(g->rec);
	unsigned how = calm ? 9 : dice(10);

	g->rec = NULL;
	if (machine) {			/* as daemon/grant does */
		free(r.rec->refresh_token);
		r.rec->refresh_token = NULL;
	}
	if (machine && how < 3)
		r.class = TOKEN_TRANSIENT;
	else if (!machine && atoi(r.rec->refresh_token + strlen("rt-")) != latest[f])
		r.class = TOKEN_DEAD;
	else if (how == 0)
		r.class = TOKEN_TRANSIENT;
	else if (how == 1)
		r.class = TOKEN_UNKNOWN;
	else if (how == 2) {
		r.class = TOKEN_UNKNOWN;
		mint(&lost, f);
	} else
		mint(&r.answer, f);
	if (machine) {
		free(r.answer.refresh_token);
		r.answer.refresh_token = NULL;
	}
	grant_done done = g->done;
	void *arg = g->arg;

	grant_over(g);
	done(arg, &r);
	token_free(&r.answer);
	token_free(&lost);
	record_free(r.rec);
}

/* A code is used up, refused, or its answer is lost; a new one is a new family. */
static void
answer_code(struct process *p)
{
	struct grant *g = p->code;
	struct grant_reply r = { .class = TOKEN_OK };
	grant_done done = g->done;
	void *arg = g->arg;
	unsigned how = calm ? 9 : dice(10);

	if (how < 3 || next_family > 32)
		r.class = how == 0 ? TOKEN_DEAD : how == 1 ? TOKEN_REFUSED : TOKEN_UNKNOWN;
	else
		mint(&r.answer, next_family++);
	if (r.class == TOKEN_OK && p->draining)
		p->owed = next_family - 1;
	grant_over(g);
	done(arg, &r);
	token_free(&r.answer);
}

static void
answer_revocation(struct process *p)
{
	struct grant *g = p->revocation;
	struct grant_reply r = { .class = dice(2) != 0 ? TOKEN_OK : TOKEN_UNKNOWN };
	grant_done done = g->done;
	void *arg = g->arg;

	grant_over(g);
	done(arg, &r);
}

/* C7 has a test of its own: here all is well, a turn later; a login's discovery may fail. */
static struct { discover_done done; void *arg; } verifying[PROCESSES], finding[PROCESSES];

struct discover *
discover_start(_unused_ struct connector *c, const struct discover_request *r)
{
	int i = of_config(r->config)->store.who;

	if (r->issuer == NULL) {
		MUST(finding[i].done == NULL, "two logins at once");
		finding[i].done = r->done;
		finding[i].arg = r->arg;
		return (struct discover *)&finding[i];
	}
	verifying[i].done = r->done;
	verifying[i].arg = r->arg;
	return (struct discover *)&verifying[i];
}

void
discover_cancel(struct discover *d)
{
	for (int i = 0; i < PROCESSES; i++) {
		if (d == (struct discover *)&verifying[i])
			verifying[i].done = NULL;
		if (d == (struct discover *)&finding[i])
			finding[i].done = NULL;
	}
}

static void
verify(int i)
{
	struct discover_reply r = { .ok = true };
	discover_done done = verifying[i].done;

	verifying[i].done = NULL;
	done(verifying[i].arg, &r);
}

static void
find(int i)
{
	struct discovery_result found = { .issuer = strdup("https://as.example"),
	    .authorization_endpoint = strdup("https://as.example/authorize"),
	    .token_endpoint = strdup("https://as.example/token"),
	    .revocation_endpoint = strdup("https://as.example/revoke"), .pkce = true };
	struct discover_reply r = { .ok = calm || dice(10) != 0, .result = &found,
	    .why = "as the dice fell" };
	discover_done done = finding[i].done;

	finding[i].done = NULL;
	done(finding[i].arg, &r);
	discovery_result_free(&found);
}

/* --- the browser --- */

struct callback {
	int		 who;
	bool		 came_once;
	callback_came	 came;
	void		*arg;
};

/* H3: one at a time; of the process whose mark the port is. */
struct callback *
callback_open(_unused_ struct loop *l, unsigned port, _unused_ const char *upstream,
    _unused_ const struct redirect_expected *expected, callback_came came, void *arg)
{
	struct callback *cb = calloc(1, sizeof(*cb));

	MUST(processes[port].callback == NULL, "two logins at once");
	MUST(!processes[port].draining, "a login begins on the way out");
	*cb = (struct callback){ .who = (int)port, .came = came, .arg = arg };
	processes[port].callback = cb;
	return cb;
}

const char *
callback_uri(_unused_ const struct callback *cb)
{
	return "http://127.0.0.1:1/callback";
}

void
callback_answer(_unused_ struct callback *cb, _unused_ enum page page, _unused_ const char *detail)
{
}

void
callback_close(struct callback *cb)
{
	if (cb != NULL)
		processes[cb->who].callback = NULL;
	free(cb);
}

/* The person comes back, by the browser or with what they paste; now and then they say no. */
static void
come_back(struct process *p)
{
	struct redirect r = { .denied = dice(6) == 0, .error = "access_denied" };
	const char *why;

	if (p->callback == NULL)
		return;
	if (p->callback->came_once || dice(2) == 0) {
		(void)login_paste(p->login, "a-code", 6, &why);
		return;
	}
	p->callback->came_once = true;
	if (!r.denied)
		r.code = strdup("a-code");
	p->callback->came(p->callback->arg, r.denied ? REDIRECT_REFUSED : REDIRECT_CODE, &r);
	redirect_free(&r);
}

/* login.command: runs for ever. */
struct spawn *
spawn_start(_unused_ struct loop *l, _unused_ char *const *argv, _unused_ size_t max_out,
    _unused_ int64_t max_ms, _unused_ spawn_done done, _unused_ void *arg)
{
	static char command;

	return (struct spawn *)&command;
}

void
spawn_cancel(_unused_ struct spawn *s)
{
}

/* The client is configured: nothing is registered. */
struct fetch *
fetch_start(_unused_ struct connector *c, _unused_ const struct fetch_request *r,
    _unused_ fetch_done done, _unused_ void *arg)
{
	abort();
}

void
fetch_cancel(_unused_ struct fetch *f)
{
}

static bool
login_runs(const struct process *p)
{
	_cleanup_(buf_free) struct buf out = BUF_INIT(0);

	assert(login_status(p->login, &out) == 0);
	return strstr(out.p, "\"running\":true") != NULL;
}

/* --- exchanges --- */

static struct config_upstream configs[PROCESSES];
static struct config whole;

enum exchange_state { FREE, ASKING, PARKED, SENT, ANSWERED };
static struct exchange {
	struct auth_waiter w;
	struct process	*p;
	enum exchange_state state;
	int		 serial;
	uint64_t	 generation;
	bool		 retry;
} exchanges[EXCHANGES];

static unsigned
held_by(const struct process *p)
{
	_cleanup_(buf_free) struct buf out = BUF_INIT(0);
	const char *at;

	assert(credential_status(p->c, &out) == 0);
	at = strstr(out.p, "\"held\":");
	return (unsigned)atoi(at + strlen("\"held\":"));
}

/* H6: nobody is refused as login_required while a login runs that they may wait for. */
static void
refused(struct exchange *x)
{
	MUST(x->w.failure.reason != REASON_LOGIN_REQUIRED || !x->w.may_hold || x->w.held_until != 0 ||
	    !login_runs(x->p) || x->p->draining || machine, "refused although a login runs");
	x->state = ANSWERED;
}

static void
ask(struct exchange *x)
{
	_cleanup_(buf_free) struct buf out = BUF_SECRET(0);
	unsigned before = held_by(x->p);
	const char *token;
	int f;

	x->state = ASKING;
	switch (auth_ask(x->p->c, &x->w, "POST", &configs[0].url, &out, &x->generation)) {
	case AUTH_WAIT:
		MUST(held_by(x->p) == before || x->w.held_until > clock_now.boot, "held too long");
		x->state = PARKED;
		return;
	case AUTH_FAIL:
		refused(x);
		return;
	case AUTH_GO:
		break;
	}
	token = strstr(out.p, "at-");
	x->serial = atoi(token + 3);
	f = family_of(credential_record(x->p->c));
	MUST(!x->p->gone[f], "family %d is used after its logout", f);
	x->state = SENT;
}

/* Woken once for each time it was told to wait, and not after it left. */
static void
on_wake(void *arg)
{
	struct exchange *x = arg;

	MUST(x->state == PARKED, "exchange %td is woken in state %d", x - exchanges, x->state);
	if (x->w.failed)
		refused(x);
	else
		ask(x);
}

static void
begin_exchange(struct exchange *x)
{
	*x = (struct exchange){ .p = &processes[dice(PROCESSES)], .w = { .wake = on_wake, .arg = x,
	    .may_hold = dice(4) != 0 } };
	ask(x);
}

static void
answer_exchange(struct exchange *x)
{
	struct failure f;

	if (x->serial >= rejected_below) {
		auth_answered(x->p->c, x->generation, 200, x->retry);
		x->state = ANSWERED;
	} else if (auth_rejected(x->p->c, &x->w, x->generation, x->retry, &f) && !x->retry) {
		x->retry = true;
		ask(x);
	} else
		x->state = ANSWERED;
}

static void
leave(struct exchange *x)
{
	auth_leave(x->p->c, &x->w);
	auth_leave(x->p->c, &x->w);	/* idempotent */
	x->state = ANSWERED;
}

/* --- logins and logouts --- */

static unsigned nlogins, nflows, nlogouts, nheld, most_held, nrefreshes, nrenewals;

/* H6: those who were held ask again, all of them, when the login has landed. */
static void
on_login(void *arg, const char *why)
{
	struct process *p = arg;

	p->jobs--;
	nlogins += why == NULL;
	if (why == NULL)
		MUST(held_by(p) == 0, "%u are held although the login is there", held_by(p));
}

/* H4. */
static void
on_logout(void *arg, const char *why, _unused_ const char *revoked)
{
	struct process *p = arg;
	const struct record *stood = p->deleted;

	p->jobs--;
	if (why != NULL) {
		MUST(!p->revokes, "revoked, but not deleted");
		return;
	}
	nlogouts++;
	MUST(stood == NULL || p->revokes || p->load_failed || p->draining, "not revoked");
	if (stood != NULL)
		p->gone[family_of(stood)] = true;
}

/* `token import`. */
static void
import(struct process *p)
{
	if (next_family > 32 || p->jobs > 3)
		return;
	p->jobs++;
	credential_import(p->c, new_login(), on_login, p);
}

static void
log_out(struct process *p)
{
	if (p->jobs > 0)
		return;			/* so that `deleted` is this one's */
	p->jobs++;
	p->load_failed = p->revokes = false;
	record_free(p->deleted);
	p->deleted = NULL;
	login_logout(p->login, on_logout, p);
}

static void
on_renewed(void *arg, const char *why)
{
	struct process *p = arg;

	p->jobs--;
	p->renewals--;
	nrenewals += why == NULL;
	MUST(why != NULL || (machine && credential_record(p->c) != NULL), "renewed without a token");
	MUST(why == NULL || *why != '\0', "failed without words");
}

/* The grant that needs no person, asked for by one; elsewhere refused. */
static void
renew(struct process *p)
{
	if (p->jobs > 3 || next_family > 32)
		return;
	p->jobs++;
	p->renewals++;
	credential_renew(p->c, on_renewed, p);
}

static void
on_event(_unused_ void *arg, const char *json, size_t n)
{
	MUST(n > 0 && json[n - 1] == '\n' && memchr(json, '\n', n - 1) == NULL, "no line");
}

/* H6: nobody is held any more. */
static void
on_ended(void *arg, bool ok)
{
	bool *watching = arg;

	MUST(*watching, "told to somebody who had left");
	*watching = false;
	nflows += ok;
}

/* H3: who comes later joins. */
static void
watch(struct process *p)
{
	static const struct login_wish wish = { .manual = true };
	const char *why;
	int i = (int)dice(WATCHERS);

	if (p->watching[i] || machine || next_family > 32)
		return;
	p->watching[i] = true;
	p->watchers[i] = (struct login_watcher){ .event = on_event, .ended = on_ended,
	    .arg = &p->watching[i] };
	MUST(login_watch(p->login, &wish, &p->watchers[i], &why) == 0, "no login begins");
}

static void
unwatch(struct process *p)
{
	int i = (int)dice(WATCHERS);

	if (!p->watching[i])
		return;
	p->watching[i] = false;
	login_unwatch(p->login, &p->watchers[i]);
}

/* --- the scheduler --- */

static void
advance(int64_t ms)
{
	struct timer *t, *first = NULL;

	LIST_FOREACH(t, &timers, entry)
		if (first == NULL || t->at < first->at)
			first = t;
	if (first != NULL && first->at <= clock_now.boot + ms)
		ms = MAX(0, first->at - clock_now.boot);
	else
		first = NULL;
	clock_now.boot += ms;
	clock_now.wall += ms;
	if (first != NULL) {
		timer_clear(first);
		first->fn(first->arg);
	}
}

#define KINDS	9		/* of what may be under way */

/* One thing that is under way goes on.  false: this one has nothing to do now. */
static bool
go_on(struct process *p, unsigned what)
{
	struct op *o = TAILQ_FIRST(&p->ops), *last = TAILQ_LAST(&p->ops, ops);

	switch (what) {
	case 0:
		if (last == NULL || last->run)
			return false;
		run_op(p);
		return true;
	case 1:
		if (o == NULL || !o->run)
			return false;
		complete_op(p);
		return true;
	case 2:
		if (p->lock_done == NULL || (lock_owner >= 0 && (calm || dice(30) != 0)))
			return false;
		end_lock_wait(p, lock_owner < 0);
		return true;
	case 3:
		if (p->grant == NULL)
			return false;
		nrefreshes++;
		answer_grant(p);
		return true;
	case 4:
		if (!p->notify)
			return false;
		p->notify = false;
		p->changed(p->changed_arg);
		return true;
	case 5:
		if (verifying[p->store.who].done == NULL)
			return false;
		verify(p->store.who);
		return true;
	case 6:
		if (finding[p->store.who].done == NULL)
			return false;
		find(p->store.who);
		return true;
	case 7:
		if (p->code == NULL)
			return false;
		answer_code(p);
		return true;
	default:
		if (p->revocation == NULL)
			return false;
		answer_revocation(p);
		return true;
	}
}

static void
somebody_acts(void)
{
	struct process *p = &processes[dice(PROCESSES)];
	struct exchange *x = &exchanges[dice(EXCHANGES)];

	switch (dice(54)) {
	case 0:
		import(p);
		break;
	case 1:
		log_out(p);
		break;
	case 2:
		watch(p);
		break;
	case 3:
		rejected_below = next_serial;	/* an early 401 for all */
		break;
	case 4:
		if (x->state == PARKED || x->state == SENT)
			leave(x);
		break;
	case 5:
		renew(p);
		break;
	case 6:
		unwatch(p);
		break;
	case 7 ... 9:
		come_back(p);
		break;
	case 10 ... 13:
		advance(dice(40) * SEC);
		break;
	default:
		if (x->state == FREE || x->state == ANSWERED)
			begin_exchange(x);
		else if (x->state == SENT)
			answer_exchange(x);
		break;
	}
}

static void
step(void)
{
	if (dice(3) == 0)
		somebody_acts();
	else
		(void)go_on(&processes[dice(PROCESSES)], dice(KINDS));
	settle();
	for (int i = 0; i < PROCESSES; i++) {
		unsigned n = held_by(&processes[i]);

		nheld += n > 0;
		most_held = MAX(most_held, n);
		MUST(n <= LOGIN_HELD && (n == 0 || login_runs(&processes[i])), "%u are held", n);
	}
}

/* Nothing fails and nobody comes any more: all that was begun must end. */
static void
come_to_rest(void)
{
	calm = true;
	for (int quiet = 0; quiet < 100; step_now++) {
		bool went = false;

		MUST(step_now < STEPS + 20000, "it never comes to rest");
		for (int i = 0; i < PROCESSES; i++)
			for (unsigned what = 0; what < KINDS; what++)
				went |= go_on(&processes[i], what);
		settle();
		for (int i = 0; i < EXCHANGES && !went; i++)
			if (exchanges[i].state == SENT) {
				answer_exchange(&exchanges[i]);
				went = true;
			}
		settle();
		if (!went)
			advance(HOUR_MS);
		settle();
		quiet = went ? 0 : quiet + 1;
	}
}

/* H2: both hold what is stored. */
static void
check_end(void)
{
	const struct record *r;

	MUST(lock_owner < 0, "the lock is kept");
	for (int i = 0; i < EXCHANGES; i++)
		MUST(exchanges[i].state == FREE || exchanges[i].state == ANSWERED,
		    "exchange %d is never answered (state %d)", i, exchanges[i].state);
	for (int i = 0; i < PROCESSES; i++) {
		MUST(processes[i].jobs == 0, "%d logins or logouts never end", processes[i].jobs);
		MUST(processes[i].drained == processes[i].draining &&
		    processes[i].login_drained == processes[i].draining, "process %d never ends", i);
		MUST(!login_runs(&processes[i]) && processes[i].callback == NULL,
		    "a login of process %d never ends", i);
		for (int k = 0; k < WATCHERS; k++)
			MUST(!processes[i].watching[k], "a watcher is never told the end");
		MUST(processes[i].owed < 0 || landed[processes[i].owed],
		    "a token that was sent for is lost on the way out");
		if (processes[i].draining)
			continue;
		r = credential_record(processes[i].c);
		MUST((r == NULL) == (disk == NULL), "process %d holds another thing than the store", i);
		MUST(r == NULL || strcmp(r->access_token, disk->access_token) == 0,
		    "process %d holds %s, the store %s", i, r->access_token, disk->access_token);
	}
}

static void
begin(void)
{
	clock_now = (struct now){ .wall = 1700000000 * SEC, .boot = 1000 * SEC };
	random_state = seed * 2654435761u + 1;
	next_serial = next_family = rejected_below = 0;
	lock_owner = -1;
	calm = false;
	machine = seed % 5 == 0;
	memset(landed, 0, sizeof(landed));
	memset(dead, 0, sizeof(dead));
	memset(exchanges, 0, sizeof(exchanges));
	if (dice(4) != 0) {
		disk = new_login();
		landed[family_of(disk)] = true;
	}
	for (int i = 0; i < PROCESSES; i++) {
		processes[i] = (struct process){ .store.who = i, .owed = -1 };
		TAILQ_INIT(&processes[i].ops);
		configs[i].oauth.redirect_port = (unsigned)i;
		configs[i].oauth.grant = machine ? CONFIG_CLIENT_CREDENTIALS :
		    CONFIG_AUTHORIZATION_CODE;
		processes[i].c = credential_new(&the_loop, &processes[i].store, NULL, &configs[i]);
		processes[i].login = login_new(&the_loop, NULL, &processes[i].store, processes[i].c,
		    &configs[i], &whole);
	}
}

static void
end(void)
{
	for (int i = 0; i < PROCESSES; i++) {
		struct process *p = &processes[i];

		for (int k = 0; k < EXCHANGES; k++)
			if (exchanges[k].p == p)
				auth_leave(p->c, &exchanges[k].w);
		login_free(p->login);
		credential_free(p->c);
		while (!TAILQ_EMPTY(&p->ops)) {
			if (!TAILQ_FIRST(&p->ops)->run)
				run_op(p);
			complete_op(p);
		}
		record_free(p->deleted);
	}
	record_free(disk);
	disk = NULL;
}

/* K. */
static void
on_drained(void *arg)
{
	struct process *p = arg;

	MUST(!p->drained && p->grant == NULL && p->jobs == 0, "something still runs");
	p->drained = true;
}

static void
on_login_drained(void *arg)
{
	struct process *p = arg;

	MUST(!p->login_drained && p->code == NULL && !login_runs(p), "a login still runs");
	p->login_drained = true;
}

static void
run_seed(void)
{
	begin();
	for (step_now = 0; step_now < STEPS; step_now++)
		step();
	if (seed % 4 == 0) {
		processes[0].draining = true;
		credential_drain(processes[0].c, on_drained, &processes[0]);
		login_drain(processes[0].login, on_login_drained, &processes[0]);
		settle();
		MUST(held_by(&processes[0]) == 0, "held on the way out");
	}
	come_to_rest();
	check_end();
	end();
}

int
main(int argc, char **argv)
{
	unsigned first = argc > 1 ? (unsigned)atoi(argv[1]) : 1;
	unsigned last = argc > 2 ? (unsigned)atoi(argv[2]) : first + (argc > 1 ? 0 : SEEDS - 1);
	static char name[] = "up", client[] = "us", program[] = "/bin/open", mark[] = "{url}";
	static char *command[] = { program, mark, NULL };
	char url[] = "https://mcp.example/mcp";

	log_open(LOG_EMERG);
	for (int i = 0; i < PROCESSES; i++) {
		configs[i] = (struct config_upstream){ .name = name,
		    .auth = CONFIG_OAUTH, .oauth.client_id = client };
		assert(url_parse(url, strlen(url), &configs[i].url) == 0);
	}
	whole.login.command = command;
	whole.login.wait = 20 * SEC;
	for (seed = first; seed <= last; seed++)
		run_seed();
	for (int i = 0; i < PROCESSES; i++)
		url_free(&configs[i].url);
	printf("%u seeds: %u imports, %u logins, %u logouts, %u renewals, %u token requests, %u steps "
	    "with somebody held, %u at most\n", last - first + 1, nlogins, nflows, nlogouts,
	    nrenewals, nrefreshes, nheld, most_held);
	if (argc == 1 && (nlogins == 0 || nflows == 0 || nlogouts == 0 || nrenewals == 0 ||
	    nrefreshes == 0 || most_held < 15)) {
		printf("0 passed, 1 failed\n");
		return 1;
	}
	printf("1 passed, 0 failed\n");
	return 0;
}
