/* The wall's main: arguments, sockets, the loop, and where a request goes. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "wall.h"

struct wall wall;

void
die(const char *fmt, ...)
{
	va_list	ap;

	va_start(ap, fmt);
	fputs("wall: ", stderr);
	vfprintf(stderr, fmt, ap);
	fputc('\n', stderr);
	va_end(ap);
	exit(1);
}

int64_t
now_ms(void)
{
	struct timespec	ts;

	clock_gettime(CLOCK_BOOTTIME, &ts);
	return ts.tv_sec * 1000LL + ts.tv_nsec / 1000000;
}

void
settings_default(struct settings *s)
{
	free(s->expires_in_raw);
	free(s->keep_alive);
	free(s->set_cookie);
	options_clear();
	*s = (struct settings){ .lifetime = 3600 * 1000, .rotate = true, .revoke_on_replay = true,
	    .prime = true, .check_resource = true };
}

static const enum door { DOOR_FIRST, DOOR_OTHER, DOOR_LOCAL } doors[] = {
	DOOR_FIRST, DOOR_OTHER, DOOR_LOCAL
};

static void
on_accept(evutil_socket_t fd, short what _unused_, void *arg)
{
	const enum door *door = arg;
	bool	local = *door == DOOR_LOCAL;
	int	client, one = 1, i;

	for (i = 0; i < 256; i++) {
		client = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (client < 0)
			return;
		if (!local)
			setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		conn_open(client, wall.tls != NULL && !local, local, *door == DOOR_OTHER);
	}
}

static void
watch(int fd, enum door door)
{
	struct event	*ev;

	if (listen(fd, 4096) != 0)
		die("listen: %s", strerror(errno));
	ev = event_new(wall.base, fd, EV_READ | EV_PERSIST, on_accept,
	    (void *)(uintptr_t)&doors[door]);
	if (ev == NULL || event_add(ev, NULL) != 0)
		die("no event for a listener");
}

/* Returns the port. */
static int
listen_tcp(enum door door, char authority[32], char origin[64])
{
	struct sockaddr_in sin = { .sin_family = AF_INET };
	socklen_t	 len = sizeof(sin);
	int		 fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (fd < 0 || bind(fd, (struct sockaddr *)&sin, sizeof(sin)) != 0 ||
	    getsockname(fd, (struct sockaddr *)&sin, &len) != 0)
		die("bind: %s", strerror(errno));
	watch(fd, door);
	snprintf(authority, 32, "127.0.0.1:%d", ntohs(sin.sin_port));
	snprintf(origin, 64, "http%s://%s", wall.tls != NULL ? "s" : "", authority);
	return ntohs(sin.sin_port);
}

static void
listen_unix(const char *path)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int		 fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (strlen(path) >= sizeof(sun.sun_path))
		die("path too long: %s", path);
	strcpy(sun.sun_path, path);
	unlink(path);
	if (fd < 0 || bind(fd, (struct sockaddr *)&sun, sizeof(sun)) != 0)
		die("bind %s: %s", path, strerror(errno));
	watch(fd, DOOR_LOCAL);
}

static int
choose_http1(SSL *ssl _unused_, const unsigned char **out, unsigned char *outlen,
    const unsigned char *in, unsigned inlen, void *arg _unused_)
{
	static const unsigned char	http1[] = "\x08http/1.1";
	unsigned char			*chosen;

	if (SSL_select_next_proto(&chosen, outlen, http1, sizeof(http1) - 1, in, inlen) !=
	    OPENSSL_NPN_NEGOTIATED)
		return SSL_TLSEXT_ERR_NOACK;
	*out = chosen;
	return SSL_TLSEXT_ERR_OK;
}

