#include "bounds.h"
#include "client_file.h"
#include "jsonc.h"
#include "toml.h"
#include "url.h"

#define ENTRIES_MAX	1000	/* as many upstreams as a config may have */

/* --- names --- */

static bool
is_name_byte(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	    c == '_' || c == '-';
}

/* Every run of other bytes becomes one "_", none at either end. */
static void
set_name(struct client_entry *e, const char *written)
{
	size_t n = 0;

	for (; *written != '\0' && n < CLIENT_NAME; written++)
		if (is_name_byte(*written))
			e->name[n++] = *written;
		else if (n > 0 && e->name[n - 1] != '_')
			e->name[n++] = '_';
	while (n > 0 && e->name[n - 1] == '_')
		n--;
	e->name[n] = '\0';
	if (n == 0)
		strcpy(e->name, "server");
}

/* --- what an entry says --- */

static const char *
first_string(const cJSON *entry, const char *const keys[])
{
	const char *s = NULL;

	for (; *keys != NULL && s == NULL; keys++)
		s = json_string(entry, *keys);
	return s;
}

static bool
one_of(const char *s, const char *const words[])
{
	for (; s != NULL && *words != NULL; words++)
		if (strcasecmp(s, *words) == 0)
			return true;
	return false;
}

static void
note_header(struct client_entry *e, const char *name, size_t n)
{
	while (n > 0 && (name[n - 1] == ' ' || name[n - 1] == '\t'))
		n--;
	if (slice_ieq((struct slice){ name, n }, "Authorization"))
		e->authorization = true;
	else
		e->headers = true;
}

static void
note_headers(struct client_entry *e, const cJSON *headers)
{
	const cJSON *h;

	cJSON_ArrayForEach(h, headers)
		if (h->string != NULL)
			note_header(e, h->string, strlen(h->string));
}

/* Whatever would have to be a secret, or is one. */
static void
note_left_behind(struct client_entry *e, const cJSON *entry)
{
	static const char *const headers[] = { "headers", "http_headers", "env_http_headers",
	    "requestHeaders", NULL };
	static const char *const bearers[] = { "bearer_token_env_var", "bearer_token", "bearerToken",
	    "authorization_token", "apiKey", NULL };
	size_t i;

	for (i = 0; headers[i] != NULL; i++)
		note_headers(e, json_member(entry, headers[i]));
	note_headers(e, json_member(json_member(entry, "requestInit"), "headers"));
	for (i = 0; bearers[i] != NULL; i++)
		if (json_member(entry, bearers[i]) != NULL)
			e->authorization = true;
	e->oauth = json_member(entry, "oauth") != NULL || json_member(entry, "auth") != NULL;
}

/* --- addresses --- */

/* A parameter of the query that has the looks of a key to the door. */
static bool
holds_secret(const char *target)
{
	static const char *const words[] = { "key", "token", "secret", "passw", "auth", "sig",
	    "credential", "code", "pat=" };
	const char *query = strchr(target, '?');
	size_t i;

	for (i = 0; query != NULL && i < nitems(words); i++)
		if (strcasestr(query, words[i]) != NULL)
			return true;
	return false;
}

static int
unfit(struct client_entry *e, const char *why)
{
	e->kind = CLIENT_UNFIT;
	e->why = why;
	return 0;
}

static int
set_url(struct client_entry *e, const char *text)
{
	_cleanup_(url_free) struct url url = { 0 };
	int r;

	if (strncasecmp(text, "unix:", 5) == 0) {
		e->kind = CLIENT_OURS;
		return 0;
	}
	if (strstr(text, "${") != NULL)
		return unfit(e, "its URL holds a variable that only that client knows");
	if (strncasecmp(text, "https:", 6) != 0 && strncasecmp(text, "http:", 5) != 0)
		return unfit(e, "its URL is neither https nor http");
	if ((r = url_parse(text, strlen(text), &url)) == -ENOMEM)
		return r;
	if (r < 0)
		return unfit(e, "its URL is not one that a server of tokens may have (no user "
		    "information, fragment, blanks or non-ASCII)");
	if (holds_secret(url.target))
		return unfit(e, "its URL seems to hold a secret: it is not copied");
	if (!url.https && !url_is_loopback(&url))
		return unfit(e, "its URL is plain http: add it by hand, with \"allowInsecure\": true");
	e->kind = CLIENT_REMOTE;
	e->url = strdup(url.text);
	return e->url != NULL ? 0 : -ENOMEM;
}

