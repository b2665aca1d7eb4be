#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include <check.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "address.h"
#include "scripted.h"
#include "url.h"

#define PEERS_MAX	256

struct peer {
	struct server	*server;
	pthread_t	 thread;
	int		 nth;
	int		 fd;
	SSL		*ssl;
	char		 got[256 * 1024];
	size_t		 ngot;
};

struct server {
	enum server_kind kind;
	script_fn	 script;
	int		 lfd;
	char		 address[64];
	int		 port;
	pthread_t	 thread;
	SSL_CTX		*ctx;
	char		 ca[64];
	struct peer	*peers[PEERS_MAX];
	atomic_int	 npeers;
};

static X509 *
make_certificate(enum server_kind kind, EVP_PKEY *key)
{
	const char *names = kind == TLS_OTHER_NAME ? "DNS:other.example" :
	    "IP:127.0.0.1,DNS:localhost";
	X509_EXTENSION *ext;
	X509 *x = X509_new();

	X509_set_version(x, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(x), 1);
	X509_gmtime_adj(X509_getm_notBefore(x), -7200);
	X509_gmtime_adj(X509_getm_notAfter(x), kind == TLS_EXPIRED ? -3600 : 3600);
	X509_set_pubkey(x, key);
	X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC,
	    (const unsigned char *)"mcp-authd test", -1, -1, 0);
	X509_set_issuer_name(x, X509_get_subject_name(x));
	ext = X509V3_EXT_conf_nid(NULL, NULL, NID_basic_constraints, "critical,CA:TRUE");
	X509_add_ext(x, ext, -1);
	X509_EXTENSION_free(ext);
	ext = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, names);
	X509_add_ext(x, ext, -1);
	X509_EXTENSION_free(ext);
	ck_assert_int_ne(X509_sign(x, key, EVP_sha256()), 0);
	return x;
}

static void
make_tls(struct server *s)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *x = make_certificate(s->kind, key);
	FILE *f;
	int fd;

	snprintf(s->ca, sizeof(s->ca), "/tmp/mcp-authd-test-XXXXXX");
	fd = mkstemp(s->ca);
	ck_assert_int_ne(fd, -1);
	f = fdopen(fd, "w");
	PEM_write_X509(f, x);
	fclose(f);
	s->ctx = SSL_CTX_new(TLS_server_method());
	SSL_CTX_set_session_id_context(s->ctx, (const unsigned char *)"t", 1);
	ck_assert_int_eq(SSL_CTX_use_certificate(s->ctx, x), 1);
	ck_assert_int_eq(SSL_CTX_use_PrivateKey(s->ctx, key), 1);
	if (s->kind == TLS_NO_TICKETS)
		SSL_CTX_set_num_tickets(s->ctx, 0);
	X509_free(x);
	EVP_PKEY_free(key);
}

static void *
peer_main(void *arg)
{
	struct peer *p = arg;
	struct timeval limit = { .tv_sec = 20 };

	setsockopt(p->fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	setsockopt(p->fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
	if (p->server->ctx != NULL) {
		p->ssl = SSL_new(p->server->ctx);
		SSL_set_fd(p->ssl, p->fd);
		if (SSL_accept(p->ssl) != 1) {
			ERR_clear_error();
			goto out;
		}
	}
	p->server->script(p, p->nth);
	if (p->ssl != NULL && p->fd != -1)
		SSL_shutdown(p->ssl);
out:
	SSL_free(p->ssl);
	if (p->fd != -1)
		close(p->fd);
	return NULL;
}

static void *
server_main(void *arg)
{
	struct server *s = arg;
	struct peer *p;
	int fd;

	while ((fd = accept(s->lfd, NULL, NULL)) != -1) {
		ck_assert_int_lt(s->npeers, PEERS_MAX);
		p = calloc(1, sizeof(*p));
		p->server = s;
		p->fd = fd;
		p->nth = s->npeers;
		s->peers[s->npeers++] = p;	/* counted before it can answer */
		pthread_create(&p->thread, NULL, peer_main, p);
	}
	return NULL;
}

static int
bind_any(const char *address, int *ret_port)
{
	struct sockaddr_in sin = { .sin_family = AF_INET };
	socklen_t len = sizeof(sin);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	ck_assert_int_eq(inet_pton(AF_INET, address, &sin.sin_addr), 1);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&sin, sizeof(sin)), 0);
	getsockname(fd, (struct sockaddr *)&sin, &len);
	*ret_port = ntohs(sin.sin_port);
	return fd;
}

bool
own_name(char name[64], char address[16])
{
	struct addrinfo hints = { .ai_family = AF_INET, .ai_socktype = SOCK_STREAM }, *ai = NULL;
	const struct in_addr *a;
	bool good = false;

	if (gethostname(name, 64) == 0 && !host_is_loopback(name, strlen(name)) &&
	    getaddrinfo(name, NULL, &hints, &ai) == 0) {
		a = &((struct sockaddr_in *)ai->ai_addr)->sin_addr;
		good = address_is_private((const unsigned char *)a, 4) &&
		    inet_ntop(AF_INET, a, address, 16) != NULL;
		freeaddrinfo(ai);
	}
	if (!good)
		printf("SKIP: the name of this machine leads to no private address\n");
	return good;
}

int
closed_port(void)
{
	int port;

	close(bind_any("127.0.0.1", &port));
	return port;
}

struct server *
server_start(enum server_kind kind, script_fn script)
{
	return server_start_at("127.0.0.1", kind, script);
}

