/*
 * What was seen: which paths were asked for, what the latest request at each
 * endpoint said, every secret; and whether something of one authorization
 * server came to the other.
 */
#include <stdio.h>
#include <sys/random.h>

#include "wall.h"

static struct map	paths[2], ids[2];
static struct map	issued[2];	/* what belongs to one server alone */
static int64_t		leaks[2], requests[2];
static cJSON		*latest;

void
random_text(char *out, size_t size, const char *prefix)
{
	unsigned char	r[16];
	size_t		i, at = strlen(prefix);

	if (getrandom(r, sizeof(r), 0) != sizeof(r) || size < at + 2 * sizeof(r) + 1)
		die("no random text");
	memcpy(out, prefix, at);
	for (i = 0; i < sizeof(r); i++)
		snprintf(out + at + 2 * i, 3, "%02x", r[i]);
}

static void
note(const char *kind, const char *text)
{
	if (wall.secrets == NULL || text == NULL || strlen(text) < 8)
		return;
	fprintf(wall.secrets, "%s%s\n", kind, text);
	fflush(wall.secrets);
}

void
seen_secret(const struct conn *c, const char *text)
{
	const char	*dot = text != NULL ? strrchr(text, '.') : NULL;

	/* Of a JWT the signature: what stands before is no secret in every part. */
	note("", dot != NULL && strlen(dot) > 20 ? dot + 1 : text);
	if (text != NULL && c != NULL)
		map_make(&issued[c->other], text);
}

void
seen_shown(const char *text)
{
	note("url ", text);
}

void
seen_client(const struct conn *c, const char *id)
{
	map_make(&ids[c->other], id)->n++;
}

void
seen_owned(bool other, const char *text)
{
	map_make(&issued[other], text);
}

static bool
holds(const struct conn *c, const char *text)
{
	size_t	n = strlen(text);

	return strstr(c->req.query, text) != NULL || strstr(c->req.authorization, text) != NULL ||
	    (c->req.body.len >= n && memmem(c->req.body.p, c->req.body.len, text, n) != NULL);
}

void
seen_request(const struct conn *c)
{
	const struct map	*m = &issued[!c->other];
	const struct entry	*e;
	size_t			 i;

	if (strncmp(c->req.path, "/_wall/", 7) == 0 ||
	    (!c->other && strncmp(c->req.path, "/mcp", 4) == 0))
		return;
	requests[c->other]++;
	map_make(&paths[c->other], c->req.path)->n++;
	for (i = 0; i < m->nslots; i++) {
		for (e = m->slots[i]; e != NULL; e = e->next) {
			if (holds(c, e->key))
				leaks[c->other]++;
		}
	}
}

void
seen_latest(const char *endpoint, cJSON *what)
{
	if (latest == NULL)
		latest = cJSON_CreateObject();
	cJSON_DeleteItemFromObjectCaseSensitive(latest, endpoint);
	cJSON_AddItemToObject(latest, endpoint, what);
}

cJSON *
seen_latest_json(void)
{
	return latest != NULL ? cJSON_Duplicate(latest, true) : cJSON_CreateObject();
}

void
seen_count(cJSON *into)
{
	cJSON	*other = cJSON_AddObjectToObject(into, "other");

	cJSON_AddItemToObject(into, "paths", map_json(&paths[0]));
	cJSON_AddItemToObject(into, "clients", map_json(&ids[0]));
	cJSON_AddNumberToObject(into, "leaks", (double)leaks[0]);
	cJSON_AddItemToObject(into, "other_paths", map_json(&paths[1]));
	cJSON_AddItemToObject(into, "other_clients", map_json(&ids[1]));
	cJSON_AddNumberToObject(other, "requests", (double)requests[1]);
	cJSON_AddNumberToObject(other, "leaks", (double)leaks[1]);
}

/* What belongs to whom stays: it is a state, not a count. */
void
seen_reset(void)
{
	int	i;

	for (i = 0; i < 2; i++) {
		map_clear(&paths[i], NULL);
		map_clear(&ids[i], NULL);
		leaks[i] = requests[i] = 0;
	}
	cJSON_Delete(latest);
	latest = NULL;
}
