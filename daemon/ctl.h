/* What the commands of mcp-authctl share. */
#ifndef CTL_H
#define CTL_H

#include <limits.h>

#include "ctl_client.h"

/* The command line, taken apart. */
struct ctl {
	const char	*control;	/* --control */
	bool		 user, system;
	bool		 json;
	bool		 no_browser, device, all;
	const char	*scope;		/* --scope */
	const char	*file;		/* --file */
	const char	*config;	/* --config */
	const char	*socket;	/* --socket */
	bool		 write;		/* --write */
	const char	*new_key;	/* --new-key */
	char		**args;		/* after the command's words */
	int		 nargs;
};

/* Says so on stderr; answers the code. */
enum ctl_exit ctl_fail(enum ctl_exit, const char *fmt, ...) _printf_(2, 3);
enum ctl_exit ctl_usage(const char *what);
/* An answer that is not 200: its message, escaped, is said. */
enum ctl_exit ctl_refused(int status, struct slice body);
/* One argument, which is a name that can stand in a request line. */
bool	ctl_one_name(const struct ctl *);

/* Control sockets of daemons that may be there, in the order to try; how many. */
int	ctl_control_paths(const struct ctl *, char out[2][PATH_MAX]);
/* Where the daemon may be: call() as ctl_call() for each path, until one answers.  Errors are said. */
enum ctl_exit ctl_reach(const struct ctl *, enum ctl_exit (*call)(void *arg, const char *path, char *why), void *arg);
/* ctl_call() there. */
enum ctl_exit ctl_ask(const struct ctl *, const char *method, const char *target, struct slice body, struct ctl_reply *ret);

/* --- commands of other files --- */

enum ctl_exit ctl_client_config(const struct ctl *);
enum ctl_exit ctl_connect(const struct ctl *);
enum ctl_exit ctl_doctor(const struct ctl *);
enum ctl_exit ctl_import(const struct ctl *);
enum ctl_exit ctl_login(const struct ctl *);
enum ctl_exit ctl_logout(const struct ctl *);
enum ctl_exit ctl_store_migrate(const struct ctl *);
enum ctl_exit ctl_store_rekey(const struct ctl *);

#endif
