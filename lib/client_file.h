/*
 * The MCP servers that stand in a client's own config: VS Code, Claude Code
 * and Desktop, Cursor, Gemini, Zed and their like (JSON with comments), Codex
 * (TOML).  Nothing secret is taken along: headers are known by name alone.
 */
#ifndef CLIENT_FILE_H
#define CLIENT_FILE_H

#include "json.h"

#define CLIENT_NAME	48	/* bytes of an upstream's name */

enum client_kind {
	CLIENT_REMOTE,		/* `url` may be taken */
	CLIENT_LOCAL,		/* a program that speaks for itself */
	CLIENT_OURS,		/* it goes through mcp-authd already */
	CLIENT_DISABLED,
	CLIENT_UNFIT		/* `why` says what is wrong with it */
};

struct client_entry {
	enum client_kind kind;
	char	*written;		/* the name as it stands there; remote text */
	char	 name[CLIENT_NAME + 1];	/* the same as an upstream's: [A-Za-z0-9_-], not empty */
	char	*url;			/* canonical; REMOTE only */
	const char *why;		/* UNFIT */
	bool	 bridged;		/* it was spawned as `mcp-remote URL` */
	bool	 old_transport;		/* the client speaks HTTP+SSE with it */
	bool	 authorization;		/* a static Authorization header, or a bearer token, was left behind */
	bool	 headers;		/* other headers were left behind */
	bool	 oauth;			/* OAuth settings were left behind */
};

struct client_file {
	struct client_entry *entries;
	size_t	 n;
	const char *client;		/* whose format it is, as far as it shows ("codex", "zed", "vscode"), else NULL */
};

/*
 * TOML if it begins as such, else JSON with comments and trailing commas.  0;
 * -EBADMSG with *ret_error; -ENOMEM.  A file without any server is fine.
 */
int	client_file_read(const char *, size_t n, struct client_file *ret, struct json_error *ret_error);
void	client_file_free(struct client_file *);

#endif
