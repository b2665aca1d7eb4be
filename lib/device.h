/* Device authorization, RFC 8628 (WIRE A21). */
#ifndef DEVICE_H
#define DEVICE_H

#include "buf.h"

struct device {
	char	*device_code;		/* secret */
	char	*user_code;		/* printable ASCII, at most 64 bytes */
	char	*verification_uri;	/* a URL that may be shown: https, or http on loopback */
	char	*verification_uri_complete;	/* NULL if absent */
	int64_t	 lifetime, interval;	/* ms; 300 s and 5 s where nothing usable was said */
};

/* The answer of the device authorization endpoint.  0, or -EBADMSG with static words, -ENOMEM. */
int	device_parse(const char *, size_t n, struct device *ret, const char **ret_why);
void	device_free(struct device *);

/* What a poll's error code (token_answer.error) means. */
enum device_poll { DEVICE_PENDING, DEVICE_SLOW_DOWN, DEVICE_DENIED, DEVICE_EXPIRED, DEVICE_FAILED };
enum device_poll device_poll_error(const char *error);

#endif
