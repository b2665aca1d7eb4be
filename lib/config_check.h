/* What the members of one upstream's entry say about one another. */
#ifndef CONFIG_CHECK_H
#define CONFIG_CHECK_H

#include "config_value.h"

/*
 * After all members of `item` were read into p->upstream; fills defaults that
 * hang on others.  0, -EINVAL (said, at the member that is to blame), -ENOMEM.
 */
int	config_check_upstream(struct reader *, const cJSON *item);

#endif
