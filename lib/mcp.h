/*
 * What MCP means by a JSON-RPC message, read from its raw bytes: members by
 * name, ids that are the same, and the headers that a Streamable HTTP client
 * derives from a body (WIRE M1 to M3).  Texts given here were accepted by
 * lib/jsonrpc before; others yield nothing, safely.
 */
#ifndef MCP_H
#define MCP_H

#include "bounds.h"
#include "buf.h"

#define MCP_VERSION_KEY	"io.modelcontextprotocol/protocolVersion"

/* The raw value of the last member `key` of an object (as most parsers take it). false: none. */
bool	mcp_member(struct slice json, const char *key, struct slice *ret);
/* The same along a path; the last argument is NULL. */
bool	mcp_at(struct slice json, struct slice *ret, ...) __attribute__((sentinel));
/* The next element of an array; *at is 0 for the first. */
bool	mcp_element(struct slice array, size_t *at, struct slice *ret);
/* Appends what a JSON string stands for, as UTF-8.  0, -EINVAL if it is none, -ENOMEM, -EMSGSIZE. */
int	mcp_text(struct slice json, struct buf *out);
/* Is it the JSON string `text`? */
bool	mcp_is(struct slice json, const char *text);
/* Two raw JSON-RPC ids that mean the same: "a" and "\u0061", 1 and 1.0. */
bool	mcp_same_id(struct slice, struct slice);

/* M3: appends a value as a header may carry it, in the sentinel if need be. */
int	mcp_header_value(struct buf *out, const char *, size_t n);
/*
 * M2: appends the value of Mcp-Name for this method.  1; 0 if there is none
 * for it, or the body lacks it; -ENOMEM, -EMSGSIZE.
 */
int	mcp_name(struct slice message, const char *method, struct buf *out);

#endif
