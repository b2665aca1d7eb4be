#include <stdarg.h>
#include <stdio.h>

#include "store_keyring_impl.h"

/* --- calls --- */

static void
call_free(struct keyring_call *c)
{
	keyring_call_clear(c);
	timer_clear(&c->limit);
	buf_free(&c->reply.secret);
	buf_free(&c->secret);
	free(c);
}

static void
report(void *arg)
{
	struct keyring_call *c = arg;

	TAILQ_REMOVE(&c->k->ended, c, entry);
	if (c->listed != NULL)
		c->listed(c->arg, c->reply.result, c->keys, c->nkeys, c->reply.why);
	else if (c->done != NULL)
		c->done(c->arg, &c->reply);
	call_free(c);
}

void
keyring_end(struct keyring_call *c, enum store_result result, const char *fmt, ...)
{
	struct keyring *k = c->k;
	bool prompting = c->prompt != NULL;
	va_list ap;

	if (c->ended)
		return;
	c->ended = true;
	c->reply.result = result;
	va_start(ap, fmt);
	vsnprintf(c->reply.why, sizeof(c->reply.why), fmt, ap);
	va_end(ap);
	keyring_drop(&c->ask);
	timer_clear(&c->limit);
	buf_free(&c->secret);
	free(c->prompt);
	c->prompt = NULL;
	if (result == STORE_OK && c->op != KEYRING_LIST)
		k->quiet_until = 0;
	TAILQ_REMOVE(&k->calls, c, entry);
	TAILQ_INSERT_TAIL(&k->ended, c, entry);
	loop_defer(k->loop, report, c);
	if (prompting)
		keyring_bound_calls(k);
	keyring_go_on(k);
}

void
keyring_fail_calls(struct keyring *k, const char *why)
{
	struct keyring_call *c;

	while ((c = TAILQ_FIRST(&k->calls)) != NULL)
		keyring_end(c, STORE_FAILED, "%s", why);
}

/* One at a time and in order, as the store's worker does it with files. */
void
keyring_go_on(struct keyring *k)
{
	struct keyring_call *c = TAILQ_FIRST(&k->calls);

	if (c == NULL || c->begun || k->state < KEYRING_LOCKED)
		return;
	c->begun = true;
	keyring_begin(c);
}

/* Who stands behind a prompt has its time, too, and then the time of a call. */
static void
bound(struct keyring_call *c)
{
	struct keyring_call *first = TAILQ_FIRST(&c->k->calls);
	int64_t ms = c->k->call_wait;

	if (first->prompt != NULL)
		ms = c == first ? c->k->prompt_wait : c->k->prompt_wait + ms;
	timer_set(&c->limit, ms);
}

void
keyring_bound_calls(struct keyring *k)
{
	struct keyring_call *c;

	TAILQ_FOREACH(c, &k->calls, entry)
		bound(c);
}

static struct keyring_call *
call_new(struct keyring *k, enum keyring_op op, const struct store_key *key, void *arg)
{
	size_t name = strlen(key->name) + 1, url = strlen(key->url) + 1;
	struct keyring_call *c;

	c = calloc(1, sizeof(*c) + name + url);
	if (c == NULL)
		abort();	/* as in store_alloc(): who waits for it could not be told */
	c->k = k;
	c->op = op;
	c->key.name = memcpy(c->text, key->name, name);
	c->key.url = memcpy(c->text + name, key->url, url);
	c->reply.secret = BUF_SECRET(RECORD_BYTES);
	c->secret = BUF_SECRET(RECORD_BYTES);
	c->arg = arg;
	c->ask = (struct keyring_ask){ .k = k, .refused = keyring_call_refused, .arg = c };
	timer_init(&c->limit, k->loop, keyring_call_late, c);
	TAILQ_INSERT_TAIL(&k->calls, c, entry);
	bound(c);
	return c;
}

static void
call_start(struct keyring_call *c)
{
	struct keyring *k = c->k;

	if (k->state == KEYRING_ABSENT && !keyring_connect(k))
		keyring_end(c, STORE_FAILED, "%s", k->why);
	else
		keyring_go_on(k);
}

void
keyring_load(struct keyring *k, const struct store_key *key, keyring_done done, void *arg)
{
	struct keyring_call *c = call_new(k, KEYRING_LOAD, key, arg);

	c->done = done;
	call_start(c);
}

void
keyring_save(struct keyring *k, const struct store_key *key, const char *secret, size_t n,
    keyring_done done, void *arg)
{
	struct keyring_call *c = call_new(k, KEYRING_SAVE, key, arg);

	c->done = done;
	if (buf_add(&c->secret, secret, n) == 0)
		call_start(c);
	else
		keyring_end(c, STORE_FAILED, "a credential of %zu bytes is too long for the keyring",
		    n);
}

