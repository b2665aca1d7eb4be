/* The two metadata documents, at whatever places and with whatever faults. */
#include <stdio.h>

#include "wall.h"

static const char	prm_root[] = "/.well-known/oauth-protected-resource";
static const char	as_root[] = "/.well-known/oauth-authorization-server";

const char *
origin_of(const struct conn *c)
{
	return c->other ? wall.other_origin : wall.origin;
}

static const char *
issuer_path(const struct conn *c)
{
	const char	*path = c->other ? NULL : option_text("issuer_path");

	return path != NULL ? path : "";
}

void
issuer_of(const struct conn *c, char *out, size_t size)
{
	snprintf(out, size, "%s%s", origin_of(c), issuer_path(c));
}

bool
metadata_asked(const struct conn *c)
{
	return strncmp(c->req.path, "/.well-known/", 13) == 0 ||
	    strstr(c->req.path, "/.well-known/openid-configuration") != NULL ||
	    (option_get("prm_paths") != NULL && option_lists("prm_paths", c->req.path));
}

static void
add_list(cJSON *j, const char *name, const char *const *words)
{
	cJSON	*list = cJSON_AddArrayToObject(j, name);

	for (; *words != NULL; words++)
		cJSON_AddItemToArray(list, cJSON_CreateString(*words));
}

static void
resource_document(struct conn *c)
{
	static const char *const header[] = { "header", NULL }, *const scopes[] = { "mcp", NULL };
	const cJSON	*servers = fault_get(c->fault, "authorization_servers");
	const char	*resource = cJSON_GetStringValue(fault_get(c->fault, "resource"));
	char		 url[128], issuer[300];
	const char	*only[] = { issuer, NULL };
	cJSON		*j;

	if (fault_commit(c))
		return;
	j = cJSON_CreateObject();
	snprintf(url, sizeof(url), "%s/mcp", wall.origin);
	issuer_of(c, issuer, sizeof(issuer));
	cJSON_AddStringToObject(j, "resource", resource != NULL ? resource : url);
	if (servers == NULL)
		servers = option_get("authorization_servers");
	if (servers != NULL)
		cJSON_AddItemToObject(j, "authorization_servers", cJSON_Duplicate(servers, true));
	else
		add_list(j, "authorization_servers", only);
	add_list(j, "bearer_methods_supported", header);
	add_list(j, "scopes_supported", scopes);
	option_merge(j, "prm_members");
	answer_json(c, 200, j);
}

static void
add_endpoints(cJSON *j, const struct conn *c)
{
	static const struct { const char *name, *path; } endpoints[] = {
		{ "authorization_endpoint", "/authorize" },
		{ "token_endpoint", "/token" },
		{ "revocation_endpoint", "/revoke" },
		{ "registration_endpoint", "/register" },
		{ "device_authorization_endpoint", "/device_authorization" },
	};
	const char	*how = option_text("register");
	char		 url[128];
	size_t		 i;

	for (i = 0; i < nitems(endpoints); i++) {
		if (i == 3 && !c->other && how != NULL && strcmp(how, "absent") == 0)
			continue;
		snprintf(url, sizeof(url), "%s%s", origin_of(c), endpoints[i].path);
		cJSON_AddStringToObject(j, endpoints[i].name, url);
	}
}

static void
server_document(struct conn *c)
{
	static const char *const s256[] = { "S256", NULL }, *const code[] = { "code", NULL };
	static const char *const methods[] = { "none", "client_secret_basic",
	    "client_secret_post", "private_key_jwt", NULL };
	static const char *const grants[] = { "authorization_code", "refresh_token",
	    "client_credentials", GRANT_URN_DEVICE, GRANT_URN_JWT, NULL };
	char	 issuer[300];
	cJSON	*j;

	if (fault_commit(c))
		return;
	j = cJSON_CreateObject();
	issuer_of(c, issuer, sizeof(issuer));
	cJSON_AddStringToObject(j, "issuer", issuer);
	add_endpoints(j, c);
	add_list(j, "code_challenge_methods_supported", s256);
	add_list(j, "response_types_supported", code);
	add_list(j, "grant_types_supported", grants);
	add_list(j, "token_endpoint_auth_methods_supported", methods);
	cJSON_AddTrueToObject(j, "authorization_response_iss_parameter_supported");
	if (!c->other)
		option_merge(j, "as_members");
	answer_json(c, 200, j);
}

/* Of the identity provider whose issuer is /idp. */
static void
idp_document(struct conn *c)
{
	char	 url[128];
	cJSON	*j = cJSON_CreateObject();

	snprintf(url, sizeof(url), "%s/idp", wall.origin);
	cJSON_AddStringToObject(j, "issuer", url);
	snprintf(url, sizeof(url), "%s/idp/token", wall.origin);
	cJSON_AddStringToObject(j, "token_endpoint", url);
	answer_json(c, 200, j);
}

static void
absent(struct conn *c)
{
	if (!fault_commit(c))
		answer_text(c, 404, "text/plain", "not found\n");
}

static bool
serves(const struct conn *c, const char *option, const char *otherwise)
{
	const cJSON	*list = c->other ? NULL : option_get(option);

	return list != NULL ? option_lists(option, c->req.path) :
	    strcmp(c->req.path, otherwise) == 0;
}

void
metadata_answer(struct conn *c)
{
	char	place[300];
	bool	prm = strncmp(c->req.path, prm_root, sizeof(prm_root) - 1) == 0;

	snprintf(place, sizeof(place), "%s%s", as_root, issuer_path(c));
	if (!c->other && (option_get("prm_paths") != NULL ?
	    option_lists("prm_paths", c->req.path) : prm)) {
		counts.metadata_resource++;
		fault_meet(c, FAULT_METADATA, resource_document);
	} else if (serves(c, "as_paths", place)) {
		counts.metadata_server++;
		fault_meet(c, FAULT_METADATA, server_document);
	} else if (!c->other && strcmp(c->req.path, "/.well-known/oauth-authorization-server/idp")
	    == 0) {
		fault_meet(c, FAULT_METADATA, idp_document);
	} else {
		fault_meet(c, FAULT_METADATA, absent);
	}
}