static void
load_tls(const char *cert, const char *key)
{
	if ((wall.tls = SSL_CTX_new(TLS_server_method())) == NULL ||
	    SSL_CTX_use_certificate_chain_file(wall.tls, cert) != 1 ||
	    SSL_CTX_use_PrivateKey_file(wall.tls, key, SSL_FILETYPE_PEM) != 1)
		die("cannot use %s and %s", cert, key);
	SSL_CTX_set_alpn_select_cb(wall.tls, choose_http1, NULL);
	SSL_CTX_set_mode(wall.tls, SSL_MODE_ENABLE_PARTIAL_WRITE |
	    SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
}

static void
write_port(const char *path)
{
	char	 temp[4096];
	FILE	*f;

	snprintf(temp, sizeof(temp), "%s.new", path);
	if ((f = fopen(temp, "w")) == NULL ||
	    fprintf(f, "%d\n%d\n", wall.port, wall.other_port) < 0 ||
	    fclose(f) != 0 || rename(temp, path) != 0)
		die("%s: %s", path, strerror(errno));
}

static void
on_term(evutil_socket_t sig _unused_, short what _unused_, void *arg _unused_)
{
	exit(0);
}

static void
usage(void)
{
	fputs("usage: wall --port-file F [--secrets-file F] [--control PATH] [--tls CERT KEY]\n",
	    stderr);
	exit(2);
}

struct options { const char *port_file, *secrets, *control, *cert, *key; };

static void
options_read(struct options *o, int argc, char **argv)
{
	static const struct option longs[] = {
		{ "port-file", required_argument, NULL, 'p' },
		{ "secrets-file", required_argument, NULL, 's' },
		{ "control", required_argument, NULL, 'c' },
		{ "tls", required_argument, NULL, 't' },
		{ 0 }
	};
	int	ch;

	while ((ch = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		switch (ch) {
		case 'p':
			o->port_file = optarg;
			break;
		case 's':
			o->secrets = optarg;
			break;
		case 'c':
			o->control = optarg;
			break;
		case 't':
			o->cert = optarg;
			if (optind >= argc)
				usage();
			o->key = argv[optind++];
			break;
		default:
			usage();
		}
	}
	if (optind != argc || o->port_file == NULL)
		usage();
}

int
main(int argc, char **argv)
{
	struct options	 o = { 0 };
	struct rlimit	 rl;
	struct event	*term;

	options_read(&o, argc, argv);
	signal(SIGPIPE, SIG_IGN);
	if (getrlimit(RLIMIT_NOFILE, &rl) == 0) {
		rl.rlim_cur = rl.rlim_max;
		setrlimit(RLIMIT_NOFILE, &rl);
	}
	if (o.secrets != NULL && (wall.secrets = fopen(o.secrets, "ae")) == NULL)
		die("%s: %s", o.secrets, strerror(errno));
	if (o.cert != NULL)
		load_tls(o.cert, o.key);
	settings_default(&wall.set);
	if ((wall.base = event_base_new()) == NULL)
		die("no event base");
	term = evsignal_new(wall.base, SIGTERM, on_term, NULL);
	evsignal_add(term, NULL);
	wall.port = listen_tcp(DOOR_FIRST, wall.authority, wall.origin);
	wall.other_port = listen_tcp(DOOR_OTHER, wall.other_authority, wall.other_origin);
	if (o.control != NULL)
		listen_unix(o.control);
	write_port(o.port_file);
	while (event_base_loop(wall.base, EVLOOP_ONCE) == 0)
		conn_reap();
	return 1;
}

/* The endpoints of an authorization server. */
static const struct endpoint {
	const char		*path;
	enum fault_group	 group;
	void			(*run)(struct conn *);
} endpoints[] = {
	{ "/token", FAULT_TOKEN, oauth_token },
	{ "/revoke", FAULT_REVOKE, oauth_revoke },
	{ "/authorize", FAULT_AUTHORIZE, authorize_request },
	{ "/register", FAULT_REGISTER, client_register },
	{ "/device_authorization", FAULT_DEVICE, device_request },
	{ "/idp/token", FAULT_IDP, idp_token },
};

static bool
is_mcp(const struct conn *c)
{
	return !c->other && strncmp(c->req.path, "/mcp", 4) == 0;
}

static const struct endpoint *
endpoint_of(const struct conn *c)
{
	size_t	i;

	for (i = 0; i < nitems(endpoints); i++) {
		if (strcmp(c->req.path, endpoints[i].path) == 0)
			return &endpoints[i];
	}
	return NULL;
}

void
route_head(struct conn *c, const struct http1_head *head)
{
	const struct endpoint	*e = endpoint_of(c);

	if (strncmp(c->req.path, "/_wall/", 7) == 0)
		return;
	count_fields(c, head);
	if (is_mcp(c)) {
		if (c->req.key[0] != '\0')
			count_send(c, c->req.key, true);
		fault_at_head(c, FAULT_MCP);
	} else if (e != NULL) {
		fault_at_head(c, e->group);
	} else if (metadata_asked(c)) {
		fault_at_head(c, FAULT_METADATA);
	}
}

void
route_request(struct conn *c)
{
	const struct endpoint	*e = endpoint_of(c);

	seen_request(c);
	if (strncmp(c->req.path, "/_wall/", 7) == 0)
		control_request(c);
	else if (is_mcp(c) && !metadata_asked(c))
		mcp_request(c);
	else if (e != NULL)
		e->run(c);
	else if (metadata_asked(c))
		metadata_answer(c);
	else
		answer_text(c, 404, "text/plain", "not found\n");
}
