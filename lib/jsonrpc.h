/*
 * Looks at a JSON-RPC 2.0 body as it streams by, without altering or holding
 * it: what kind of message, its method, its id (raw, as written).  A resumable
 * scanner; cuts may fall anywhere, inside an escape too.  Memory is bounded by
 * IDS_BYTES; the grammar of RFC 8259 is checked, UTF-8 and "jsonrpc": "2.0"
 * are not (the upstream judges them).
 */
#ifndef JSONRPC_H
#define JSONRPC_H

#include "bounds.h"
#include "buf.h"

enum jsonrpc_kind {
	JSONRPC_UNKNOWN,	/* not enough seen */
	JSONRPC_REQUEST,	/* method and id */
	JSONRPC_NOTIFICATION,	/* method, no id */
	JSONRPC_RESPONSE,	/* result or error, no method */
	JSONRPC_BATCH,		/* an array of messages (2025-03-26) */
	JSONRPC_NOT_JSON,	/* -32700 */
	JSONRPC_INVALID		/* JSON but no JSON-RPC message, or beyond JSON_DEPTH, ID_BYTES, IDS_BYTES: -32600 */
};

struct jsonrpc {
	/*
	 * Final after jsonrpc_end().  Before it, each as soon as known; a
	 * message with a method but no id yet is UNKNOWN.  Only NOT_JSON (and
	 * INVALID) may still replace what was known.
	 */
	enum jsonrpc_kind kind;
	char		method[METHOD_BYTES];	/* "" if none, too long, or with escaped non-ASCII; of a batch: "" */
	bool		batch_requests;	/* a batch holds at least one request */
	struct buf	ids;		/* raw ids of the requests, in order, each followed by '\n'; one for a single request */
	/* private */
	unsigned char	stack[JSON_DEPTH / 8];	/* a bit for each open container: 1 = object */
	unsigned	depth;
	bool		object;		/* the innermost open container is one */
	unsigned char	state, sub, flags;
	unsigned char	member, capture;
	uint32_t	word;
	char		text[METHOD_BYTES];
	size_t		ntext, idstart;
};

void	jsonrpc_init(struct jsonrpc *);
/* 0, or -ENOMEM.  What is not JSON sets the kind and is otherwise ignored: the caller carries bytes all the same. */
int	jsonrpc_feed(struct jsonrpc *, const char *, size_t n);
/* The body is complete: fixes the kind. */
void	jsonrpc_end(struct jsonrpc *);
void	jsonrpc_free(struct jsonrpc *);

#endif
