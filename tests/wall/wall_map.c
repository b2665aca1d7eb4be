/* A chained hash table: text to a number and a pointer. */
#include "wall.h"

static uint64_t
hash(const char *s)
{
	uint64_t	h = 14695981039346656037ULL;

	for (; *s != '\0'; s++)
		h = (h ^ (unsigned char)*s) * 1099511628211ULL;
	return h ^ (h >> 29);
}

static void
grow(struct map *m)
{
	size_t		 nslots = m->nslots == 0 ? 64 : m->nslots * 2, i;
	struct entry	**slots = calloc(nslots, sizeof(*slots)), *e, *next;

	if (slots == NULL)
		die("no memory");
	for (i = 0; i < m->nslots; i++) {
		for (e = m->slots[i]; e != NULL; e = next) {
			next = e->next;
			e->next = slots[e->hash & (nslots - 1)];
			slots[e->hash & (nslots - 1)] = e;
		}
	}
	free(m->slots);
	m->slots = slots;
	m->nslots = nslots;
}

struct entry *
map_find(const struct map *m, const char *key)
{
	uint64_t	 h = hash(key);
	struct entry	*e;

	if (m->nslots == 0)
		return NULL;
	for (e = m->slots[h & (m->nslots - 1)]; e != NULL; e = e->next) {
		if (e->hash == h && strcmp(e->key, key) == 0)
			return e;
	}
	return NULL;
}

struct entry *
map_make(struct map *m, const char *key)
{
	struct entry	*e = map_find(m, key);
	size_t		 n = strlen(key) + 1;

	if (e != NULL)
		return e;
	if (m->n >= m->nslots)
		grow(m);
	if ((e = calloc(1, sizeof(*e) + n)) == NULL)
		die("no memory");
	memcpy(e->key, key, n);
	e->hash = hash(key);
	e->next = m->slots[e->hash & (m->nslots - 1)];
	m->slots[e->hash & (m->nslots - 1)] = e;
	m->n++;
	return e;
}

void
map_drop(struct map *m, const char *key)
{
	struct entry	*e = map_find(m, key), **at;

	if (e == NULL)
		return;
	at = &m->slots[e->hash & (m->nslots - 1)];
	while (*at != e)
		at = &(*at)->next;
	*at = e->next;
	m->n--;
	free(e);
}

void
map_clear(struct map *m, void (*free_p)(void *))
{
	struct entry	*e, *next;
	size_t		 i;

	for (i = 0; i < m->nslots; i++) {
		for (e = m->slots[i]; e != NULL; e = next) {
			next = e->next;
			if (free_p != NULL)
				free_p(e->p);
			free(e);
		}
	}
	free(m->slots);
	*m = (struct map){ 0 };
}

cJSON *
map_json(const struct map *m)
{
	cJSON		*json = cJSON_CreateObject();
	struct entry	*e;
	size_t		 i;

	for (i = 0; i < m->nslots; i++) {
		for (e = m->slots[i]; e != NULL; e = e->next)
			cJSON_AddNumberToObject(json, e->key, (double)e->n);
	}
	return json;
}
