/*
 * A D-Bus of our own (dbus-daemon with its own config and socket) and a
 * Secret Service on it, each a process; what the service does and has stands
 * in memory that the test shares with it.
 */
#ifndef SECRETSERVICE_H
#define SECRETSERVICE_H

#include <sys/types.h>

#include "util.h"

enum secrets_method {
	AT_OPEN_SESSION, AT_READ_ALIAS, AT_LOCKED, AT_SEARCH, AT_ATTRIBUTES, AT_GET_SECRET,
	AT_CREATE, AT_DELETE, AT_UNLOCK, AT_PROMPT, AT_DISMISS, AT_NOTHING
};

enum secrets_fault {
	DIE, SILENT, NONSENSE, REFUSE, VANISHED, IS_LOCKED, NO_SESSION,
	NO_PATHS,			/* "/" where a path is due */
	OTHER_SESSION, PARAMETERS, EMPTY, TOO_LONG	/* of GetSecret */
};

enum secrets_prompt {
	GRANTED, REFUSED, IGNORED, GRANTED_EARLY,	/* Completed before the answer to Prompt */
	GRANTED_IN_VAIN			/* and locked all the same */
};

enum secrets_emit {
	SAY_NOTHING, SAY_CREATED, SAY_LOCKED, SAY_DELETED,
	SAY_FORGED			/* all of them and Completed, by somebody else */
};

struct secrets_item {
	bool	 used;
	char	 schema[48], name[64], url[128], label[256];
	char	 value[256];
	size_t	 n;
};

struct secrets {
	volatile pid_t	 ready;			/* the service that stands on the bus */
	/* what it does */
	volatile enum secrets_method at;	/* a fault ... */
	volatile enum secrets_fault fault;
	volatile int	 times;			/* ... so many times more; -1: always */
	volatile bool	 locked, no_alias, hidden;	/* hidden: no attributes while it is locked */
	volatile bool	 finds_all;		/* a search finds everything */
	volatile bool	 prompts;		/* CreateItem and Delete, too, want a prompt */
	volatile bool	 unlocks_freely;	/* without a prompt */
	volatile enum secrets_prompt prompt;
	volatile enum secrets_emit emit;	/* SAY_NOTHING again once it has been said */
	/* what it has seen */
	volatile int	 calls[AT_NOTHING];
	struct secrets_item items[8];
};

bool	bus_installed(void);
/* "unix:path=..." in a directory of its own, which bus_remove() removes. */
const char *bus_address(void);
void	bus_start(void);
void	bus_kill(void);
void	bus_remove(void);

struct secrets *secrets_new(void);
void	secrets_free(struct secrets *);
void	secrets_start(struct secrets *);	/* returns once it stands on the bus */
void	secrets_kill(struct secrets *);
/* After a death of its own: waits for it. */
void	secrets_buried(struct secrets *);

#endif