/* --- programs --- */

/* "mcp-remote", "mcp-remote@latest", "/usr/bin/mcp-remote"; not "@scope/mcp-remote", nor a URL. */
static bool
is_program(const char *word, const char *program)
{
	const char *slash = strrchr(word, '/');
	size_t n = strlen(program);

	if (slash != NULL && *word != '@' && strstr(word, "://") == NULL)
		word = slash + 1;
	return strncmp(word, program, n) == 0 && (word[n] == '\0' || word[n] == '@');
}

/* "Name: value" or "Name:value" behind --header. */
static void
note_arguments(struct client_entry *e, const cJSON *arg)
{
	for (; arg != NULL; arg = arg->next) {
		if (!cJSON_IsString(arg))
			continue;
		if (strcmp(arg->valuestring, "--header") == 0 && cJSON_IsString(arg->next))
			note_header(e, arg->next->valuestring, strcspn(arg->next->valuestring, ":"));
		else if (strncmp(arg->valuestring, "--header=", 9) == 0)
			note_header(e, arg->valuestring + 9, strcspn(arg->valuestring + 9, ":"));
		else if (strcmp(arg->valuestring, "sse-only") == 0)
			e->old_transport = true;
		else if (strncmp(arg->valuestring, "--static-oauth", 14) == 0)
			e->oauth = true;
	}
}

/* `npx -y mcp-remote URL ...`: the URL is the first argument behind it that is one. */
static int
read_bridge(struct client_entry *e, const cJSON *args)
{
	const cJSON *arg;

	for (arg = args; arg != NULL; arg = arg->next)
		if (cJSON_IsString(arg) && strstr(arg->valuestring, "://") != NULL)
			break;
	if (arg == NULL)
		return unfit(e, "mcp-remote is given no URL");
	e->bridged = true;
	note_arguments(e, args);
	return set_url(e, arg->valuestring);
}

static int
read_program(struct client_entry *e, const cJSON *command, const cJSON *args)
{
	const cJSON *arg;

	e->kind = CLIENT_LOCAL;
	if (cJSON_IsString(command) && is_program(command->valuestring, "mcp-authctl")) {
		e->kind = CLIENT_OURS;
		return 0;
	}
	if (cJSON_IsString(command) && is_program(command->valuestring, "mcp-remote"))
		return read_bridge(e, args != NULL ? args->child : NULL);
	cJSON_ArrayForEach(arg, args)
		if (cJSON_IsString(arg) && is_program(arg->valuestring, "mcp-remote"))
			return read_bridge(e, arg->next);
	return 0;
}

/* --- entries --- */

static bool
is_disabled(const cJSON *entry)
{
	return cJSON_IsTrue(json_member(entry, "disabled")) ||
	    cJSON_IsFalse(json_member(entry, "enabled"));
}

/* Zed once wrote {"command": {"path", "args"}}, and some write the command as a list. */
static int
read_command(struct client_entry *e, const cJSON *entry)
{
	const cJSON *command = json_member(entry, "command"), *args = json_member(entry, "args");

	if (cJSON_IsObject(command)) {
		args = json_member(command, "args");
		command = json_member(command, "path");
	} else if (cJSON_IsArray(command)) {
		args = command;
		command = command->child;
	}
	return read_program(e, command, args);
}

