/*
 * One upstream connection: libcurl connects (DNS, TCP, TLS, proxy), the I/O is
 * ours on the descriptor or the SSL object (FACTS).  Bytes in, bytes out;
 * knows nothing of HTTP.
 */
#ifndef LINK_H
#define LINK_H

#include <sys/uio.h>

#include "loop.h"
#include "url.h"
#include "way.h"

enum link_error {
	LINK_CLOSED,		/* the peer closed in order */
	LINK_CUT,		/* TLS: the end came without close_notify */
	LINK_RESET,		/* read or write error, TCP user timeout */
	LINK_DNS,		/* not resolved, or not in time */
	LINK_CONNECT,		/* refused, unreachable */
	LINK_TLS,		/* handshake, certificate */
	LINK_SLOW,		/* connect time passed */
	LINK_PRIVATE,		/* a private address that A15 forbids */
	LINK_FAILED		/* no descriptor, no memory */
};

struct link_target {
	struct url	 url;
	struct way	 way;
	int64_t		 connect_ms;
};

struct link_ops {
	void	(*up)(void *arg);			/* connected: write now */
	void	(*room)(void *arg);			/* after a short write: there is room again; may be NULL */
	void	(*data)(void *arg, const char *, size_t);/* never after link_pause() until resumed; a turn may call it several times */
	void	(*turn)(void *arg);			/* all that was readable now has been given; may be NULL */
	void	(*down)(void *arg, enum link_error, const char *words);	/* last call; link_free() it */
};

struct link;

/* The libcurl multi of the process and its glue; fetch.c shares it. */
struct connector *connector_new(struct loop *);
void	connector_free(struct connector *);	/* no link and no fetch may be left; NULL is fine */

/* Starts connecting; never calls back inside.  NULL only without memory. */
struct link *link_open(struct connector *, const struct link_target *, const struct link_ops *, void *arg);
/* Hands the link to another owner (from the pool to a call and back). */
void	link_own(struct link *, const struct link_ops *, void *arg);
/*
 * Writes what fits: bytes taken, 0 if nothing does (room follows when it
 * does), -errno (down follows, after what the peer had sent before).  TLS
 * included: what is taken need not be offered again.
 */
ssize_t	link_write(struct link *, const struct iovec *, int n);
void	link_pause(struct link *);
void	link_resume(struct link *);
/* Is it connected, silent and readable by nobody (FACTS: reuse only then)? One recv(MSG_PEEK) at most. */
bool	link_quiet(struct link *);
/* Of one that is up, for doctor. */
struct link_facts {
	bool		 proxied;	/* the proxy resolved the name */
	char		 address[64];	/* connected to; the proxy's if proxied */
	char		 tls[16];	/* "TLSv1.3"; "" = plain */
	int64_t		 expires_at;	/* of the server's certificate, wall ms; 0 unknown */
};
void	link_look(const struct link *, struct link_facts *ret);
/* Closes and frees; allowed inside its own callbacks (the memory goes at the end of the turn). NULL is fine. */
void	link_free(struct link *);

#endif
