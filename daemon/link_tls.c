#include <stdio.h>
#include <time.h>

#include <openssl/err.h>
#include <openssl/ssl.h>

#include "link_tls.h"

int
tls_take(SSL *ssl, int fd)
{
	if (SSL_set_fd(ssl, fd) != 1)
		return -ENOMEM;
	SSL_set_mode(ssl, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	SSL_set_options(ssl, SSL_OP_CLEANSE_PLAINTEXT | SSL_OP_NO_RENEGOTIATION);
	/* One read() for head and body of a record; SSL_has_pending() knows of the rest. */
	SSL_set_read_ahead(ssl, 1);
	return 0;
}

bool
tls_pending(const SSL *ssl)
{
	return SSL_has_pending(ssl) == 1;
}

void
tls_look(SSL *ssl, struct link_facts *ret)
{
	X509 *cert = SSL_get0_peer_certificate(ssl);
	struct tm tm;

	snprintf(ret->tls, sizeof(ret->tls), "%s", SSL_get_version(ssl));
	if (cert != NULL && ASN1_TIME_to_tm(X509_get0_notAfter(cert), &tm) == 1)
		ret->expires_at = timegm(&tm) * SEC;
}

void
tls_forget_errors(void)
{
	ERR_clear_error();
}

static void
explain(int ssl_error, int saved, enum link_error *ret_why, char *words)
{
	unsigned long e = ERR_peek_error();
	const char *reason;

	*ret_why = LINK_RESET;
	if (ssl_error == SSL_ERROR_ZERO_RETURN) {
		*ret_why = LINK_CLOSED;
		snprintf(words, WORDS_BYTES, "the server closed the connection");
	} else if ((ssl_error == SSL_ERROR_SYSCALL && saved == 0) ||
	    ERR_GET_REASON(e) == SSL_R_UNEXPECTED_EOF_WHILE_READING) {
		*ret_why = LINK_CUT;
		snprintf(words, WORDS_BYTES, "the connection was cut");
	} else if (ssl_error == SSL_ERROR_SYSCALL) {
		connector_lost(saved, words);
	} else {
		reason = ERR_reason_error_string(e);
		snprintf(words, WORDS_BYTES, "TLS: %s",
		    reason != NULL ? reason : "protocol error");
	}
}

enum tls_result
tls_read(SSL *ssl, char *p, size_t size, size_t *ret_n, enum link_error *ret_why, char *words)
{
	int got, saved, e;

	ERR_clear_error();
	errno = 0;
	got = SSL_read(ssl, p, (int)size);
	if (got > 0) {
		*ret_n = got;
		return TLS_DONE;
	}
	saved = errno;
	e = SSL_get_error(ssl, got);
	if (e == SSL_ERROR_WANT_READ)
		return TLS_WANT_READ;
	if (e == SSL_ERROR_WANT_WRITE)
		return TLS_WANT_WRITE;
	explain(e, saved, ret_why, words);
	return TLS_FAILED;
}

enum tls_result
tls_write(SSL *ssl, const char *p, size_t n, int *ret_error)
{
	int result, saved, e;

	ERR_clear_error();
	errno = 0;
	result = SSL_write(ssl, p, (int)n);
	if (result > 0)
		return TLS_DONE;
	saved = errno;
	e = SSL_get_error(ssl, result);
	if (e == SSL_ERROR_WANT_READ)
		return TLS_WANT_READ;
	if (e == SSL_ERROR_WANT_WRITE)
		return TLS_WANT_WRITE;
	*ret_error = saved != 0 ? saved : EPIPE;
	return TLS_FAILED;
}
