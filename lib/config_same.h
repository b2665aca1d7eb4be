/* What a reload changes: two configs compared, key by key of the one table. */
#ifndef CONFIG_SAME_H
#define CONFIG_SAME_H

#include "config.h"

/* Every key below `prefix` ("store.") has the same value; not for mcpServers. */
bool	config_same(const struct config *, const struct config *, const char *prefix);
/* Every key of the entry but "listen", which says only where clients come in. */
bool	config_upstream_same(const struct config_upstream *, const struct config_upstream *);

#endif
