/*
 * The tools of one server whose parameters are mirrored in headers (WIRE M4,
 * M5): learned from tools/list answers, asked at a tools/call.
 */
#ifndef MCP_TOOLS_H
#define MCP_TOOLS_H

#include "mcp.h"

struct mcp_tool;

/* Zero it. */
struct mcp_tools {
	struct mcp_tool	*first;		/* those with marked parameters alone */
	size_t		 bytes;
	bool		 whole;		/* every page was seen: what is not here has none */
};

/* A tool that is left out, and why: static words. */
typedef void (*mcp_tools_warn)(void *arg, const char *name, size_t n, const char *why);

/*
 * Learns from one tools/list answer (the whole JSON-RPC message).  If tools
 * are invalid (M5) the answer without them is appended to `out`, otherwise
 * byte for byte as it was; `out` stays as it was if nothing has to go, and
 * with an error.
 * *ret_cursor: the raw nextCursor, {NULL, 0} at the last page.  Returns how
 * many were left out; -EINVAL if it is no such answer; -ENOMEM; -EMSGSIZE:
 * more than TOOLS_BYTES.
 */
int	mcp_tools_learn(struct mcp_tools *, struct slice answer, struct buf *out, struct slice *ret_cursor, mcp_tools_warn, void *arg);
/*
 * Appends "Mcp-Param-Name: value\r\n" for each marked parameter of this
 * tools/call that is there and not null.  How many; -ENOMEM, -EMSGSIZE.
 */
int	mcp_tools_params(const struct mcp_tools *, struct slice call, struct buf *out);
/* Is everything known that a call of this tool needs? */
bool	mcp_tools_known(const struct mcp_tools *, struct slice call);
void	mcp_tools_clear(struct mcp_tools *);

#endif
