#include "config_keys.h"
#include "config_same.h"

static bool
same_list(char **a, char **b)
{
	if (a == NULL || b == NULL)
		return a == b;
	for (; *a != NULL && *b != NULL; a++, b++)
		if (strcmp(*a, *b) != 0)
			return false;
	return *a == *b;
}

#define SAME(type, a, b)	(*(const type *)(const void *)(a) == *(const type *)(const void *)(b))
#define VALUE(type, p)		(*(type const *)(const void *)(p))

/* Both oauth.resource and whether it is omitted. */
static bool
same_resource(const struct config_upstream *a, const struct config_upstream *b)
{
	return text_same(a->oauth.resource, b->oauth.resource) &&
	    a->oauth.resource_omit == b->oauth.resource_omit;
}

/* `a` and `b` are the two structs that the row's offset counts from. */
static bool
same_value(const struct config_key *key, const char *a, const char *b)
{
	const char *x = a + key->offset, *y = b + key->offset;

	switch (key->type) {
	case CONFIG_BOOL:
	case CONFIG_FLAG:
		return SAME(bool, x, y);
	case CONFIG_STRING:
	case CONFIG_FILE:
	case CONFIG_CREDENTIAL:
	case CONFIG_ENDPOINT:
	case CONFIG_CLIENT_URL:
	case CONFIG_URI:
	case CONFIG_WORD:
	case CONFIG_SCOPES:
	case CONFIG_PROXY:
		return text_same(VALUE(char *, x), VALUE(char *, y));
	case CONFIG_URL:
		return text_same(VALUE(struct url, x).text, VALUE(struct url, y).text);
	case CONFIG_CHOICE:
		return SAME(int, x, y);
	case CONFIG_SECONDS:
		return SAME(int64_t, x, y);
	case CONFIG_COUNT:
		return SAME(uint64_t, x, y);
	case CONFIG_MODE:
	case CONFIG_PORT:
		return SAME(unsigned, x, y);
	case CONFIG_HOSTS:
	case CONFIG_USERS:
	case CONFIG_ARGV:
	case CONFIG_URL_ARGV:
	case CONFIG_PARAMS:
	case CONFIG_FIELDS:
	case CONFIG_FIELD_FILES:
		return same_list(VALUE(char **, x), VALUE(char **, y));
	case CONFIG_RESOURCE:
		return same_resource((const void *)a, (const void *)b);
	case CONFIG_OBJECT:
	case CONFIG_UPSTREAMS:
	case CONFIG_ANY:
	case CONFIG_LISTEN:
	case CONFIG_TYPE:
	case CONFIG_TYPE_MAX:
		break;
	}
	return true;
}

static bool
same(const void *a, const void *b, const char *prefix)
{
	const struct config_key *key;

	for (key = config_keys; key < config_keys + config_nkeys; key++)
		if (key->status == CONFIG_SUPPORTED &&
		    strncmp(key->path, prefix, strlen(prefix)) == 0 && !same_value(key, a, b))
			return false;
	return true;
}

bool
config_same(const struct config *a, const struct config *b, const char *prefix)
{
	return same(a, b, prefix);
}

bool
config_upstream_same(const struct config_upstream *a, const struct config_upstream *b)
{
	return same(a, b, "mcpServers.*.");
}
