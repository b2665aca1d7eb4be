/*
 * An event stream being read (WHATWG HTML, "Server-sent events"): bytes in,
 * events out.  Sans-I/O; cuts may fall anywhere.  An event that is cut by the
 * end of the stream is none, and its id was never seen.
 */
#ifndef SSE_H
#define SSE_H

#include "bounds.h"
#include "buf.h"

struct sse {
	struct buf	data;		/* of the event being read; its ceiling is that of one event */
	struct buf	last;		/* last event id: of whole events alone; "" = none */
	int64_t		retry;		/* ms that the server asked for; -1 = it did not */
	bool		message;	/* the event just given is of type "message" */
	/* private */
	struct buf	id, value;
	char		name[8], type[8];
	unsigned char	state, target, nname, ntype, bom;
	bool		crlf, over, over_id, given;
};

/* `max`: bytes of one event's data. */
void	sse_init(struct sse *, size_t max);
/* Another stream of the same source begins: last id and retry stay. */
void	sse_restart(struct sse *);
/*
 * Takes bytes off *p, *n up to the end of one event.  1: `data` holds it until
 * the next call, `message` says whether it is one; 0: all was taken;
 * -EMSGSIZE: an event was too large and is dropped; -ENOMEM.  An event without
 * data (a priming event, say) is not given, but its id counts.
 */
int	sse_next(struct sse *, const char **p, size_t *n);
void	sse_free(struct sse *);

#endif
