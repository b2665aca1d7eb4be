/* The wall's controls. */
#include <stdio.h>

#include "support.h"

static cJSON *
control(struct world *w, const char *method, const char *name, const char *json)
{
	struct reply	 r = { 0 };
	char		 path[512];
	cJSON		*answer;
	int		 rc;

	snprintf(path, sizeof(path), "/_wall/%s", name);
	rc = http(w->control, method, path, json, &r, 60000);
	if (rc != 0 || r.status != 200)
		give_up("wall: %s: %d, status %d: %s", name, rc, r.status,
		    r.body.p != NULL ? r.body.p : "");
	if ((answer = cJSON_ParseWithLength(r.body.p, r.body.len)) == NULL)
		give_up("wall: %s: no JSON", name);
	reply_free(&r);
	return answer;
}

cJSON *
wall_post(struct world *w, const char *name, const char *json)
{
	return control(w, "POST", name, json != NULL ? json : "{}");
}

void
wall_do(struct world *w, const char *name, const char *json)
{
	cJSON_Delete(wall_post(w, name, json));
}

int64_t
wall_fault(struct world *w, const char *json)
{
	cJSON	*j = wall_post(w, "fault", json);
	int64_t	 id = (int64_t)cJSON_GetNumberValue(cJSON_GetObjectItem(j, "id"));

	cJSON_Delete(j);
	return id;
}

cJSON *
wall_counts(struct world *w)
{
	return control(w, "GET", "counts", NULL);
}

int64_t
wall_count(struct world *w, const char *path)
{
	const char	*dot = strchr(path, '.');
	char		 group[64];
	bool		 named = strncmp(path, "sends", 5) == 0 ||
	    strncmp(path, "executions", 10) == 0;
	cJSON		*j = control(w, "GET", named ? "counts" : "counts?brief=1", NULL);
	const cJSON	*at = j;
	int64_t		 n;

	if (dot != NULL) {
		snprintf(group, sizeof(group), "%.*s", (int)(dot - path), path);
		at = cJSON_GetObjectItemCaseSensitive(j, group);
		path = dot + 1;
	}
	at = cJSON_GetObjectItemCaseSensitive(at, path);
	n = cJSON_IsNumber(at) ? (int64_t)at->valuedouble : 0;
	cJSON_Delete(j);
	return n;
}

bool
wall_wait(struct world *w, const char *path, int64_t at_least, int ms)
{
	int64_t	deadline = now_ms() + ms;

	while (wall_count(w, path) < at_least) {
		if (now_ms() > deadline)
			return false;
		pause_ms(2);
	}
	return true;
}

bool
wall_wait_is(struct world *w, const char *path, int64_t exactly, int ms)
{
	int64_t	deadline = now_ms() + ms;

	while (wall_count(w, path) != exactly) {
		if (now_ms() > deadline)
			return false;
		pause_ms(2);
	}
	return true;
}

int64_t
wall_violations(struct world *w)
{
	cJSON		*j = wall_counts(w);
	const cJSON	*item;
	int64_t		 sum = 0;

	cJSON_ArrayForEach(item, cJSON_GetObjectItemCaseSensitive(j, "violations")) {
		if (item->valuedouble == 0)
			continue;
		printf("violation: %s, %g times\n", item->string, item->valuedouble);
		sum += (int64_t)item->valuedouble;
	}
	cJSON_Delete(j);
	return sum;
}
