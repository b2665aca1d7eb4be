/* Entries that stand in a backend which is not in use: said, and left alone (contract I5). */
#include <stdio.h>

#include "log.h"
#include "store_impl.h"

#define BIT(kind)	(1u << (kind))

/* One look: files on the worker, then the keyring if there is one to ask. */
struct store_look {
	struct store	*store;
	struct store_stray *all;	/* every entry, wherever it is */
	size_t		 n;
	bool		 failed;
	bool		 stale;		/* of the loop */
};

static void
add_entry(struct store_look *l, const char *stem, enum config_backend where)
{
	size_t i;

	for (i = 0; i < l->n; i++)
		if (strcmp(l->all[i].stem, stem) == 0) {
			l->all[i].where |= BIT(where);
			return;
		}
	l->all = reallocarray(l->all, l->n + 1, sizeof(*l->all));
	if (l->all == NULL)
		abort();
	memset(&l->all[l->n], 0, sizeof(*l->all));
	snprintf(l->all[l->n].stem, STORE_STEM, "%s", stem);
	l->all[l->n++].where = BIT(where);
}

static int
add_file(_unused_ struct store_dir *dir, const char *name, void *arg)
{
	char stem[STORE_STEM];

	if (store_dir_entry(name, STORE_PLAIN, stem))
		add_entry(arg, stem, CONFIG_STORE_FILE);
	else if (store_dir_entry(name, STORE_SEALED, stem))
		add_entry(arg, stem, CONFIG_STORE_ENCRYPTED);
	return 0;
}

static void
look_run(void *arg)
{
	struct store_look *l = arg;

	l->failed = store_dir_each(l->store->dir, add_file, l) == -1;
}

static int
by_stem(const void *a, const void *b)
{
	return strcmp(((const struct store_stray *)a)->stem, ((const struct store_stray *)b)->stem);
}

/* "file and encrypted", of the bits. */
static const char *
names(unsigned where, char out[64])
{
	size_t n = 0;
	int kind;

	out[0] = '\0';
	for (kind = CONFIG_STORE_FILE; kind <= CONFIG_STORE_KEYRING; kind++)
		if ((where & BIT(kind)) != 0 && n < 64)
			n += (size_t)snprintf(out + n, 64 - n, "%s%s", n > 0 ? " and " : "",
			    store_backends[kind]->name);
	return out;
}

static void
words_for(const struct store *st, const struct store_stray *s, char *out, size_t size)
{
	unsigned used = BIT(st->backend->kind);
	char where[64];

	if ((s->where & used) != 0)
		snprintf(out, size, "an older or newer copy is kept in the %s store, too; the one in the "
		    "%s store is used", names(s->where & ~used, where), st->backend->name);
	else
		snprintf(out, size, "is kept in the %s store, which is not in use: set store.backend "
		    "and restart, or run mcp-authctl store migrate %s", names(s->where, where),
		    st->backend->name);
}

/* What was not so before is said once. */
static void
say_new(const struct store *st, const struct store_stray *s)
{
	const struct store_stray *old;
	char words[300];

	old = st->drift.n == 0 ? NULL :
	    bsearch(s, st->drift.strays, st->drift.n, sizeof(*s), by_stem);
	if (old != NULL && old->where == s->where)
		return;
	words_for(st, s, words, sizeof(words));
	log_warn(NULL, "store", "%s: %s", s->stem, words);
}

static void
look_over(struct store_look *l)
{
	struct store *st = l->store;
	bool counts = !l->failed && !l->stale && st->move == NULL;
	size_t i, n = 0;

	for (i = 0; i < l->n; i++)
		if ((l->all[i].where & ~BIT(st->backend->kind)) != 0)
			l->all[n++] = l->all[i];
	if (n > 0)
		qsort(l->all, n, sizeof(*l->all), by_stem);
	for (i = 0; i < n && counts; i++)
		say_new(st, &l->all[i]);
	if (counts) {
		free(st->drift.strays);
		st->drift.strays = l->all;
		st->drift.n = n;
		l->all = NULL;
	}
	free(l->all);
	free(l);
	st->drift.look = NULL;
	if (st->drift.again)
		store_drift_look(st);
}

static void
items_listed(void *arg, enum store_result result, const struct store_key *keys, size_t n,
    _unused_ const char *why)
{
	struct store_look *l = arg;
	char stem[STORE_STEM];
	size_t i;

	for (i = 0; result == STORE_OK && i < n; i++) {
		record_stem(keys[i].name, keys[i].url, stem, sizeof(stem));
		add_entry(l, stem, CONFIG_STORE_KEYRING);
	}
	look_over(l);
}

/* The keyring is asked only where it is connected already: looking must not start one. */
static void
look_done(void *arg)
{
	struct store_look *l = arg;
	struct keyring *k = l->store->keyring;

	if (k != NULL && keyring_state(k) >= KEYRING_LOCKED)
		keyring_list(k, items_listed, l);
	else
		look_over(l);
}

void
store_drift_look(struct store *st)
{
	struct store_look *l;

	st->drift.again = st->drift.look != NULL;
	if (st->drift.look != NULL || st->move != NULL || st->backend == NULL || st->worker == NULL)
		return;
	l = store_alloc(sizeof(*l));
	l->store = st;
	st->drift.look = l;
	if (worker_give(st->worker, look_run, look_done, l) == 0)
		return;
	free(l);
	st->drift.look = NULL;
}

void
store_drift_anew(struct store *st)
{
	if (st->drift.look != NULL)
		st->drift.look->stale = true;
	store_drift_look(st);
}

static int
print_stray(const struct store *st, const struct store_stray *s, struct buf *b)
{
	char words[300];
	bool first = true;
	int e, kind;

	words_for(st, s, words, sizeof(words));
	e = buf_adds(b, "{\"entry\":");
	e |= buf_addjson(b, s->stem, strlen(s->stem));
	e |= buf_adds(b, ",\"in\":[");
	for (kind = CONFIG_STORE_FILE; kind <= CONFIG_STORE_KEYRING; kind++) {
		if ((s->where & BIT(kind)) == 0)
			continue;
		e |= buf_addf(b, "%s\"%s\"", first ? "" : ",", store_backends[kind]->name);
		first = false;
	}
	e |= buf_adds(b, "],\"message\":");
	e |= buf_addjson(b, words, strlen(words));
	return e | buf_adds(b, "}");
}

int
store_drift_print(const struct store *st, struct buf *b)
{
	size_t i;
	int e;

	e = buf_adds(b, "[");
	for (i = 0; i < st->drift.n; i++) {
		e |= buf_adds(b, i > 0 ? "," : "");
		e |= print_stray(st, &st->drift.strays[i], b);
	}
	return e | buf_adds(b, "]");
}

void
store_drift_close(struct store *st)
{
	if (st->drift.look != NULL)
		free(st->drift.look->all);
	free(st->drift.look);
	free(st->drift.strays);
}
