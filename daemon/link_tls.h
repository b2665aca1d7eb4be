/* The SSL object that libcurl made, read and written by ourselves (FACTS).  For link.c alone. */
#ifndef LINK_TLS_H
#define LINK_TLS_H

#include "connector.h"

#define TLS_RECORD	16384	/* RFC 8446 5.1: plaintext of one record */

struct ssl_st;		/* OpenSSL's SSL */

enum tls_result {
	TLS_DONE,
	TLS_WANT_READ,		/* again when the descriptor is readable ... */
	TLS_WANT_WRITE,		/* ... or writable */
	TLS_FAILED		/* for good */
};

/* From here on the I/O is ours; its end remains libcurl's.  0 or -ENOMEM. */
int	tls_take(struct ssl_st *, int fd);
/* Is there anything that came but was not read, which no event will tell? */
bool	tls_pending(const struct ssl_st *);
/* DONE: *ret_n > 0.  FAILED: *ret_why and words (WORDS_BYTES) are set. */
enum tls_result tls_read(struct ssl_st *, char *p, size_t size, size_t *ret_n,
	    enum link_error *ret_why, char *words);
/*
 * Writes one record, wholly.  WANT_...: the same bytes have to be offered
 * again.  FAILED: *ret_error is an errno.
 */
enum tls_result tls_write(struct ssl_st *, const char *p, size_t n, int *ret_error);
/* Version and certificate of what is connected. */
void	tls_look(struct ssl_st *, struct link_facts *);
/* Nothing of the past shall be read as the next call's error. */
void	tls_forget_errors(void);

#endif
