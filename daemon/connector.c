#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <stdio.h>

#include <openssl/ssl.h>

#include "address.h"
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

/* --- which network a peer is in (WIRE A15) --- */

static bool
sockaddr_is_private(const struct sockaddr *sa)
{
	const struct sockaddr_in *v4 = (const struct sockaddr_in *)sa;
	const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)sa;

	if (sa->sa_family == AF_INET)
		return address_is_private((const unsigned char *)&v4->sin_addr, 4);
	if (sa->sa_family == AF_INET6)
		return address_is_private((const unsigned char *)&v6->sin6_addr, 16);
	return true;
}

static bool
text_is_private(const char *text)
{
	unsigned char a[16];

	if (inet_pton(AF_INET, text, a) == 1)
		return address_is_private(a, 4);
	return inet_pton(AF_INET6, text, a) == 1 && address_is_private(a, 16);
}

bool
transfer_names_private(const struct url *url)
{
	return url_is_loopback(url) || text_is_private(url->host);
}

/* Every proxy is asked for a tunnel: no CONNECT, no proxy. */
static bool
through_proxy(const struct transfer *t)
{
	long answer = 0;

	curl_easy_getinfo(t->easy, CURLINFO_HTTP_CONNECTCODE, &answer);
	return t->proxied || answer != 0;
}

bool
transfer_private(const struct transfer *t)
{
	char *ip = NULL;

	curl_easy_getinfo(t->easy, CURLINFO_PRIMARY_IP, &ip);
	return ip != NULL && !through_proxy(t) && text_is_private(ip);
}

/*
 * Connected, nothing sent yet.  Only where open_socket() could not know
 * whether the address was a proxy's.
 */
static int
before_request(void *arg, char *ip, _unused_ char *local_ip, _unused_ int port,
    _unused_ int local_port)
{
	struct transfer *t = arg;

	if (through_proxy(t) || !text_is_private(ip))
		return CURL_PREREQFUNC_OK;
	t->refused = true;
	return CURL_PREREQFUNC_ABORT;
}

/*
 * libcurl's own sockets lack CLOEXEC.  This is also the place that sees the
 * address before anything is sent to it, and so refuses private ones; but
 * through a proxy it is the proxy's address, and where the tunnel leads is for
 * the proxy to say.
 */
static curl_socket_t
open_socket(void *arg, _unused_ curlsocktype purpose, struct curl_sockaddr *addr)
{
	struct transfer *t = arg;
	const int on = 1, idle = KEEPALIVE_IDLE, every = KEEPALIVE_EVERY;
	const unsigned user_timeout = USER_TIMEOUT;
	int fd;

	if (t->refuse_private && !t->maybe_proxied && sockaddr_is_private(&addr->addr)) {
		t->refused = true;
		return CURL_SOCKET_BAD;
	}
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

/* --- what TLS says about the end, which libcurl does not tell --- */

static void
on_tls(const SSL *ssl, int where, int value)
{
	struct transfer *t = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));

	if (t != NULL && (where & SSL_CB_READ_ALERT) == SSL_CB_READ_ALERT &&
	    (value & 0xff) != SSL_AD_CLOSE_NOTIFY)
		t->alert = value & 0xff;
}

/* The server asks who we are, and the config names no certificate. */
static int
on_who(SSL *ssl, _unused_ X509 **cert, _unused_ EVP_PKEY **key)
{
	struct transfer *t = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));

	if (t != NULL)
		t->cert_wanted = true;
	return 0;
}

static void
tls_forget(struct transfer *t)
{
	if (t->ctx == NULL)
		return;
	SSL_CTX_set_app_data(t->ctx, NULL);
	SSL_CTX_free(t->ctx);
	t->ctx = NULL;
}

