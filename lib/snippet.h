/* What to paste into a client's config so that it reaches upstreams through mcp-authd. */
#ifndef SNIPPET_H
#define SNIPPET_H

#include "buf.h"

struct snippet_client {
	const char	*name;		/* "vscode" ... */
	const char	*title;		/* "Visual Studio Code" */
	const char	*file;		/* where it goes */
	bool		 dials;		/* it speaks HTTP over the socket, and spawns nothing */
};

/* By name, or the one at this place; NULL: none. */
const struct snippet_client *snippet_find(const char *name);
const struct snippet_client *snippet_at(size_t i);

struct snippet_server {
	const char	*name;
	const char	*socket;	/* NULL: it is reached through the shared one alone */
};

struct snippet {
	const struct snippet_client *client;
	const char	*program;	/* path of mcp-authctl */
	const char	*option, *value;	/* "--control", "PATH" before `connect`; NULL: none */
	const char	*shared;	/* path of the shared socket */
	const struct snippet_server *servers;
	size_t		 nservers;	/* at least one of them fits */
};

/* This client can be given that server: one that spawns `connect` needs a socket of the server's own. */
bool	snippet_fits(const struct snippet_client *, const struct snippet_server *);
/* Appends the text, whole lines, of all servers that fit.  0, or -ENOMEM (at the ceiling, too). */
int	snippet_text(struct buf *out, const struct snippet *);
/* Claude Code's other way: one `claude mcp add` command for each, fit for a shell. */
int	snippet_commands(struct buf *out, const struct snippet *);

#endif
