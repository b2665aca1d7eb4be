/* Why there is no connection, in words that say what to do; never remote text. */
#include <stdio.h>

#include <openssl/ssl.h>
#include <openssl/x509.h>

#include "connector.h"

static enum link_error
why_unconnected(const struct transfer *t, char *words, size_t size)
{
	const char *whose = t->proxied ? "the proxy: " : "";
	long e = 0;

	if (t->socket_error != 0) {
		snprintf(words, size, "no socket: %s", strerror(t->socket_error));
		return LINK_FAILED;
	}
	curl_easy_getinfo(t->easy, CURLINFO_OS_ERRNO, &e);
	if (e == ECONNREFUSED)
		snprintf(words, size, "%sconnection refused", whose);
	else
		snprintf(words, size, "%sno connection%s%s", whose, e != 0 ? ": " : "",
		    e != 0 ? strerror((int)e) : "");
	return LINK_CONNECT;
}

/* How far it came until the time was over. */
static enum link_error
slow_words(const struct transfer *t, char *words, size_t size)
{
	const char *where;
	curl_off_t resolved = 0;

	curl_easy_getinfo(t->easy, CURLINFO_NAMELOOKUP_TIME_T, &resolved);
	if (t->ctx != NULL)
		where = ": the TLS handshake does not end";
	else if (resolved == 0)
		where = t->proxied ? ": the proxy's name is not resolved" :
		    ": the host name is not resolved";
	else
		where = t->proxied ? ": the proxy does not answer" : ": no answer";
	snprintf(words, size, "connecting took too long%s", where);
	return t->ctx == NULL && resolved == 0 ? LINK_DNS : LINK_SLOW;
}

static enum link_error
proxy_words(const struct transfer *t, CURLcode code, char *words, size_t size)
{
	long answer = 0;

	curl_easy_getinfo(t->easy, CURLINFO_HTTP_CONNECTCODE, &answer);
	if (answer == 407)
		snprintf(words, size, "the proxy wants other credentials (407)");
	else if (answer >= 300)
		snprintf(words, size, "the proxy refuses the connection (%ld)", answer % 1000);
	else if (code == CURLE_SEND_ERROR || code == CURLE_RECV_ERROR || code == CURLE_GOT_NOTHING)
		snprintf(words, size, "the proxy closed the connection");
	else
		snprintf(words, size, "the proxy's answer is not valid");
	return LINK_CONNECT;
}

/* The three that everybody meets; OpenSSL's words for the others. */
static const char *
verify_words(long verify)
{
	switch (verify) {
	case X509_V_ERR_CERT_HAS_EXPIRED:
		return "it has expired";
	case X509_V_ERR_CERT_NOT_YET_VALID:
		return "it is not valid yet (or the clock here is wrong)";
	case X509_V_ERR_HOSTNAME_MISMATCH:
	case X509_V_ERR_IP_ADDRESS_MISMATCH:
		return "it is for another name";
	case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
	case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
	case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
	case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
	case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
		return "its issuer is unknown (tls.caFile names a private CA)";
	default:
		return X509_verify_cert_error_string(verify);
	}
}

bool
transfer_alert(const struct transfer *t, char *words, size_t size)
{
	if (t->alert == 0)
		return false;
	if (t->cert_wanted || t->alert == SSL_AD_CERTIFICATE_REQUIRED)
		snprintf(words, size, "the server requires a client certificate "
		    "(tls.certFile, tls.keyFile)");
	else if (t->alert >= SSL_AD_BAD_CERTIFICATE && t->alert <= SSL_AD_CERTIFICATE_UNKNOWN)
		snprintf(words, size, "the server does not accept our client certificate: %s",
		    SSL_alert_desc_string_long(t->alert));
	else
		snprintf(words, size, "the server ended TLS: %s",
		    SSL_alert_desc_string_long(t->alert));
	return true;
}

static void
tls_words(const struct transfer *t, CURLcode code, char *words, size_t size)
{
	long verify = X509_V_OK;

	curl_easy_getinfo(t->easy, CURLINFO_SSL_VERIFYRESULT, &verify);
	/* Before the chain was looked at libcurl says "unspecified". */
	if (verify != X509_V_OK && verify != X509_V_ERR_UNSPECIFIED)
		snprintf(words, size, "certificate not accepted: %s", verify_words(verify));
	else if (code == CURLE_PEER_FAILED_VERIFICATION)
		snprintf(words, size, "certificate not accepted: it is for another name");
	else if (code == CURLE_SSL_CACERT_BADFILE)
		snprintf(words, size, "the file of CA certificates cannot be read");
	else if (code == CURLE_SSL_CERTPROBLEM)
		snprintf(words, size, "the client certificate or its key cannot be used "
		    "(tls.certFile, tls.keyFile)");
	else if (!transfer_alert(t, words, size))
		snprintf(words, size, "the TLS handshake failed");
}

void
connector_lost(int error, char *words)
{
	if (error == ECONNRESET || error == EPIPE)
		snprintf(words, WORDS_BYTES, "the connection was reset");
	else
		snprintf(words, WORDS_BYTES, "the connection was lost: %s", strerror(error));
}

/* Is a proxy still between us and the server's first word? */
static bool
before_tunnel(const struct transfer *t)
{
	long answer = 0;

	curl_easy_getinfo(t->easy, CURLINFO_HTTP_CONNECTCODE, &answer);
	return answer != 0 ? answer / 100 != 2 : t->proxied;
}

enum link_error
transfer_why(const struct transfer *t, CURLcode code, char *words, size_t size)
{
	if (t->refused && (code == CURLE_COULDNT_CONNECT || code == CURLE_ABORTED_BY_CALLBACK)) {
		snprintf(words, size, "it leads from a public server to a private address "
		    "(\"oauth.allowPrivate\": true lets it)");
		return LINK_PRIVATE;
	}
	switch ((int)code) {
	case CURLE_COULDNT_RESOLVE_HOST:
		snprintf(words, size, "the host name cannot be resolved");
		return LINK_DNS;
	case CURLE_COULDNT_RESOLVE_PROXY:
		snprintf(words, size, "the proxy's name cannot be resolved");
		return LINK_DNS;
	case CURLE_COULDNT_CONNECT:
		return why_unconnected(t, words, size);
	case CURLE_OPERATION_TIMEDOUT:
		return slow_words(t, words, size);
	case CURLE_SSL_CONNECT_ERROR:
	case CURLE_PEER_FAILED_VERIFICATION:
	case CURLE_SSL_CERTPROBLEM:
	case CURLE_SSL_CIPHER:
	case CURLE_SSL_CACERT_BADFILE:
	case CURLE_SSL_ISSUER_ERROR:
	case CURLE_SSL_CRL_BADFILE:
	case CURLE_SSL_INVALIDCERTSTATUS:
	case CURLE_SSL_CLIENTCERT:
		tls_words(t, code, words, size);
		return LINK_TLS;
	case CURLE_SEND_ERROR:
	case CURLE_RECV_ERROR:
	case CURLE_GOT_NOTHING:
		if (before_tunnel(t))
			return proxy_words(t, code, words, size);
		snprintf(words, size, "the connection was reset");
		return LINK_RESET;
	default:
		if (before_tunnel(t))
			return proxy_words(t, code, words, size);
		snprintf(words, size, "%s", curl_easy_strerror(code));
		return LINK_FAILED;
	}
}
