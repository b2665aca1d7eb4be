/*
 * config/schema.json against lib/config_keys.c: every key that is supported or
 * a client's own stands in it, with a description, the row's choices and
 * range, and nothing else does.  That it judges documents as the daemon does,
 * tests/schema shows.
 */
#include <check.h>
#include <math.h>
#include <stdio.h>

#include <cjson/cJSON.h>

#include "config_keys.h"
#include "json.h"

static cJSON *schema;

static void
load(void)
{
	static char text[128 * 1024];
	struct json_error fault = { 0 };
	FILE *f = fopen("config/schema.json", "r");
	size_t n;

	if (f == NULL)
		f = fopen("../../config/schema.json", "r");
	ck_assert_ptr_nonnull(f);
	n = fread(text, 1, sizeof(text), f);
	fclose(f);
	ck_assert_uint_lt(n, sizeof(text));
	schema = json_parse(text, n, &fault);			/* strict: no key twice */
	ck_assert_msg(schema != NULL, "%u:%u %s", fault.line, fault.column, fault.what);
}

static void
unload(void)
{
	cJSON_Delete(schema);
}

/* What a $ref into the definitions stands for. */
static const cJSON *
resolve(const cJSON *node)
{
	static const char	 prefix[] = "#/definitions/";
	const char		*ref = cJSON_GetStringValue(cJSON_GetObjectItem(node, "$ref"));
	const cJSON		*to;

	if (ref == NULL)
		return node;
	ck_assert_int_eq(strncmp(ref, prefix, strlen(prefix)), 0);
	to = cJSON_GetObjectItemCaseSensitive(cJSON_GetObjectItem(schema, "definitions"),
	    ref + strlen(prefix));
	ck_assert_msg(to != NULL, "%s", ref);
	return to;
}

/* The schema of one key by its path in the table, or NULL. */
static const cJSON *
node_of(const char *path)
{
	const cJSON	*node = schema;
	char		 part[64];
	size_t		 n;

	for (; *path != '\0' && node != NULL; path += n + (path[n] == '.')) {
		n = strcspn(path, ".");
		snprintf(part, sizeof(part), "%.*s", (int)n, path);
		node = strcmp(part, "*") == 0 ?
		    cJSON_GetObjectItem(node, "additionalProperties") :
		    cJSON_GetObjectItemCaseSensitive(cJSON_GetObjectItem(node, "properties"), part);
		if (node != NULL)
			node = resolve(node);
	}
	return node;
}

static void
same_choices(const struct config_key *key, const cJSON *values)
{
	const struct config_choice	*choice;
	const cJSON			*value;
	int				 n = 0, found;

	for (choice = key->choices; choice->name != NULL; choice++) {
		found = 0;
		cJSON_ArrayForEach(value, values)
			found += strcmp(cJSON_GetStringValue(value), choice->name) == 0;
		ck_assert_msg(found == 1, "%s: %s", key->path, choice->name);
		n++;
	}
	ck_assert_msg(cJSON_GetArraySize(values) == n, "%s: other values", key->path);
}

static void
same_range(const struct config_key *key, const cJSON *node)
{
	const cJSON	*lowest = cJSON_GetObjectItem(node, "minimum");
	const cJSON	*highest = cJSON_GetObjectItem(node, "maximum");

	ck_assert_msg(cJSON_IsNumber(lowest) && cJSON_IsNumber(highest), "%s: no range", key->path);
	ck_assert_msg(fabs(lowest->valuedouble - key->min) < 1e-9 &&
	    fabs(highest->valuedouble - key->max) < 1e-9, "%s: another range", key->path);
	ck_assert_str_eq(cJSON_GetStringValue(cJSON_GetObjectItem(node, "type")),
	    key->type == CONFIG_SECONDS ? "number" : "integer");
}

static void
same_type(const struct config_key *key, const cJSON *node)
{
	const char	*type = cJSON_GetStringValue(cJSON_GetObjectItem(node, "type"));

	if (key->type == CONFIG_OBJECT) {
		ck_assert_msg(type != NULL && strcmp(type, "object") == 0, "%s", key->path);
		ck_assert_msg(cJSON_GetObjectItem(node, "properties") != NULL, "%s", key->path);
	}
	if (key->type == CONFIG_BOOL)
		ck_assert_msg(type != NULL && strcmp(type, "boolean") == 0, "%s", key->path);
	if (key->choices != NULL)
		same_choices(key, cJSON_GetObjectItem(node, "enum"));
	if (key->type == CONFIG_SECONDS || key->type == CONFIG_COUNT || key->type == CONFIG_PORT)
		same_range(key, node);
}

START_TEST(every_key_of_the_table)
{
	for (size_t i = 0; i < config_nkeys; i++) {
		const struct config_key *key = &config_keys[i];
		const cJSON *node = node_of(key->path);

		if (key->status == CONFIG_REFUSED) {
			ck_assert_msg(node == NULL, "%s is refused, yet in the schema", key->path);
			continue;
		}
		ck_assert_msg(node != NULL, "%s is not in the schema", key->path);
		ck_assert_msg(cJSON_IsString(cJSON_GetObjectItem(node, "description")),
		    "%s has no description", key->path);
		same_type(key, node);
	}
}
END_TEST

/* Every object with properties is closed, and each of its properties has a row. */
static void
compare_members(const cJSON *node, const char *path)
{
	const cJSON	*more = cJSON_GetObjectItem(node, "additionalProperties"), *member;
	char		 below[128];

	if (cJSON_GetObjectItem(node, "properties") == NULL)
		return;
	ck_assert_msg(cJSON_IsFalse(more), "\"%s\" is open", path);
	cJSON_ArrayForEach(member, cJSON_GetObjectItem(node, "properties")) {
		ck_assert_msg(config_key_find(path, member->string) != NULL,
		    "no such key: %s%s", path, member->string);
		snprintf(below, sizeof(below), "%s%s.", path, member->string);
		compare_members(resolve(member), below);
	}
}

START_TEST(every_key_of_the_schema)
{
	compare_members(schema, "");
	compare_members(node_of("mcpServers.*"), "mcpServers.*.");
}
END_TEST

int
main(void)
{
	Suite	*s = suite_create("schema");
	TCase	*tc = tcase_create("schema");
	SRunner	*sr;
	int	 failed;

	tcase_add_checked_fixture(tc, load, unload);
	tcase_add_test(tc, every_key_of_the_table);
	tcase_add_test(tc, every_key_of_the_schema);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
