#include "snippet.h"

/* How a client writes its servers down. */
enum form { URLS, SERVERS, TYPED_SERVERS, TOML, YAML };

static const struct {
	struct snippet_client client;
	enum form	 form;
	const char	*key;		/* JSON: of the object that holds them */
} clients[] = {
	{ { "vscode", "Visual Studio Code", ".vscode/mcp.json of a workspace, or the user's mcp.json "
	    "(command \"MCP: Open User Configuration\")", true }, URLS, "servers" },
	{ { "claude-code", "Claude Code", ".mcp.json of a project", false },
	    TYPED_SERVERS, "mcpServers" },
	{ { "claude-desktop", "Claude Desktop", "~/.config/Claude/claude_desktop_config.json",
	    false }, SERVERS, "mcpServers" },
	{ { "cursor", "Cursor", "~/.cursor/mcp.json, or .cursor/mcp.json of a project", false },
	    SERVERS, "mcpServers" },
	{ { "codex", "Codex", "~/.codex/config.toml", false }, TOML, NULL },
	{ { "goose", "Goose", "~/.config/goose/config.yaml", false }, YAML, NULL },
	{ { "zed", "Zed", "~/.config/zed/settings.json (command \"zed: open settings file\")", false },
	    SERVERS, "context_servers" },
};

const struct snippet_client *
snippet_at(size_t i)
{
	return i < nitems(clients) ? &clients[i].client : NULL;
}

const struct snippet_client *
snippet_find(const char *name)
{
	size_t i;

	for (i = 0; i < nitems(clients); i++)
		if (strcmp(clients[i].client.name, name) == 0)
			return &clients[i].client;
	return NULL;
}

bool
snippet_fits(const struct snippet_client *c, const struct snippet_server *s)
{
	return c->dials || s->socket != NULL;
}

/* A string that JSON, TOML and YAML read alike. */
static int
add_text(struct buf *out, const char *s)
{
	return buf_addjson(out, s, strlen(s));
}

/* ["--control", "PATH", "connect", "NAME"] */
static int
add_args(struct buf *out, const struct snippet *s, const char *name)
{
	int e = buf_adds(out, "[");

	if (s->option != NULL) {
		e |= add_text(out, s->option);
		e |= buf_adds(out, ", ");
	}
	if (s->option != NULL && s->value != NULL) {
		e |= add_text(out, s->value);
		e |= buf_adds(out, ", ");
	}
	e |= buf_adds(out, "\"connect\", ");
	e |= add_text(out, name);
	e |= buf_adds(out, "]");
	return e;
}

/* A path as that of a URL (RFC 3986). */
static int
add_path(struct buf *out, const char *path)
{
	int e = 0;

	for (; *path != '\0'; path++)
		if ((*path >= 'a' && *path <= 'z') || (*path >= 'A' && *path <= 'Z') ||
		    strchr("0123456789-._~/", *path) != NULL)
			e |= buf_add(out, path, 1);
		else
			e |= buf_addf(out, "%%%02X", (unsigned char)*path);
	return e;
}

static int
add_url(struct buf *out, const struct snippet *s, const struct snippet_server *v)
{
	int e = buf_adds(out, "\"unix://");

	e |= add_path(out, v->socket != NULL ? v->socket : s->shared);
	return e | buf_addf(out, "#/%s\"", v->socket != NULL ? "mcp" : v->name);
}

static int
add_json(struct buf *out, const struct snippet *s, const struct snippet_server *v, enum form form)
{
	int e = buf_adds(out, "    ");

	e |= add_text(out, v->name);
	e |= buf_adds(out, ": {\n");
	if (form == URLS) {
		e |= buf_adds(out, "      \"type\": \"http\",\n      \"url\": ");
		e |= add_url(out, s, v);
	} else {
		e |= buf_adds(out, form == TYPED_SERVERS ? "      \"type\": \"stdio\",\n" : "");
		e |= buf_adds(out, "      \"command\": ");
		e |= add_text(out, s->program);
		e |= buf_adds(out, ",\n      \"args\": ");
		e |= add_args(out, s, v->name);
	}
	return e | buf_adds(out, "\n    }");
}

static int
add_toml(struct buf *out, const struct snippet *s, const struct snippet_server *v)
{
	int e = buf_addf(out, "[mcp_servers.%s]\ncommand = ", v->name);

	e |= add_text(out, s->program);
	e |= buf_adds(out, "\nargs = ");
	e |= add_args(out, s, v->name);
	return e | buf_adds(out, "\n");
}

static int
add_yaml(struct buf *out, const struct snippet *s, const struct snippet_server *v)
{
	int e = buf_adds(out, "  ");

	e |= add_text(out, v->name);
	e |= buf_adds(out, ":\n    enabled: true\n    type: stdio\n    name: ");
	e |= add_text(out, v->name);
	e |= buf_addf(out, "\n    description: \"%s, through mcp-authd\"\n    cmd: ", v->name);
	e |= add_text(out, s->program);
	e |= buf_adds(out, "\n    args: ");
	e |= add_args(out, s, v->name);
	return e | buf_adds(out, "\n    envs: {}\n    timeout: 300\n");
}

static int
add_server(struct buf *out, const struct snippet *s, const struct snippet_server *v,
    enum form form, bool first)
{
	if (form == YAML)
		return add_yaml(out, s, v);
	if (form == TOML)
		return buf_adds(out, first ? "" : "\n") | add_toml(out, s, v);
	return buf_adds(out, first ? "" : ",\n") | add_json(out, s, v, form);
}

int
snippet_text(struct buf *out, const struct snippet *s)
{
	const struct snippet_server *v;
	bool first = true;
	size_t i = 0;
	int e = 0;

	while (&clients[i].client != s->client)
		i++;
	if (clients[i].key != NULL)
		e |= buf_addf(out, "{\n  \"%s\": {\n", clients[i].key);
	else if (clients[i].form == YAML)
		e |= buf_adds(out, "extensions:\n");
	for (v = s->servers; v < s->servers + s->nservers; v++) {
		if (!snippet_fits(s->client, v))
			continue;
		e |= add_server(out, s, v, clients[i].form, first);
		first = false;
	}
	if (clients[i].key != NULL)
		e |= buf_adds(out, "\n  }\n}\n");
	return e == 0 ? 0 : -ENOMEM;
}

/* One word of a POSIX shell. */
static int
add_word(struct buf *out, const char *word)
{
	bool plain = word[0] != '\0' && word[strspn(word, "abcdefghijklmnopqrstuvwxyz"
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./:@%+,=")] == '\0';
	int e;

	if (plain)
		return buf_addf(out, " %s", word);
	e = buf_adds(out, " '");
	for (; *word != '\0'; word++)
		e |= *word == '\'' ? buf_adds(out, "'\\''") : buf_add(out, word, 1);
	return e | buf_adds(out, "'");
}

int
snippet_commands(struct buf *out, const struct snippet *s)
{
	const struct snippet_server *v;
	int e = 0;

	for (v = s->servers; v < s->servers + s->nservers; v++) {
		if (!snippet_fits(s->client, v))
			continue;
		e |= buf_adds(out, "claude mcp add --scope user");
		e |= add_word(out, v->name);
		e |= buf_adds(out, " --");
		e |= add_word(out, s->program);
		if (s->option != NULL)
			e |= add_word(out, s->option);
		if (s->option != NULL && s->value != NULL)
			e |= add_word(out, s->value);
		e |= buf_adds(out, " connect");
		e |= add_word(out, v->name);
		e |= buf_adds(out, "\n");
	}
	return e == 0 ? 0 : -ENOMEM;
}
