#include <sys/queue.h>

#include "sessions.h"

#define SESSIONS_MAX	4096	/* each up to COOKIE_JAR_BYTES, usually a hundred bytes */
#define BUCKETS		1024

struct known {
	LIST_ENTRY(known) hash;
	TAILQ_ENTRY(known) used;
	struct cookie_jar jar;
	uid_t	 uid;
	size_t	 n;
	char	 id[];
};

struct sessions {
	LIST_HEAD(, known) buckets[BUCKETS];
	TAILQ_HEAD(known_list, known) used;	/* the latest first */
	unsigned n;
};

static size_t
bucket(struct slice id)
{
	uint64_t h = 14695981039346656037u;	/* FNV-1a: the ids are the upstream's, not an attacker's */

	for (size_t i = 0; i < id.n; i++)
		h = (h ^ (unsigned char)id.p[i]) * 1099511628211u;
	return h % BUCKETS;
}

static struct known *
find(struct sessions *s, struct slice id)
{
	struct known *k;

	if (s == NULL || id.p == NULL)
		return NULL;
	LIST_FOREACH(k, &s->buckets[bucket(id)], hash)
		if (k->n == id.n && memcmp(k->id, id.p, id.n) == 0)
			return k;
	return NULL;
}

static void
drop(struct sessions *s, struct known *k)
{
	LIST_REMOVE(k, hash);
	TAILQ_REMOVE(&s->used, k, used);
	s->n--;
	cookie_jar_free(&k->jar);
	secret_freen(k, sizeof(*k) + k->n);
}

static void
add(struct sessions *s, struct slice id, uid_t uid)
{
	struct known *k;

	if (id.n == 0 || id.n > SESSION_ID_BYTES || (k = calloc(1, sizeof(*k) + id.n)) == NULL)
		return;
	if (s->n == SESSIONS_MAX)
		drop(s, TAILQ_LAST(&s->used, known_list));
	k->uid = uid;
	k->n = id.n;
	memcpy(k->id, id.p, id.n);
	LIST_INSERT_HEAD(&s->buckets[bucket(id)], k, hash);
	TAILQ_INSERT_HEAD(&s->used, k, used);
	s->n++;
}

struct sessions *
sessions_new(void)
{
	struct sessions *s = calloc(1, sizeof(*s));

	if (s != NULL)
		TAILQ_INIT(&s->used);
	return s;
}

void
sessions_free(struct sessions *s)
{
	struct known *k;

	if (s == NULL)
		return;
	while ((k = TAILQ_FIRST(&s->used)) != NULL)
		drop(s, k);
	free(s);
}

bool
sessions_may(struct sessions *s, struct slice id, uid_t uid)
{
	struct known *k = find(s, id);

	if (k == NULL)
		return id.n <= SESSION_ID_BYTES;
	if (k->uid != uid)
		return false;
	TAILQ_REMOVE(&s->used, k, used);
	TAILQ_INSERT_HEAD(&s->used, k, used);
	return true;
}

void
sessions_bind(struct sessions *s, struct slice id, uid_t uid, bool anew)
{
	struct known *k = find(s, id);

	if (k != NULL && anew && k->uid != uid) {
		drop(s, k);
		k = NULL;
	}
	if (k == NULL && s != NULL)
		add(s, id, uid);
}

struct cookie_jar *
sessions_jar(struct sessions *s, struct slice id)
{
	struct known *k = find(s, id);

	return k != NULL ? &k->jar : NULL;
}

unsigned
sessions_count(const struct sessions *s)
{
	return s != NULL ? s->n : 0;
}

void
sessions_drop(struct sessions *s, struct slice id)
{
	struct known *k = find(s, id);

	if (k != NULL)
		drop(s, k);
}