struct server *
server_start_at(const char *address, enum server_kind kind, script_fn script)
{
	struct server *s = calloc(1, sizeof(*s));

	s->kind = kind;
	s->script = script;
	if (kind != PLAIN)
		make_tls(s);
	snprintf(s->address, sizeof(s->address), "%s", address);
	s->lfd = bind_any(address, &s->port);
	ck_assert_int_eq(listen(s->lfd, 64), 0);
	ck_assert_int_eq(pthread_create(&s->thread, NULL, server_main, s), 0);
	return s;
}

const char *
server_url(const struct server *s, const char *path)
{
	static char url[128];

	snprintf(url, sizeof(url), "http%s://%s:%d%s", s->ctx != NULL ? "s" : "",
	    s->address, s->port, path);
	return url;
}

const char *
server_ca(const struct server *s)
{
	return s->ca;
}

int
server_connections(const struct server *s)
{
	return s->npeers;
}

void
server_stop(struct server *s)
{
	int i;

	shutdown(s->lfd, SHUT_RDWR);
	pthread_join(s->thread, NULL);
	close(s->lfd);
	for (i = 0; i < s->npeers; i++) {
		pthread_join(s->peers[i]->thread, NULL);
		free(s->peers[i]);
	}
	if (s->ctx != NULL)
		unlink(s->ca);
	SSL_CTX_free(s->ctx);
	free(s);
}

static ssize_t
peer_read(struct peer *p, char *out, size_t size)
{
	int n;

	if (p->ssl == NULL)
		return read(p->fd, out, size);
	n = SSL_read(p->ssl, out, (int)size);
	if (n <= 0) {
		n = SSL_get_error(p->ssl, n) == SSL_ERROR_ZERO_RETURN ? 0 : -1;
		ERR_clear_error();
	}
	return n;
}

bool
peer_expect(struct peer *p, const char *text)
{
	char *hit;
	ssize_t n;
	size_t upto;

	while ((hit = memmem(p->got, p->ngot, text, strlen(text))) == NULL) {
		n = peer_read(p, p->got + p->ngot, sizeof(p->got) - p->ngot);
		if (n <= 0)
			return false;
		p->ngot += n;
	}
	upto = hit - p->got + strlen(text);
	p->ngot -= upto;
	memmove(p->got, p->got + upto, p->ngot);
	return true;
}

bool
peer_request(struct peer *p, char *out, size_t size)
{
	size_t want = SIZE_MAX;
	const char *length;
	char *end;
	ssize_t n;

	for (;;) {
		p->got[p->ngot] = '\0';
		end = want == SIZE_MAX ? strstr(p->got, "\r\n\r\n") : NULL;
		if (end != NULL) {
			length = strcasestr(p->got, "\r\nContent-Length:");
			want = end + 4 - p->got;
			if (length != NULL && length < end)
				want += strtoul(length + strlen("\r\nContent-Length:"), NULL, 10);
		}
		if (p->ngot >= want || p->ngot + 1 >= sizeof(p->got))
			break;
		n = peer_read(p, p->got + p->ngot, sizeof(p->got) - 1 - p->ngot);
		if (n <= 0)
			return false;
		p->ngot += n;
	}
	if (want >= size || p->ngot < want)
		return false;
	memcpy(out, p->got, want);
	out[want] = '\0';
	p->ngot -= want;
	memmove(p->got, p->got + want, p->ngot);
	return true;
}

bool
peer_skip(struct peer *p, size_t n)
{
	size_t part = MIN(n, p->ngot);
	ssize_t got;

	p->ngot -= part;
	memmove(p->got, p->got + part, p->ngot);
	for (n -= part; n > 0; n -= got) {
		got = peer_read(p, p->got + p->ngot, MIN(n, sizeof(p->got) - p->ngot));
		if (got <= 0)
			return false;
	}
	return true;
}

bool
peer_wait_end(struct peer *p)
{
	char dump[4096];
	ssize_t n;

	while ((n = peer_read(p, dump, sizeof(dump))) > 0)
		;
	return n == 0;
}

void
peer_write(struct peer *p, const char *s, size_t n)
{
	ssize_t put;

	while (n > 0) {
		put = p->ssl != NULL ? SSL_write(p->ssl, s, (int)MIN(n, 1 << 20)) :
		    send(p->fd, s, n, MSG_NOSIGNAL);
		if (put <= 0) {
			ERR_clear_error();
			return;
		}
		s += put;
		n -= put;
	}
}

void
peer_say(struct peer *p, const char *text)
{
	peer_write(p, text, strlen(text));
}

bool
peer_resumed(const struct peer *p)
{
	return SSL_session_reused(p->ssl) == 1;
}

void
peer_ticket(struct peer *p)
{
	ck_assert_int_eq(SSL_new_session_ticket(p->ssl), 1);
	ck_assert_int_eq(SSL_do_handshake(p->ssl), 1);
}

void
peer_cut(struct peer *p)
{
	close(p->fd);
	p->fd = -1;
}

void
peer_reset(struct peer *p)
{
	struct linger hard = { .l_onoff = 1, .l_linger = 0 };

	setsockopt(p->fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
	peer_cut(p);
}

static void
expired(void *arg)
{
	loop_stop(arg);
}

void
run_until(struct loop *loop, const bool *done)
{
	struct timer limit;

	timer_init(&limit, loop, expired, loop);
	timer_set(&limit, 10 * SEC);
	while (!*done && limit.at != 0)
		loop_run(loop);
	timer_clear(&limit);
	ck_assert_msg(*done, "nothing happened within 10 s");
}

void
run_for(struct loop *loop, int64_t ms)
{
	struct timer limit;

	timer_init(&limit, loop, expired, loop);
	timer_set(&limit, ms);
	while (limit.at != 0)
		loop_run(loop);
}