/* libcurl makes one context for each connection. */
static CURLcode
on_context(_unused_ CURL *easy, void *ctx, void *arg)
{
	struct transfer *t = arg;

	tls_forget(t);
	if (SSL_CTX_up_ref(ctx) != 1)
		return CURLE_OUT_OF_MEMORY;
	t->ctx = ctx;
	SSL_CTX_set_app_data(t->ctx, t);
	SSL_CTX_set_info_callback(t->ctx, on_tls);
	SSL_CTX_set_client_cert_cb(t->ctx, on_who);
	return CURLE_OK;
}

static int
set_tls(struct transfer *t, const struct way *way)
{
	CURL *e = t->easy;
	int failed;

	/* FACTS: a CApath switches off the cache of parsed CAs. */
	failed = curl_easy_setopt(e, CURLOPT_CAPATH, NULL);
	failed |= curl_easy_setopt(e, CURLOPT_CAINFO,
	    way->ca_file != NULL ? way->ca_file : SYSTEM_CA);
	failed |= curl_easy_setopt(e, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	failed |= curl_easy_setopt(e, CURLOPT_SSLCERT, way->cert_file);
	failed |= curl_easy_setopt(e, CURLOPT_SSLKEY, way->key_file);
	/* Or OpenSSL asks the terminal for the passphrase of a key that has one. */
	failed |= curl_easy_setopt(e, CURLOPT_KEYPASSWD, "");
	failed |= curl_easy_setopt(e, CURLOPT_SSL_CTX_FUNCTION, on_context);
	failed |= curl_easy_setopt(e, CURLOPT_SSL_CTX_DATA, t);
	return failed != 0 ? -ENOMEM : 0;
}

/*
 * Always set, or libcurl looks at the environment itself; and always a
 * tunnel (FACTS: else a proxy is spoken to as if it were the origin).
 */
static int
set_proxy(struct transfer *t, const char *url, const struct way *way)
{
	CURL *e = t->easy;
	struct way_proxy proxy;
	int failed, r;

	r = way_proxy(way, strncmp(url, "https:", 6) == 0, &proxy);
	if (r == 0) {
		t->maybe_proxied = *proxy.url != '\0';
		t->proxied = t->maybe_proxied && *proxy.except == '\0';
		failed = curl_easy_setopt(e, CURLOPT_PROXY, proxy.url);
		failed |= curl_easy_setopt(e, CURLOPT_NOPROXY, proxy.except);
		failed |= curl_easy_setopt(e, CURLOPT_HTTPPROXYTUNNEL, 1L);
		failed |= curl_easy_setopt(e, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
		failed |= curl_easy_setopt(e, CURLOPT_HEADEROPT, (long)CURLHEADER_SEPARATE);
		if (proxy.credentials.len > 0)
			failed |= curl_easy_setopt(e, CURLOPT_PROXYUSERPWD, proxy.credentials.p);
		r = failed != 0 ? -ENOMEM : 0;
	}
	way_proxy_done(&proxy);
	return r;
}

int
transfer_begin(struct transfer *t, struct connector *c, const char *url, const struct way *way,
    int64_t connect_ms)
{
	CURL *e;
	int failed, r;

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
	/* FACTS: cancelling a hanging lookup would block for 9 s. */
	failed |= curl_easy_setopt(e, CURLOPT_QUICK_EXIT, 1L);
	failed |= curl_easy_setopt(e, CURLOPT_SHARE, c->share);
	failed |= curl_easy_setopt(e, CURLOPT_TCP_NODELAY, 1L);
	failed |= curl_easy_setopt(e, CURLOPT_OPENSOCKETFUNCTION, open_socket);
	failed |= curl_easy_setopt(e, CURLOPT_OPENSOCKETDATA, t);
	if (t->refuse_private) {
		failed |= curl_easy_setopt(e, CURLOPT_PREREQFUNCTION, before_request);
		failed |= curl_easy_setopt(e, CURLOPT_PREREQDATA, t);
	}
	if (failed != 0)
		return -ENOMEM;
	r = set_tls(t, way);
	return r < 0 ? r : set_proxy(t, url, way);
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
	tls_forget(t);
}
