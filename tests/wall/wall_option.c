/* The settings of the login part, kept as the JSON in which they came. */
#include "wall.h"

static const char *const known[] = {
	"as_members", "as_paths", "authorization_servers", "authorize_error", "authorize_page",
	"challenge", "deny", "description_bytes", "device_interval", "device_lifetime",
	"device_pending", "device_slow", "device_members", "exact_port", "grant_scope", "iss",
	"issuer_path", "jag_lifetime", "jag_opaque", "offline_needed", "omit_scope", "open_rpc",
	"post_retry_ms", "prm_members", "prm_paths", "prm_url", "record", "redirect_extra",
	"region_header", "register", "register_members",
	"register_method", "register_secret_expires", "require_resource", "state",
	"subject_token", "tools_pages",
};
static cJSON	*options;

bool
option_set(const cJSON *item)
{
	size_t	i;

	for (i = 0; i < nitems(known); i++) {
		if (strcmp(known[i], item->string) != 0)
			continue;
		if (options == NULL)
			options = cJSON_CreateObject();
		cJSON_DeleteItemFromObjectCaseSensitive(options, item->string);
		cJSON_AddItemToObject(options, item->string, cJSON_Duplicate(item, true));
		return true;
	}
	return false;
}

void
options_clear(void)
{
	cJSON_Delete(options);
	options = NULL;
}

const cJSON *
option_get(const char *name)
{
	return cJSON_GetObjectItemCaseSensitive(options, name);
}

bool
option_is(const char *name)
{
	return cJSON_IsTrue(option_get(name));
}

const char *
option_text(const char *name)
{
	return cJSON_GetStringValue(option_get(name));
}

int64_t
option_number(const char *name, int64_t otherwise)
{
	const cJSON	*item = option_get(name);

	return cJSON_IsNumber(item) ? (int64_t)item->valuedouble : otherwise;
}

bool
option_lists(const char *name, const char *text)
{
	const cJSON	*item;

	cJSON_ArrayForEach(item, option_get(name)) {
		if (cJSON_IsString(item) && strcmp(item->valuestring, text) == 0)
			return true;
	}
	return false;
}

void
option_merge(cJSON *into, const char *name)
{
	const cJSON	*item;

	cJSON_ArrayForEach(item, option_get(name)) {
		cJSON_DeleteItemFromObjectCaseSensitive(into, item->string);
		if (!cJSON_IsNull(item))
			cJSON_AddItemToObject(into, item->string, cJSON_Duplicate(item, true));
	}
}
