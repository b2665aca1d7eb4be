/* What the setters of config_value and config_value_web share; nobody else includes it. */
#ifndef CONFIG_VALUE_IMPL_H
#define CONFIG_VALUE_IMPL_H

#include "config_value.h"

typedef int set_fn(struct reader *, const struct config_key *, const cJSON *, void *target);

/* A copy of the text takes the place of what *slot holds.  0, -ENOMEM. */
int	config_replace(char **slot, const char *);
/* A string, not empty, without control characters. */
bool	config_is_text(const cJSON *);
/* ASCII that can be seen, without blanks. */
bool	config_is_graphic(const char *);
/* A checked array of strings becomes a list that ends with NULL.  0, -ENOMEM. */
int	config_set_list(const cJSON *, char ***slot);
/* A checked object of strings becomes a list of names and values that ends with NULL.  0, -ENOMEM. */
int	config_set_pairs(const cJSON *, char ***slot);

/* config_value_web */
set_fn	config_set_url, config_set_endpoint, config_set_client_url, config_set_uri;
set_fn	config_set_hosts, config_set_fields, config_set_params, config_set_proxy;
set_fn	config_set_scopes, config_set_resource;

#endif
