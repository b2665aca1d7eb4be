/*
 * Newline-delimited JSON-RPC being read: bytes in, one message after the
 * other out, each looked at as it streams by (lib/jsonrpc).  Sans-I/O.  A line
 * beyond the ceiling is not kept, but read to its end for its id.
 */
#ifndef LINES_H
#define LINES_H

#include "jsonrpc.h"

struct lines {
	struct buf	text;		/* of the line, without blanks around it; empty if `over` */
	struct jsonrpc	rpc;
	size_t		max;		/* longest line that is kept; may be changed at any time */
	bool		over;
};

void	lines_init(struct lines *, size_t max);
/*
 * Takes bytes off *p, *n up to the end of one line.  1: there it is, rpc is
 * final; call lines_next() before the next feed.  0: all was taken.  -ENOMEM:
 * the line is lost as if it were too long.  Lines of blanks alone are skipped.
 */
int	lines_feed(struct lines *, const char **p, size_t *n);
/* The input has ended: 1 if there is a last line without a newline. */
int	lines_end(struct lines *);
/* Forgets the line.  Its text and rpc may have been moved away before (struct copy, then lines_moved()). */
void	lines_next(struct lines *);
void	lines_moved(struct lines *);
void	lines_free(struct lines *);

#endif
