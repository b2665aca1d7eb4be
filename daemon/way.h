/* The way out to one upstream: whom we trust, who we are to it, through which proxy. */
#ifndef WAY_H
#define WAY_H

#include "buf.h"
#include "config.h"

/* Strings belong to the config; all may be NULL. */
struct way {
	const char	*ca_file;	/* NULL = the system's */
	const char	*cert_file, *key_file;	/* client certificate, PEM */
	const char	*proxy;		/* "http://[user@]host:port", "env", NULL = none */
	const char	*proxy_credentials_file;	/* one line, user:password */
};

/* The proxy as it is to be asked now. */
struct way_proxy {
	const char	*url;		/* "" = none; may hold a password if it is the environment's: never to be logged */
	const char	*except;	/* as in no_proxy, "" = nothing */
	struct buf	 credentials;	/* user:password, empty if none; secret */
};

struct way way_of(const struct config_upstream *);
/*
 * Reads the environment and the credentials file, which may change at any
 * time: for each connection anew.  0; -ENOMEM; -EPROTONOSUPPORT: the
 * environment's proxy is none that CONNECT goes through in the clear; another
 * errno: the file cannot be used.  way_proxy_done() in any case.
 */
int	way_proxy(const struct way *, bool https, struct way_proxy *ret);
void	way_proxy_done(struct way_proxy *);
/* The file of a systemd credential (systemd.exec(5), LoadCredential=); the caller frees it.  NULL without memory. */
char	*way_credential(const char *name);
/* What an error of way_proxy() means, in our words. */
const char *way_strerror(int e);

#endif