static int
read_entry(struct client_entry *e, const cJSON *entry)
{
	static const char *const urls[] = { "url", "httpUrl", "serverUrl", "uri", NULL };
	static const char *const kinds[] = { "type", "transport", "transportType", NULL };
	static const char *const sse[] = { "sse", NULL };
	const char *url;
	int r;

	if (!cJSON_IsObject(entry))
		return unfit(e, "it is not an object");
	url = first_string(entry, urls);
	if (url == NULL && json_member(entry, "command") == NULL)
		return unfit(e, "it has neither a URL nor a command");
	e->old_transport = one_of(first_string(entry, kinds), sse);
	note_left_behind(e, entry);
	r = url != NULL ? set_url(e, url) : read_command(e, entry);
	if (r == 0 && e->kind == CLIENT_REMOTE && is_disabled(entry))
		e->kind = CLIENT_DISABLED;
	return r;
}

static int
add_entry(struct client_file *f, const cJSON *entry)
{
	struct client_entry *e;

	if (f->n == ENTRIES_MAX)
		return 0;
	e = reallocarray(f->entries, f->n + 1, sizeof(*e));
	if (e == NULL)
		return -ENOMEM;
	f->entries = e;
	e += f->n++;
	*e = (struct client_entry){ .written = strdup(entry->string != NULL ? entry->string : "") };
	if (e->written == NULL)
		return -ENOMEM;
	set_name(e, e->written);
	return read_entry(e, entry);
}

static int
add_entries(struct client_file *f, const cJSON *servers, const char *client)
{
	const cJSON *entry;
	int r;

	if (!cJSON_IsObject(servers))
		return 0;
	if (client != NULL)
		f->client = client;
	cJSON_ArrayForEach(entry, servers)
		if ((r = add_entry(f, entry)) < 0)
			return r;
	return 0;
}

/* Every place where a client keeps them. */
static int
read_servers(struct client_file *f, const cJSON *root, bool toml)
{
	const cJSON *project, *mcp = json_member(root, "mcp");
	int r;

	if (toml)
		return add_entries(f, json_member(root, "mcp_servers"), "codex");
	if ((r = add_entries(f, json_member(root, "mcpServers"), NULL)) < 0 ||
	    (r = add_entries(f, json_member(root, "servers"), "vscode")) < 0 ||
	    (r = add_entries(f, json_member(mcp, "servers"), "vscode")) < 0 ||
	    (r = add_entries(f, json_member(root, "context_servers"), "zed")) < 0)
		return r;
	cJSON_ArrayForEach(project, json_member(root, "projects"))
		if ((r = add_entries(f, json_member(project, "mcpServers"), "claude-code")) < 0)
			return r;
	return 0;
}

/* JSON begins with a brace, perhaps behind comments of its own kind. */
static bool
is_toml(const char *p, size_t n)
{
	while (n > 0 && strchr(" \t\r\n", *p) != NULL && *p != '\0') {
		p++;
		n--;
	}
	return n > 0 && *p != '{' && *p != '/';
}

static cJSON *
parse_json(const char *text, size_t n, struct json_error *ret_error)
{
	_cleanup_(buf_free) struct buf copy = BUF_SECRET(0);

	*ret_error = (struct json_error){ 0 };
	if (buf_add(&copy, text, n) < 0 || jsonc_clean(copy.p, n, ret_error) < 0)
		return NULL;
	return json_parse(copy.p, n, ret_error);
}

int
client_file_read(const char *text, size_t n, struct client_file *ret, struct json_error *ret_error)
{
	struct client_file f = { 0 };
	bool toml = is_toml(text, n);
	cJSON *root;
	int r;

	if (n == 0) {
		*ret_error = (struct json_error){ 1, 1, "the file is empty" };
		return -EBADMSG;
	}
	root = toml ? toml_parse(text, n, ret_error) : parse_json(text, n, ret_error);
	if (root == NULL)
		return ret_error->line == 0 ? -ENOMEM : -EBADMSG;
	r = read_servers(&f, root, toml);
	cJSON_Delete(root);
	if (r == 0)
		*ret = f;
	else
		client_file_free(&f);
	return r;
}

void
client_file_free(struct client_file *f)
{
	size_t i;

	for (i = 0; i < f->n; i++) {
		free(f->entries[i].written);
		free(f->entries[i].url);
	}
	free(f->entries);
	*f = (struct client_file){ 0 };
}
