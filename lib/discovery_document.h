/* The two metadata documents, read (RFC 9728 section 2, RFC 8414 section 2).  Only lib/discovery includes this. */
#ifndef DISCOVERY_DOCUMENT_H
#define DISCOVERY_DOCUMENT_H

#include "discovery.h"

struct document_why {
	char	 text[400];	/* our words, remote text escaped */
};

/* Protected-resource metadata.  Strings are ours. */
struct document_resource {
	char	*resource;	/* as published */
	char	**servers;	/* authorization_servers, NULL at the end; NULL = none named */
	char	*scope;		/* scopes_supported joined, offline_access left out (A10); NULL = none */
};
void	document_resource_free(struct document_resource *);

/* https, or http on loopback; or http because the config allows it (A15).  No word about the address: daemon/discover. */
bool	document_url_allowed(const struct config_upstream *, const struct url *);
/* Of the document at the MCP server's side (A7).  0, -EBADMSG with words, -ENOMEM. */
int	document_read_resource(const char *, size_t n, const struct config_upstream *, struct document_resource *ret, struct document_why *);
/*
 * The authorization server's, into *ret (empty before).  `issuer` is compared
 * byte for byte (A4); a NULL one stands for the MCP origin, with or without a
 * slash (A18).  `believed`: whatever the document says, this is the issuer.
 * 0, -ENOENT (no JSON object), -EBADMSG with words, -ENOMEM.
 */
int	document_read_server(const char *, size_t n, const struct config_upstream *, const char *issuer, bool believed, struct discovery_result *ret, struct document_why *);

void	list_free(char **);
bool	list_has(char **, const char *);

#endif
