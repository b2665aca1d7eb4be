/*
 * From an MCP URL to the authorization server's endpoints (RFC 9728, 8414,
 * OpenID Connect Discovery; WIRE A1 to A4, A7, A9, A10, A15, A18).  Pure: it
 * says which request comes next, is told what came back, and ends with a
 * result or with words that say what to do.
 *
 *   probe (401?) -> protected-resource metadata -> server metadata -> done
 */
#ifndef DISCOVERY_H
#define DISCOVERY_H

#include "challenge.h"
#include "config.h"
#include "url.h"

/* What is known in the end.  Strings are ours; NULL = not said. */
struct discovery_result {
	char	*issuer;		/* as listed, or as configured; NULL only for a server without any metadata (A18) */
	char	*authorization_endpoint, *token_endpoint;
	char	*registration_endpoint, *revocation_endpoint, *device_authorization_endpoint;
	char	*resource;		/* to be sent: as the metadata published it, or as the config says (A6); NULL = none */
	char	*resource_metadata;	/* the URL at which it was found; NULL = none */
	char	*scope;			/* A10: what to ask for; NULL = nothing.  Configured scopes stand as they are */
	char	*challenged;		/* scope of the challenge alone */
	char	**auth_methods;		/* token_endpoint_auth_methods_supported; NULL = not said */
	bool	 pkce;			/* S256 is listed, or assumePkce (A5), or bare; false: refuse the code grant */
	bool	 client_metadata;	/* client_id_metadata_document_supported */
	bool	 iss;			/* authorization_response_iss_parameter_supported (A12) */
	bool	 offline_access;	/* listed in the server's scopes_supported (in `scope` then, unless that is NULL or configured) */
	bool	 bare;			/* A18: no metadata at all, the endpoints are guessed at the MCP origin */
	bool	 refuse_private;	/* A15, by daemon/discover: for every later request to an endpoint (fetch_request) */
};
void	discovery_result_free(struct discovery_result *);

enum discovery_need {
	DISCOVERY_PROBE,	/* an unauthenticated POST of a ping to the MCP URL, for its challenge */
	DISCOVERY_GET,		/* GET *ret_url, Accept: application/json */
	DISCOVERY_DONE,
	DISCOVERY_FAILED
};

struct discovery;

/*
 * `known`: the challenge of an earlier 401 or 403 (copied; no probe then);
 * NULL = none.  resource_only: no probe either, and the end is after the
 * protected-resource metadata, FAILED if there is none (VERIFY, C7).  The
 * config must outlive it.  NULL without memory.
 *
 * A configured `resource` changes what is sent, not what A7 accepts: metadata
 * about somebody else's resource says nothing about this server's login.
 */
struct discovery *discovery_new(const struct config_upstream *, const struct challenge *known, bool resource_only);
/*
 * Only the metadata of this authorization server (an identity provider, A20),
 * for its token endpoint: what the config says of another one counts for
 * nothing here.  NULL without memory.
 */
struct discovery *discovery_new_server(const struct config_upstream *, const char *issuer);
void	discovery_free(struct discovery *);
/* What to do now; *ret_url is valid until the next call.  The same answer until discovery_answer(). */
enum discovery_need discovery_next(const struct discovery *, const struct url **ret_url);
/* In words, for progress: "reading the protected-resource metadata at ..." (our words and an escaped URL). */
const char *discovery_step(const struct discovery *, char *out, size_t size);

struct discovery_answer {
	int		 status;	/* 0: not reached, or not complete; redirects have been followed (daemon/discover) */
	const char	*body;
	size_t		 n;
	const struct challenge *challenge;	/* of a probe's 401; NULL = none */
	const char	*why;		/* with status 0: our words */
};
/* What came of it.  0, -ENOMEM (then it has failed). */
int	discovery_answer(struct discovery *, const struct discovery_answer *);
/* After DONE; moves the result out. */
void	discovery_take(struct discovery *, struct discovery_result *ret);
/* After FAILED: what is wrong and what to do, remote text escaped. */
const char *discovery_why(const struct discovery *);
/* It came as far as the authorization server; what FAILED before that is the protected-resource metadata's fault. */
bool	discovery_at_server(const struct discovery *);
/* resource_only, after DONE: was the metadata read, and does its list hold the issuer? (C7: only "read and not in it" is a mismatch.) */
bool	discovery_names_issuer(const struct discovery *, const char *issuer);

#endif
