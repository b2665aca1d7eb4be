/*
 * The config: JSON with comments and trailing commas, checked against one
 * table of keys.  Text in, a tree of plain structs out; files are read by the
 * daemon (daemon/main.c), not here.
 */
#ifndef CONFIG_H
#define CONFIG_H

#include "buf.h"
#include "url.h"

enum config_auth { CONFIG_OAUTH, CONFIG_BEARER, CONFIG_NONE };
enum config_grant { CONFIG_AUTHORIZATION_CODE, CONFIG_CLIENT_CREDENTIALS, CONFIG_DEVICE_CODE, CONFIG_ID_JAG };
enum config_backend { CONFIG_STORE_AUTO, CONFIG_STORE_FILE, CONFIG_STORE_ENCRYPTED, CONFIG_STORE_KEYRING };

/* One entry of mcpServers.  Absent strings are NULL. */
struct config_upstream {
	char		*name;
	struct url	 url;
	enum config_auth auth;
	struct {
		enum config_grant grant;
		char	*client_id, *client_secret_file, *token_endpoint_auth_method;
		char	*client_secret;		/* what stands in that file; read with the config (daemon/config_file) */
		char	*client_secret_credential;	/* or in this systemd credential, read likewise */
		char	**client_secret_command;/* argv, NULL at its end; run when a secret is needed (daemon/grant) */
		char	*client_metadata_url;	/* https: our client-ID metadata document */
		char	*private_key_file, *private_key_id;
		char	*private_key;		/* PEM, secret; read with the config like client_secret */
		char	*issuer, *authorization_endpoint, *token_endpoint;
		char	**authorize_params;	/* name, value, name ..., NULL */
		unsigned redirect_port;		/* 0: any (RFC 8252) */
		bool	 assume_pkce, allow_private;
		struct {			/* id_jag: the enterprise's identity provider */
			char	*issuer, *token_endpoint, *client_id, *client_secret_file;
			char	*client_secret;	/* read with the config */
			char	*subject_token_file, *subject_token_type;	/* the file is read at each need */
		} idp;
		char	*scope;			/* "scopes" joined by blanks */
		char	*resource;		/* override */
		bool	 resource_omit;		/* "resource": false */
	} oauth;
	struct { char *file, *credential; char **command; } bearer;	/* one of them; command ends with NULL */
	char		**headers, **header_files;	/* name, value or path, name ..., NULL */
	char		*header_lines;	/* secret: both as "Name: value\r\n"; composed with the config (daemon/config_file) */
	struct { char *ca_file, *cert_file, *key_file; } tls;
	char		*proxy;			/* "http://[user@]host:port", always with a port, or "env"; NULL = none */
	char		*proxy_credentials_file;
	char		*listen;		/* another socket path; NULL = NAME/mcp.sock */
	bool		 no_listen;		/* "listen": false */
	bool		 refresh_background;
	bool		 session_recovery;	/* G1; default true */
	int64_t		 connect, recovery, response;	/* ms; response 0 = none */
	bool		 shared, allow_insecure;
	char		*file;			/* where the entry stands, for messages */
	unsigned	 line, column;
};

struct config {
	struct config_upstream *upstreams;
	size_t		 nupstreams;
	struct { unsigned mode; char *group; char **allow_users; char **hosts; } socket;	/* lists end with NULL */
	struct {
		enum config_backend backend;
		char	*path, *key_file, *key_credential;	/* one of the latter two at most */
		bool	 allow_network_fs;
	} store;
	struct {
		uint64_t clients, clients_per_user, in_flight_per_client;
		uint64_t header_bytes, body_bytes, held_bytes, line_bytes;
		uint64_t links, streams;
		int64_t  idle;			/* ms */
	} limits;
	struct { char **command; int64_t wait; } login;	/* command: argv, "{url}" in it is replaced; wait in ms (H6) */
	struct { int level; } log;		/* syslog: 3 error, 4 warning, 6 info (default), 7 debug */
};

/* Where something is wrong, in words that say what to do. */
struct config_error {
	char	 file[256];
	unsigned line, column;
	char	 what[512];		/* offending remote text is escaped; the nearest valid key is named */
};

/* Called for every warning; may be NULL. */
typedef void (*config_warn)(void *arg, const struct config_error *);

/* Defaults everywhere. */
void	config_init(struct config *);
/*
 * Merges one file's text into *config.  0; -EINVAL with *ret_error; -ENOMEM.
 * After an error *config may hold part of the file: config_free() it.
 * Duplicate names across files are errors.
 */
int	config_parse(struct config *, const char *file, const char *text, size_t n, config_warn, void *arg, struct config_error *ret_error);
/*
 * Checks what only the whole shows (at least one upstream, shared, socket path
 * lengths against `runtime_dir`).  Errors as above; one that no single entry
 * is to blame for has file "" and line 0.
 */
int	config_finish(struct config *, const char *runtime_dir, struct config_error *ret_error);
const struct config_upstream *config_find(const struct config *, struct slice name);
void	config_free(struct config *);

#endif
