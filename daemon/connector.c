#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <stdio.h>

#include <openssl/x509.h>

#include "connector.h"
#include "log.h"

#define SYSTEM_CA	"/etc/ssl/certs/ca-certificates.crt"
#define CACHED_MAX	100000L	/* FACTS: at or above the peak, or links are closed and made anew */
#define KEEPALIVE_IDLE	30	/* seconds; then USER_TIMEOUT decides */
#define KEEPALIVE_EVERY	10

struct connector {
	struct loop	*loop;
	CURLM		*multi;
	CURLSH		*share;		/* TLS sessions (FACTS: they resume only through one) */
	struct timer	 timer;
};

struct loop *
connector_loop(const struct connector *c)
{
	return c->loop;
}

/* Tells the owners of what has finished; they may end any transfer here. */
static void
finish(struct connector *c)
{
	struct transfer *t;
	CURLMsg *msg;
	CURLcode code;
	int left;

	while ((msg = curl_multi_info_read(c->multi, &left)) != NULL) {
		if (msg->msg != CURLMSG_DONE)
			continue;
		code = msg->data.result;
		t = NULL;
		curl_easy_getinfo(msg->easy_handle, CURLINFO_PRIVATE, &t);
		t->done(t, code);
	}
}

static void
act(struct connector *c, curl_socket_t fd, int what)
{
	int running;

	curl_multi_socket_action(c->multi, fd, what, &running);
	finish(c);
}

/* The argument is the connector: libcurl may free the per-socket event in act(). */
static void
socket_ready(evutil_socket_t fd, short what, void *arg)
{
	act(arg, fd, ((what & EV_READ) != 0 ? CURL_CSELECT_IN : 0) |
	    ((what & EV_WRITE) != 0 ? CURL_CSELECT_OUT : 0));
}

static void
timer_ready(void *arg)
{
	act(arg, CURL_SOCKET_TIMEOUT, 0);
}

static int
on_timer(_unused_ CURLM *multi, long ms, void *arg)
{
	struct connector *c = arg;

	if (ms < 0)
		timer_clear(&c->timer);
	else
		timer_set(&c->timer, ms);
	return 0;
}

/* libcurl waits for something else on this socket, or no longer for anything. */
static int
on_socket(_unused_ CURL *easy, curl_socket_t fd, int what, void *arg, void *socket_arg)
{
	struct connector *c = arg;
	struct event *ev = socket_arg;
	short wanted = EV_PERSIST;

	if (ev != NULL)
		event_free(ev);
	ev = NULL;
	if (what != CURL_POLL_REMOVE) {
		if (what != CURL_POLL_OUT)
			wanted |= EV_READ;
		if (what != CURL_POLL_IN)
			wanted |= EV_WRITE;
		ev = event_new(c->loop->base, fd, wanted, socket_ready, c);
		/* Without its event the transfer runs into its own timeout. */
		if (ev == NULL || event_add(ev, NULL) == -1)
			log_err(NULL, "memory", "a socket cannot be watched");
	}
	curl_multi_assign(c->multi, fd, ev);
	return 0;
}

/*
 * libcurl's own sockets lack CLOEXEC.  This is also the place that sees the
 * address before anything is sent to it: a rule against private addresses
 * belongs here (LINK_PRIVATE).
 */
static curl_socket_t
open_socket(void *arg, _unused_ curlsocktype purpose, struct curl_sockaddr *addr)
{
	struct transfer *t = arg;
	const int on = 1, idle = KEEPALIVE_IDLE, every = KEEPALIVE_EVERY;
	const unsigned user_timeout = USER_TIMEOUT;
	int fd;

	fd = socket(addr->family, addr->socktype | SOCK_CLOEXEC, addr->protocol);
	if (fd == -1) {
		t->socket_error = errno;
		return CURL_SOCKET_BAD;
	}
	t->socket_error = 0;
	if (addr->family == AF_INET || addr->family == AF_INET6) {
		(void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
		(void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof(idle));
		(void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &every, sizeof(every));
		(void)setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &user_timeout,
		    sizeof(user_timeout));
	}
	return fd;
}

