/*
 * libcurl's multi on the loop: what link.c (connections) and fetch.c (whole
 * transfers) have in common, and which network a peer is in.
 */
#ifndef CONNECTOR_H
#define CONNECTOR_H

#include <curl/curl.h>

#include "link.h"

#define WORDS_BYTES	160

/* One easy handle in the multi.  Embedded by its user; zeroed before use. */
struct transfer {
	CURL		*easy;
	struct connector *connector;
	bool		 added;
	int		 socket_error;	/* errno if the last socket() failed */
	bool		 proxied;	/* by the config, or by an environment without exceptions */
	bool		 maybe_proxied;	/* or by one with exceptions: libcurl alone knows */
	bool		 refuse_private;/* set before transfer_begin(): no private address is spoken to (WIRE A15) */
	bool		 refused;	/* one was there, and was refused */
	bool		 cert_wanted;	/* the server asked for a client certificate; there is none */
	int		 alert;		/* the last TLS alert of the server that is no goodbye, else 0 */
	struct ssl_ctx_st *ctx;		/* libcurl's, held until the end */
	/* Finished, or for a link: connected.  Never inside a libcurl call. */
	void		(*done)(struct transfer *, CURLcode);
};

/*
 * Makes the handle, with every option that both users need, for this URL.
 * 0, -ENOMEM or an error of way_proxy() (transfer_end() it all the same).
 */
int	transfer_begin(struct transfer *, struct connector *, const char *url, const struct way *, int64_t connect_ms);
/* Into the multi; nothing happens before the next turn.  0 or -ENOMEM. */
int	transfer_go(struct transfer *);
/* Out of the multi, closed, freed; idempotent, allowed in done(). */
void	transfer_end(struct transfer *);
/* connector_why.c: what went wrong before anything was connected, in our words. */
enum link_error transfer_why(const struct transfer *, CURLcode, char *words, size_t size);
/* The server ended TLS with an alert: true, and our words for it. */
bool	transfer_alert(const struct transfer *, char *words, size_t size);
/* The connected address is in a private range; false if a proxy stands between, or nothing was connected. */
bool	transfer_private(const struct transfer *);
/* The host is a literal address in a private range, or a loopback name. */
bool	transfer_names_private(const struct url *);
/* Words (WORDS_BYTES) for an errno that ended an established connection. */
void	connector_lost(int error, char *words);
struct loop *connector_loop(const struct connector *);

#endif
