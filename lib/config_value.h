/*
 * The values of the config: what may stand behind a key, by its type in the
 * table, and how a fault is told.
 */
#ifndef CONFIG_VALUE_H
#define CONFIG_VALUE_H

#include "config_keys.h"
#include "jsonc.h"

#define CONFIG_SOCKET_PATH	107	/* sun_path without its NUL, unix(7) */

/* One file being read. */
struct reader {
	struct config		*config;
	struct config_upstream	*upstream;	/* the entry being read, or NULL */
	const char		*file;
	const char		*text;		/* cleaned */
	size_t			 n;
	const cJSON		*root;
	config_warn		 warn;
	void			*warn_arg;
	struct config_error	*error;
};

enum config_where { AT_KEY, AT_VALUE };

/* Says what is wrong with `item`, and where: -EINVAL, always. */
int	config_fail(struct reader *, const cJSON *item, enum config_where, const char *fmt, ...)
	    _printf_(4, 5);
/* "KEY must be WHAT", at the value. */
int	config_want(struct reader *, const cJSON *item, const char *what);
/* Tells the caller of config_parse(), at the key. */
void	config_warning(struct reader *, const cJSON *item, const char *fmt, ...) _printf_(3, 4);

/* Text from the file, fit for a message. */
struct config_shown {
	char	text[128];
};
struct config_shown config_show(const char *);

/*
 * Checks the value and stores it at `target`, replacing what an earlier file
 * put there.  0, -EINVAL (said), -ENOMEM.  Not for CONFIG_OBJECT and
 * CONFIG_UPSTREAMS.
 */
int	config_set(struct reader *, const struct config_key *, const cJSON *item, void *target);

void	config_list_free(char **);

#endif