struct connector *
connector_new(struct loop *loop)
{
	struct connector *c;
	int failed;

	c = calloc(1, sizeof(*c));
	if (c == NULL)
		return NULL;
	c->loop = loop;
	timer_init(&c->timer, loop, timer_ready, c);
	c->multi = curl_multi_init();
	c->share = curl_share_init();
	if (c->multi == NULL || c->share == NULL) {
		connector_free(c);
		return NULL;
	}
	failed = curl_multi_setopt(c->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
	failed |= curl_multi_setopt(c->multi, CURLMOPT_SOCKETDATA, c);
	failed |= curl_multi_setopt(c->multi, CURLMOPT_TIMERFUNCTION, on_timer);
	failed |= curl_multi_setopt(c->multi, CURLMOPT_TIMERDATA, c);
	failed |= curl_multi_setopt(c->multi, CURLMOPT_MAXCONNECTS, CACHED_MAX);
	failed |= curl_share_setopt(c->share, CURLSHOPT_SHARE, CURL_LOCK_DATA_SSL_SESSION);
	if (failed != 0) {
		connector_free(c);
		return NULL;
	}
	return c;
}

/* No transfer may be left. */
void
connector_free(struct connector *c)
{
	if (c == NULL)
		return;
	timer_clear(&c->timer);
	if (c->multi != NULL)
		curl_multi_cleanup(c->multi);
	timer_clear(&c->timer);
	if (c->share != NULL)
		curl_share_cleanup(c->share);
	free(c);
}

int
transfer_begin(struct transfer *t, struct connector *c, const char *url, const char *ca_file,
    int64_t connect_ms)
{
	CURL *e;
	int failed;

	t->connector = c;
	t->easy = e = curl_easy_init();
	if (e == NULL)
		return -ENOMEM;
	failed = curl_easy_setopt(e, CURLOPT_URL, url);
	failed |= curl_easy_setopt(e, CURLOPT_PRIVATE, t);
	failed |= curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http,https");
	failed |= curl_easy_setopt(e, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	failed |= curl_easy_setopt(e, CURLOPT_FOLLOWLOCATION, 0L);
	failed |= curl_easy_setopt(e, CURLOPT_FRESH_CONNECT, 1L);
	failed |= curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
	failed |= curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT_MS, (long)connect_ms);
	/* FACTS: or the environment's http_proxy is spoken to as if it were the origin. */
	failed |= curl_easy_setopt(e, CURLOPT_PROXY, "");
	failed |= curl_easy_setopt(e, CURLOPT_HTTPPROXYTUNNEL, 1L);
	/* FACTS: cancelling a hanging lookup would block for 9 s. */
	failed |= curl_easy_setopt(e, CURLOPT_QUICK_EXIT, 1L);
	/* FACTS: a CApath switches off the cache of parsed CAs. */
	failed |= curl_easy_setopt(e, CURLOPT_CAPATH, NULL);
	failed |= curl_easy_setopt(e, CURLOPT_CAINFO, ca_file != NULL ? ca_file : SYSTEM_CA);
	failed |= curl_easy_setopt(e, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	failed |= curl_easy_setopt(e, CURLOPT_SHARE, c->share);
	failed |= curl_easy_setopt(e, CURLOPT_TCP_NODELAY, 1L);
	failed |= curl_easy_setopt(e, CURLOPT_OPENSOCKETFUNCTION, open_socket);
	failed |= curl_easy_setopt(e, CURLOPT_OPENSOCKETDATA, t);
	return failed != 0 ? -ENOMEM : 0;
}

int
transfer_go(struct transfer *t)
{
	if (curl_multi_add_handle(t->connector->multi, t->easy) != CURLM_OK)
		return -ENOMEM;
	t->added = true;
	return 0;
}

void
transfer_end(struct transfer *t)
{
	if (t->added)
		curl_multi_remove_handle(t->connector->multi, t->easy);
	t->added = false;
	if (t->easy != NULL)
		curl_easy_cleanup(t->easy);
	t->easy = NULL;
}

static enum link_error
why_unconnected(const struct transfer *t, char *words, size_t size)
{
	long e = 0;

	if (t->socket_error != 0) {
		snprintf(words, size, "no socket: %s", strerror(t->socket_error));
		return LINK_FAILED;
	}
	curl_easy_getinfo(t->easy, CURLINFO_OS_ERRNO, &e);
	if (e == ECONNREFUSED)
		snprintf(words, size, "connection refused");
	else
		snprintf(words, size, "no connection%s%s", e != 0 ? ": " : "",
		    e != 0 ? strerror((int)e) : "");
	return LINK_CONNECT;
}

static void
tls_words(const struct transfer *t, CURLcode code, char *words, size_t size)
{
	long verify = X509_V_OK;

	curl_easy_getinfo(t->easy, CURLINFO_SSL_VERIFYRESULT, &verify);
	/* Before the chain was looked at libcurl says "unspecified". */
	if (verify != X509_V_OK && verify != X509_V_ERR_UNSPECIFIED)
		snprintf(words, size, "certificate not accepted: %s",
		    X509_verify_cert_error_string(verify));
	else if (code == CURLE_PEER_FAILED_VERIFICATION)
		snprintf(words, size, "certificate not accepted: it is for another name");
	else if (code == CURLE_SSL_CACERT_BADFILE)
		snprintf(words, size, "the file of CA certificates cannot be read");
	else if (code == CURLE_SSL_CERTPROBLEM)
		snprintf(words, size, "the client certificate cannot be used");
	else
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

enum link_error
transfer_why(const struct transfer *t, CURLcode code, char *words, size_t size)
{
	switch ((int)code) {
	case CURLE_COULDNT_RESOLVE_HOST:
		snprintf(words, size, "the host name cannot be resolved");
		return LINK_DNS;
	case CURLE_COULDNT_CONNECT:
		return why_unconnected(t, words, size);
	case CURLE_OPERATION_TIMEDOUT:
		snprintf(words, size, "connecting took too long");
		return LINK_SLOW;
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
		snprintf(words, size, "the connection was reset");
		return LINK_RESET;
	default:
		snprintf(words, size, "%s", curl_easy_strerror(code));
		return LINK_FAILED;
	}
}