void
keyring_delete(struct keyring *k, const struct store_key *key, keyring_done done, void *arg)
{
	struct keyring_call *c = call_new(k, KEYRING_DELETE, key, arg);

	c->done = done;
	call_start(c);
}

void
keyring_list(struct keyring *k, keyring_listed listed, void *arg)
{
	static const struct store_key none = { "", "" };
	struct keyring_call *c = call_new(k, KEYRING_LIST, &none, arg);

	c->listed = listed;
	call_start(c);
}

/* --- who wants to know --- */

static void
hook_told(void *arg)
{
	struct keyring_hook *h = arg;
	void (*told)(void *) = h->told;

	arg = h->arg;
	TAILQ_REMOVE(&h->k->hooks, h, entry);
	free(h);
	told(arg);
}

void
keyring_tell_settled(struct keyring *k)
{
	struct keyring_hook *h;

	TAILQ_FOREACH(h, &k->hooks, entry) {
		loop_undefer(k->loop, h);	/* at most once */
		loop_defer(k->loop, hook_told, h);
	}
}

void
keyring_settled(struct keyring *k, void (*told)(void *), void *arg)
{
	struct keyring_hook *h;

	h = calloc(1, sizeof(*h));
	if (h == NULL)
		abort();
	h->k = k;
	h->told = told;
	h->arg = arg;
	TAILQ_INSERT_TAIL(&k->hooks, h, entry);
	if (k->state != KEYRING_CONNECTING)
		loop_defer(k->loop, hook_told, h);
}

static void
changed(void *arg)
{
	struct keyring *k = arg;

	k->changing = false;
	if (k->changed != NULL)
		k->changed(k->changed_arg);
}

void
keyring_tell_changed(struct keyring *k)
{
	if (k->changed == NULL || k->changing)
		return;
	k->changing = true;
	loop_defer(k->loop, changed, k);
}

void
keyring_watch(struct keyring *k, void (*fn)(void *), void *arg)
{
	k->changed = fn;
	k->changed_arg = arg;
}

void
keyring_forget(struct keyring *k, void *arg)
{
	struct keyring_call *c;
	struct keyring_hook *h, *next;

	TAILQ_FOREACH(c, &k->calls, entry)
		if (c->arg == arg) {
			c->done = NULL;
			c->listed = NULL;
		}
	TAILQ_FOREACH(c, &k->ended, entry)
		if (c->arg == arg) {
			c->done = NULL;
			c->listed = NULL;
		}
	for (h = TAILQ_FIRST(&k->hooks); h != NULL; h = next) {
		next = TAILQ_NEXT(h, entry);
		if (h->arg != arg)
			continue;
		loop_undefer(k->loop, h);
		TAILQ_REMOVE(&k->hooks, h, entry);
		free(h);
	}
}

/* --- opening and closing --- */

enum keyring_state
keyring_state(const struct keyring *k)
{
	return k->state;
}

const char *
keyring_why(const struct keyring *k)
{
	return k->state == KEYRING_ABSENT ? k->why : "";
}

void
keyring_set_bounds(struct keyring *k, int64_t call, int64_t prompt, int64_t quiet)
{
	k->call_wait = call;
	k->prompt_wait = prompt;
	k->quiet = quiet;
	if (k->state == KEYRING_CONNECTING)
		timer_set(&k->limit, call);
}

struct keyring *
keyring_open(struct loop *loop, const char *address)
{
	struct keyring *k;

	k = calloc(1, sizeof(*k));
	if (k == NULL || (address != NULL && (k->address = strdup(address)) == NULL)) {
		free(k);
		return NULL;
	}
	k->loop = loop;
	k->call_wait = KEYRING_WAIT;
	k->prompt_wait = KEYRING_PROMPT_WAIT;
	k->quiet = KEYRING_QUIET;
	TAILQ_INIT(&k->calls);
	TAILQ_INIT(&k->ended);
	TAILQ_INIT(&k->hooks);
	keyring_bus_init(k);
	(void)keyring_connect(k);
	return k;
}

void
keyring_close(struct keyring *k)
{
	struct keyring_call *c;
	struct keyring_hook *h;

	if (k == NULL)
		return;
	TAILQ_CONCAT(&k->ended, &k->calls, entry);
	while ((c = TAILQ_FIRST(&k->ended)) != NULL) {
		loop_undefer(k->loop, c);
		TAILQ_REMOVE(&k->ended, c, entry);
		call_free(c);
	}
	while ((h = TAILQ_FIRST(&k->hooks)) != NULL) {
		loop_undefer(k->loop, h);
		TAILQ_REMOVE(&k->hooks, h, entry);
		free(h);
	}
	loop_undefer(k->loop, k);
	keyring_disconnect(k);
	free(k->address);
	free(k);
}
