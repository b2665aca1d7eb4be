/*
 * One request on its way up, as bytes: the head that may be sent again, the
 * lead (framing and authorization, new for each send), and the payload, held
 * for another send or only passing through.  Sans-I/O: says what to write
 * next and is told how much of it was taken.
 */
#ifndef OUTGOING_H
#define OUTGOING_H

#include <sys/uio.h>

#include "http1.h"
#include "buf.h"
#include "url.h"

struct outgoing {
	struct buf	head;		/* request line, Host, the client's fields */
	size_t		line;		/* of it: request line and Host */
	struct buf	lead;		/* secret: due after the head and before any more payload */
	struct buf	body;		/* payload that is kept */
	uint64_t	dropped;	/* payload before body.p */
	size_t		head_sent, lead_sent;
	uint64_t	sent;		/* payload of this send */
	enum http1_framing framing;	/* as the client sent it */
	uint64_t	length;
	bool		post;		/* no body is "Content-Length: 0" */
	bool		complete;	/* the whole payload came */
	bool		held;		/* none of it was dropped, and none will be */
	bool		chunked;	/* this send is; the rest is its state */
	bool		chunks, last;
	size_t		chunk;		/* left of the current one */
};

#define OUTGOING_IOV	3

/* A zeroed one with the buffers' kinds set; begin() may follow any number of times. */
void	outgoing_init(struct outgoing *);
/*
 * Composes the head from a client's request: everything that hop_up() lets
 * pass, but for fields that stand in `own`, lines that the caller adds to the
 * lead (NULL: none).  0, -ENOMEM or -EMSGSIZE.  Buffers that are there are
 * used again.
 */
int	outgoing_begin(struct outgoing *, const char *method, const struct url *,
	    const struct http1_head *, const char *own);
/* Another target for the same request (a redirect). */
int	outgoing_target(struct outgoing *, const char *method, const struct url *);
/* Payload.  0, -ENOMEM or -EMSGSIZE. */
int	outgoing_add(struct outgoing *, const char *, size_t n);
/* Payload that was not written yet. */
size_t	outgoing_unsent(const struct outgoing *);
/* It need not be sent again: what was written is dropped, now and from now on. */
void	outgoing_unhold(struct outgoing *);
/*
 * A send begins (again) at the head.  Appends the framing field to the lead,
 * which must be empty; the caller adds the authorization, its own lines and
 * the blank line.
 */
int	outgoing_rewind(struct outgoing *);
/* What to write next; returns how many are filled, 0 = nothing now, -ENOMEM. */
int	outgoing_iov(struct outgoing *, struct iovec iov[OUTGOING_IOV]);
void	outgoing_wrote(struct outgoing *, size_t n);
/* Head, lead and framing are out, and so is the whole payload. */
bool	outgoing_done(const struct outgoing *);
/* The lead was written: nothing of the authorization is left in it. */
bool	outgoing_lead_out(const struct outgoing *);
void	outgoing_free(struct outgoing *);

#endif
