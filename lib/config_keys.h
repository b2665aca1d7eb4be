/* The table of all config keys, so that none is ever ignored. */
#ifndef CONFIG_KEYS_H
#define CONFIG_KEYS_H

#include "config.h"

enum config_type {
	CONFIG_OBJECT,		/* its members have rows of their own */
	CONFIG_UPSTREAMS,	/* its members are upstreams, their rows "mcpServers.*" */
	CONFIG_ANY,		/* whatever stands there is skipped */
	CONFIG_BOOL,		/* bool */
	CONFIG_STRING,		/* char *, not empty, no controls */
	CONFIG_FILE,		/* char *, absolute */
	CONFIG_CREDENTIAL,	/* char *, a systemd credential's name */
	CONFIG_URL,		/* struct url */
	CONFIG_ENDPOINT,	/* char *, a URL of WIRE A15 kept byte for byte */
	CONFIG_CLIENT_URL,	/* char *, a URL that can be a client id, kept byte for byte */
	CONFIG_URI,		/* char *, absolute, of any scheme */
	CONFIG_CHOICE,		/* int, one of `choices` */
	CONFIG_FLAG,		/* bool, one of `choices` */
	CONFIG_WORD,		/* char *, one of `choices` */
	CONFIG_SECONDS,		/* int64_t in ms; min and max in seconds */
	CONFIG_COUNT,		/* uint64_t */
	CONFIG_PORT,		/* unsigned, 0 or an unprivileged port */
	CONFIG_MODE,		/* unsigned, from an octal string */
	CONFIG_HOSTS,		/* char **, NULL-terminated */
	CONFIG_USERS,		/* char **, NULL-terminated: names or uids */
	CONFIG_ARGV,		/* char **, NULL-terminated, the first absolute */
	CONFIG_URL_ARGV,	/* the same with "{url}" in a word */
	CONFIG_PARAMS,		/* char **, pairs of name and value, NULL-terminated */
	CONFIG_FIELDS,		/* char **, pairs of name and value, NULL-terminated */
	CONFIG_FIELD_FILES,	/* the same with absolute paths for values */
	CONFIG_SCOPES,		/* char *, joined by blanks */
	CONFIG_RESOURCE,	/* oauth.resource: URI or false */
	CONFIG_PROXY,		/* proxy: http URL or "env" */
	CONFIG_LISTEN,		/* listen: path or false */
	CONFIG_TYPE,		/* "type" as clients write it */
	CONFIG_TYPE_MAX
};

enum config_status {
	CONFIG_SUPPORTED,
	CONFIG_IGNORED,		/* a client's own setting: a warning */
	CONFIG_REFUSED		/* never: `advice` says what to do */
};

struct config_choice {
	const char		*name;
	int			 value;
};

struct config_key {
	const char			*path;
	enum config_type		 type;
	enum config_status		 status;
	size_t				 offset;	/* in config or config_upstream */
	double				 min, max;
	const struct config_choice	*choices;	/* ends with a NULL name */
	const char			*advice;
};

extern const struct config_key	config_keys[];
extern const size_t		config_nkeys;

/* The row for the member `name` of the object at `path` ("", "limits." ...), or NULL. */
const struct config_key *config_key_find(const char *path, const char *name);
/* The member's name that is most like `name`; never a client's own or a refused one. */
const char *config_key_nearest(const char *path, const char *name);
/* The same among choices. */
const char *config_choice_nearest(const struct config_choice *, const char *name);

#endif
