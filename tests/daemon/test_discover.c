/*
 * daemon/discover against servers on loopback, and (in a network namespace of
 * its own, where that is permitted) on a public address: WIRE A1, A3, A15, A18,
 * contract C7.
 */
#include <arpa/inet.h>
#include <net/if.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <check.h>
#include <curl/curl.h>

#include "discover.h"
#include "scripted.h"

#define PRM_AT		"/.well-known/oauth-protected-resource"
#define AS_AT		"/.well-known/oauth-authorization-server"
#define PUBLIC		"11.1.1.1"	/* of no range that lib/address knows */

static struct loop *loop;
static struct connector *connector;
static struct config_upstream u;
static struct server *mcp, *as;		/* two origins, one web */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* What is served at which path; others are 404.  Under lock. */
static struct page {
	char	path[128];
	char	*answer;		/* whole; NULL: none at all */
} web[16];
static size_t npages;
static char asked[16384];		/* request lines, each with '\n'; under lock */
static char requests[64][4096];		/* whole; under lock */
static int nrequests;

static struct {
	bool	 done, ok, mismatch, has_result;
	struct discovery_result res;
	int64_t	 date;
	char	 why[1024];
	char	 steps[4096];
	struct discover *cancel_in_step;
} got;

static void
browse(struct peer *p, _unused_ int nth)
{
	char request[4096], path[256] = "";
	char *reply = NULL;
	bool found = false;
	size_t i;

	if (!peer_request(p, request, sizeof(request)))
		return;
	(void)sscanf(request, "%*s %255s", path);
	pthread_mutex_lock(&lock);
	snprintf(asked + strlen(asked), sizeof(asked) - strlen(asked), "%.*s\n",
	    (int)strcspn(request, " "), request);
	snprintf(asked + strlen(asked) - 1, sizeof(asked) - strlen(asked), " %s\n", path);
	snprintf(requests[nrequests++ % 64], sizeof(requests[0]), "%s", request);
	for (i = 0; i < npages && !found; i++) {
		found = strcmp(web[i].path, path) == 0;
		if (found && web[i].answer != NULL)
			reply = strdup(web[i].answer);
	}
	pthread_mutex_unlock(&lock);
	if (!found)
		peer_say(p, "HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n");
	else if (reply != NULL)
		peer_say(p, reply);
	/* No answer; or a head that says that more comes, although nothing does. */
	if (found && (reply == NULL || strstr(reply, "event-stream") != NULL))
		(void)peer_wait_end(p);
	free(reply);
}

static void	serve(const char *path, const char *fmt, ...) _printf_(2, 3);

/* From now on; fmt NULL: no answer comes. */
static void
serve(const char *path, const char *fmt, ...)
{
	char *answer = NULL;
	va_list ap;
	size_t i;

	if (fmt != NULL) {
		va_start(ap, fmt);
		ck_assert_int_ge(vasprintf(&answer, fmt, ap), 0);
		va_end(ap);
	}
	pthread_mutex_lock(&lock);
	for (i = 0; i < npages && strcmp(web[i].path, path) != 0; i++)
		;
	ck_assert_uint_lt(i, nitems(web));
	npages = MAX(npages, i + 1);
	snprintf(web[i].path, sizeof(web[i].path), "%s", path);
	free(web[i].answer);
	web[i].answer = answer;
	pthread_mutex_unlock(&lock);
}

static void
serve_json(const char *path, const char *json)
{
	serve(path, "HTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
	    "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s", strlen(json), json);
}

static void
redirect(const char *path, const char *to)
{
	serve(path, "HTTP/1.1 302 Found\r\nLocation: %s\r\nContent-Length: 0\r\n\r\n", to);
}

static void
serve_resource(const char *path, const char *issuer)
{
	char json[1024];
	int n;

	/* The issuer first: server_url() has one buffer. */
	n = snprintf(json, sizeof(json), "{\"authorization_servers\":[\"%s\"],", issuer);
	snprintf(json + n, sizeof(json) - n, "\"resource\":\"%s\"}", server_url(mcp, "/mcp"));
	serve_json(path, json);
}

/* The authorization server's own metadata, for `as`. */
static void
serve_server_at(const char *path, const char *authorization_endpoint)
{
	char json[1024], origin[256];

	snprintf(origin, sizeof(origin), "%s", server_url(as, ""));
	snprintf(json, sizeof(json), "{\"issuer\":\"%s\",\"authorization_endpoint\":\"%s\","
	    "\"token_endpoint\":\"%s/token\"}", origin, authorization_endpoint, origin);
	serve_json(path, json);
}

static void
serve_server(const char *authorization_endpoint)
{
	serve_server_at(AS_AT, authorization_endpoint);
}

/* A challenge that names metadata at `url`. */
static void
serve_challenge(const char *url)
{
	serve("/mcp", "HTTP/1.1 401 No\r\nWWW-Authenticate: Basic realm=\"x\"\r\n"
	    "WWW-Authenticate: Bearer resource_metadata=\"%s\", scope=\"read\"\r\n"
	    "Content-Length: 0\r\n\r\n", url);
}

static void
good_web(void)
{
	serve_resource(PRM_AT "/mcp", server_url(as, ""));
	serve_server("https://as.example/authorize");
}

static void
on_step(_unused_ void *arg, const char *words)
{
	size_t n = strlen(got.steps);

	snprintf(got.steps + n, sizeof(got.steps) - n, "%s\n", words);
	discover_cancel(got.cancel_in_step);
}

static void
on_done(_unused_ void *arg, struct discover_reply *r)
{
	ck_assert(!got.done);
	got.done = true;
	got.ok = r->ok;
	got.mismatch = r->mismatch;
	got.date = r->date;
	got.has_result = r->result != NULL;
	ck_assert_int_eq(r->ok, r->why == NULL);
	if (r->result != NULL) {
		got.res = *r->result;
		*r->result = (struct discovery_result){ 0 };
	}
	snprintf(got.why, sizeof(got.why), "%s", r->why != NULL ? r->why : "");
	loop_stop(loop);
}

static struct discover *
start(const struct challenge *known, const char *issuer, int64_t timeout)
{
	struct discover_request r = {
		.config = &u,
		.known = known,
		.issuer = issuer,
		.timeout_ms = timeout,
		.step = on_step,
		.done = on_done,
	};
	struct discover *d;

	discovery_result_free(&got.res);
	memset(&got, 0, sizeof(got));
	pthread_mutex_lock(&lock);
	asked[0] = '\0';
	nrequests = 0;
	pthread_mutex_unlock(&lock);
	d = discover_start(connector, &r);
	ck_assert_ptr_nonnull(d);
	ck_assert(!got.done);
	return d;
}

static void
discover(void)
{
	(void)start(NULL, NULL, 5 * SEC);
	run_until(loop, &got.done);
	run_for(loop, 1);
}

static void
expect_failed(const char *words, const char *requested)
{
	discover();
	ck_assert_msg(!got.ok && strstr(got.why, words) != NULL, "\"%s\" is not in \"%s\"", words,
	    got.why);
	ck_assert(!got.has_result);
	ck_assert_str_eq(asked, requested);
}

static void
upstream_at(const char *url)
{
	url_free(&u.url);
	ck_assert_int_eq(url_parse(url, strlen(url), &u.url), 0);
}

/* --- the whole walk --- */

START_TEST(walk)
{
	char header_lines[] = "X-Team: core\r\nX-Key: k\r\n";
	char wanted[256];

	good_web();
	serve_challenge(server_url(mcp, "/meta"));
	serve_resource("/meta", server_url(as, ""));
	u.header_lines = header_lines;
	discover();
	ck_assert_msg(got.ok, "%s", got.why);
	ck_assert_str_eq(asked, "POST /mcp\nGET /meta\nGET " AS_AT "\n");
	/* The probe provokes the challenge: as a client would, but without a token. */
	ck_assert_ptr_nonnull(strstr(requests[0],
	    "\r\nAccept: application/json, text/event-stream\r\n"));
	ck_assert_ptr_nonnull(strstr(requests[0], "\r\nContent-Type: application/json\r\n"));
	ck_assert_ptr_nonnull(strstr(requests[0],
	    "\r\n\r\n{\"jsonrpc\":\"2.0\",\"id\":\"mcp-authd\",\"method\":\"ping\"}"));
	ck_assert_ptr_null(strcasestr(requests[0], "\nAuthorization:"));
	/* The config's headers go to the MCP origin, and nowhere else. */
	ck_assert_ptr_nonnull(strstr(requests[0], "\r\nX-Team: core\r\nX-Key: k\r\n"));
	ck_assert_ptr_nonnull(strstr(requests[1], "\r\nX-Team: core\r\n"));
	ck_assert_ptr_nonnull(strstr(requests[1], "\r\nAccept: application/json\r\n"));
	ck_assert_ptr_null(strstr(requests[2], "X-"));
	ck_assert_str_eq(got.res.issuer, server_url(as, ""));
	snprintf(wanted, sizeof(wanted), "%s", server_url(as, "/token"));
	ck_assert_str_eq(got.res.token_endpoint, wanted);
	ck_assert_str_eq(got.res.scope, "read");
	ck_assert(!got.res.refuse_private);
	ck_assert_int_eq(got.date, 784111777LL * SEC);
	snprintf(wanted, sizeof(wanted), "\nreading the protected-resource metadata at %s\n",
	    server_url(mcp, "/meta"));
	ck_assert_ptr_nonnull(strstr(got.steps, wanted));
}
END_TEST

/* A server may answer a ping with a stream that never ends: its head is enough. */
START_TEST(endless_probe)
{
	serve("/mcp", "HTTP/1.1 %s\r\nContent-Type: text/event-stream\r\n%s\r\n",
	    _i == 0 ? "200 OK" : "401 No", _i == 0 ? "" :
	    "WWW-Authenticate: Bearer scope=\"read\"\r\n");
	good_web();
	discover();
	ck_assert_msg(got.ok, "%s", got.why);
	ck_assert(_i == 0 ? got.res.scope == NULL : strcmp(got.res.scope, "read") == 0);
}
END_TEST

START_TEST(a18_no_metadata)
{
	discover();
	ck_assert_msg(got.ok && got.res.bare, "%s", got.why);
	ck_assert_str_eq(asked, "POST /mcp\nGET " PRM_AT "/mcp\nGET " PRM_AT "\nGET " AS_AT "\n"
	    "GET /.well-known/openid-configuration\n");
}
END_TEST

START_TEST(not_reached)
{
	char url[64];

	snprintf(url, sizeof(url), "http://127.0.0.1:%d/mcp", closed_port());
	upstream_at(url);
	expect_failed("the MCP server cannot be reached: connection refused", "");
	/* The authorization server. */
	upstream_at(server_url(mcp, "/mcp"));
	snprintf(url, sizeof(url), "http://127.0.0.1:%d", closed_port());
	serve_resource(PRM_AT "/mcp", url);
	expect_failed("connection refused", "POST /mcp\nGET " PRM_AT "/mcp\n");
	ck_assert_ptr_nonnull(strstr(got.why, url));
}
END_TEST

/* --- redirects --- */

START_TEST(a15_redirects_followed)
{
	char header_lines[] = "X-Key: k\r\n", to[128];

	u.header_lines = header_lines;
	redirect(PRM_AT "/mcp", "/one?x=1#part");
	redirect("/one?x=1", "two");
	snprintf(to, sizeof(to), "%s", server_url(as, "/three"));
	redirect("/two", to);
	serve_resource("/three", server_url(as, ""));
	serve_server_at("/moved", "https://as.example/authorize");
	redirect(AS_AT, "/moved");	/* each document has its own three */
	discover();
	ck_assert_msg(got.ok, "%s", got.why);
	ck_assert_str_eq(asked, "POST /mcp\nGET " PRM_AT "/mcp\nGET /one?x=1\nGET /two\nGET /three\n"
	    "GET " AS_AT "\nGET /moved\n");
	ck_assert_ptr_nonnull(strstr(requests[3], "X-Key"));
	ck_assert_ptr_null(strstr(requests[4], "X-Key"));	/* another origin */
	/* The document is known by the place where it is announced. */
	ck_assert_str_eq(got.res.resource_metadata, server_url(mcp, PRM_AT "/mcp"));
}
END_TEST

START_TEST(a15_redirect_loop)
{
	redirect(PRM_AT "/mcp", PRM_AT "/mcp");
	expect_failed("it redirects again and again", "POST /mcp\nGET " PRM_AT "/mcp\n"
	    "GET " PRM_AT "/mcp\nGET " PRM_AT "/mcp\nGET " PRM_AT "/mcp\n");
}
END_TEST

START_TEST(a15_redirects_refused)
{
	static const struct {
		const char *to, *why;
	} hops[] = {
		{ "http://192.0.2.1/x", "it redirects to plain http" },
		{ "http://mcp.example/x", "it redirects to plain http" },
		{ "//mcp.example/x", "it redirects to plain http" },
		{ "ftp://127.0.0.1/x", "it redirects to what is no http URL" },
		{ "file:///etc/passwd", "it redirects to what is no http URL" },
		{ "http://u:p@127.0.0.1/x", "it redirects to what is no http URL" },
	};

	redirect(PRM_AT "/mcp", hops[_i].to);
	expect_failed(hops[_i].why, "POST /mcp\nGET " PRM_AT "/mcp\n");
}
END_TEST

/* Nobody says where: as if there were nothing. */
START_TEST(redirect_to_nowhere)
{
	serve(PRM_AT "/mcp", "HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n");
	serve_resource(PRM_AT, server_url(as, ""));
	serve_server("https://as.example/authorize");
	discover();
	ck_assert_msg(got.ok, "%s", got.why);
	ck_assert_str_eq(asked, "POST /mcp\nGET " PRM_AT "/mcp\nGET " PRM_AT "\nGET " AS_AT "\n");
}
END_TEST

/* Python servers send /mcp on to /mcp/; elsewhere the endpoint cannot be. */
START_TEST(probe_redirected)
{
	char to[128];

	good_web();
	serve("/mcp", "HTTP/1.1 307 There\r\nLocation: /mcp/\r\nContent-Length: 0\r\n\r\n");
	serve("/mcp/", "HTTP/1.1 401 No\r\nWWW-Authenticate: Bearer scope=\"read\"\r\n"
	    "Content-Length: 0\r\n\r\n");
	discover();
	ck_assert_msg(got.ok, "%s", got.why);
	ck_assert_str_eq(asked, "POST /mcp\nPOST /mcp/\nGET " PRM_AT "/mcp\nGET " AS_AT "\n");
	ck_assert_str_eq(got.res.scope, "read");
	snprintf(to, sizeof(to), "%s", server_url(as, "/mcp/"));
	serve("/mcp", "HTTP/1.1 307 There\r\nLocation: %s\r\nContent-Length: 0\r\n\r\n", to);
	discover();
	ck_assert_msg(got.ok, "%s", got.why);
	ck_assert_str_eq(asked, "POST /mcp\nGET " PRM_AT "/mcp\nGET " AS_AT "\n");
}
END_TEST

/* --- bad servers --- */

START_TEST(slow)
{
	int64_t before = loop_now(loop).boot, took;

	serve(PRM_AT "/mcp", NULL);
	(void)start(NULL, NULL, 300);
	run_until(loop, &got.done);
	took = loop_now(loop).boot - before;
	ck_assert(!got.ok);
	ck_assert_ptr_nonnull(strstr(got.why, "no answer in time"));
	ck_assert_ptr_nonnull(strstr(got.why, PRM_AT "/mcp"));
	ck_assert_int_ge(took, 250);
	ck_assert_int_lt(took, 5 * SEC);
}
END_TEST

START_TEST(oversized)
{
	char *json = malloc(METADATA_BODY + 2);

	memset(json, ' ', METADATA_BODY + 1);
	json[METADATA_BODY + 1] = '\0';
	serve_json(PRM_AT "/mcp", json);
	free(json);
	expect_failed("the answer's body is too large", "POST /mcp\nGET " PRM_AT "/mcp\n");
}
END_TEST

START_TEST(cut)
{
	serve(PRM_AT "/mcp", "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"resource\":");
	expect_failed("the answer was cut", "POST /mcp\nGET " PRM_AT "/mcp\n");
}
END_TEST

START_TEST(cancelled)
{
	serve(PRM_AT "/mcp", NULL);
	discover_cancel(start(NULL, NULL, SEC));
	run_for(loop, 20);
	ck_assert_str_eq(asked, "");
	got.cancel_in_step = start(NULL, NULL, SEC);
	run_for(loop, 20);
	ck_assert_str_eq(asked, "");
	discover_cancel(NULL);
	{
		struct discover *d = start(NULL, NULL, 10 * SEC);

		run_for(loop, 100);
		discover_cancel(d);
		run_for(loop, 20);
	}
	ck_assert(!got.done);
}
END_TEST

/* --- C7 --- */

START_TEST(c7_verify)
{
	good_web();
	(void)start(NULL, server_url(as, ""), 5 * SEC);
	run_until(loop, &got.done);
	ck_assert_msg(got.ok && !got.mismatch && !got.has_result, "%s", got.why);
	ck_assert_str_eq(asked, "GET " PRM_AT "/mcp\n");
	(void)start(NULL, "https://old.example", 5 * SEC);
	run_until(loop, &got.done);
	ck_assert(got.ok && got.mismatch);
	/* Not read: no mismatch. */
	serve(PRM_AT "/mcp", "HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n");
	(void)start(NULL, "https://old.example", 5 * SEC);
	run_until(loop, &got.done);
	ck_assert(!got.ok && !got.mismatch);
}
END_TEST

/* An identity provider's metadata: none of the upstream's headers, and no question of A15. */
START_TEST(a20_server)
{
	char header_lines[] = "X-Key: k\r\n", url[128];
	struct discover_request r = { .config = &u, .timeout_ms = 5 * SEC, .done = on_done };

	upstream_at("https://mcp.example/mcp");
	u.header_lines = header_lines;
	serve_server("https://as.example/authorize");
	snprintf(url, sizeof(url), "%s", server_url(as, ""));
	r.server = url;
	ck_assert_ptr_nonnull(discover_start(connector, &r));
	run_until(loop, &got.done);
	ck_assert_msg(got.ok && !got.res.refuse_private, "%s", got.why);
	ck_assert_str_eq(asked, "GET " AS_AT "\n");
	ck_assert_ptr_null(strstr(requests[0], "X-Key"));
	ck_assert_str_eq(got.res.token_endpoint, server_url(as, "/token"));
}
END_TEST

/* --- A15: private addresses --- */

/* A network of our own, where PUBLIC is ours; false where that is not permitted. */
static bool
own_network(void)
{
	struct sockaddr_in *sin;
	struct ifreq ifr;
	bool good;
	int fd;

	if (unshare(CLONE_NEWNET) == -1)
		return false;
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	memset(&ifr, 0, sizeof(ifr));
	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "lo");
	ifr.ifr_flags = IFF_UP | IFF_LOOPBACK | IFF_RUNNING;
	good = ioctl(fd, SIOCSIFFLAGS, &ifr) == 0;
	memset(&ifr, 0, sizeof(ifr));
	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "lo:1");
	sin = (struct sockaddr_in *)&ifr.ifr_addr;
	sin->sin_family = AF_INET;
	ck_assert_int_eq(inet_pton(AF_INET, PUBLIC, &sin->sin_addr), 1);
	good = good && ioctl(fd, SIOCSIFADDR, &ifr) == 0;
	close(fd);
	return good;
}

/* The MCP server at one address, the authorization server at another.  False: skip. */
static bool
servers_at(const char *mcp_address, const char *as_address)
{
	server_stop(mcp);
	server_stop(as);
	mcp = as = NULL;
	if (!own_network()) {
		printf("SKIP: no network namespace of our own is permitted here (needs root)\n");
		return false;
	}
	mcp = server_start_at(mcp_address, PLAIN, browse);
	as = server_start_at(as_address, PLAIN, browse);
	upstream_at(server_url(mcp, "/mcp"));
	u.allow_insecure = true;
	return true;
}

#define REFUSED	"it leads from a public server to a private address"

START_TEST(a15_public_to_private_is_refused)
{
	if (!servers_at(PUBLIC, "127.0.0.1"))
		return;
	good_web();
	expect_failed(REFUSED, "POST /mcp\nGET " PRM_AT "/mcp\n");
	ck_assert_ptr_nonnull(strstr(got.why, "oauth.allowPrivate"));
	ck_assert_int_eq(server_connections(as), 0);
	u.oauth.allow_private = true;
	discover();
	ck_assert_msg(got.ok && !got.res.refuse_private, "%s", got.why);
}
END_TEST

/* The same by a name that leads there, checked on the connected address. */
START_TEST(a15_by_name)
{
	char issuer[128], name[64], address[16];

	if (!own_name(name, address) || !servers_at(PUBLIC, "127.0.0.1"))
		return;
	snprintf(issuer, sizeof(issuer), "http://%s%s", name, strrchr(server_url(as, ""), ':'));
	serve_resource(PRM_AT "/mcp", issuer);
	expect_failed(REFUSED, "POST /mcp\nGET " PRM_AT "/mcp\n");
	ck_assert_int_eq(server_connections(as), 0);
}
END_TEST

START_TEST(a15_redirect_inside_is_refused)
{
	char to[128];

	if (!servers_at(PUBLIC, "127.0.0.1"))
		return;
	snprintf(to, sizeof(to), "%s", server_url(as, "/latest/meta-data"));
	redirect(PRM_AT "/mcp", to);
	expect_failed(REFUSED, "POST /mcp\nGET " PRM_AT "/mcp\n");
	ck_assert_int_eq(server_connections(as), 0);
	/* And so is metadata that a challenge names there. */
	serve_challenge(to);
	expect_failed(REFUSED, "POST /mcp\n");
	ck_assert_int_eq(server_connections(as), 0);
}
END_TEST

START_TEST(a15_private_to_private)
{
	if (!servers_at("127.0.0.1", "127.0.0.2"))
		return;
	good_web();
	discover();
	ck_assert_msg(got.ok && !got.res.refuse_private, "%s", got.why);
}
END_TEST

/* Nothing was connected yet: a private literal address tells as much. */
START_TEST(a15_private_by_literal)
{
	struct challenge known = { .bearer = true };
	char meta[128];

	snprintf(meta, sizeof(meta), "%s", server_url(as, "/meta"));
	known.resource_metadata = meta;
	serve_resource("/meta", server_url(as, ""));
	serve_server("https://as.example/authorize");
	(void)start(&known, NULL, 5 * SEC);
	run_until(loop, &got.done);
	ck_assert_msg(got.ok && !got.res.refuse_private, "%s", got.why);
}
END_TEST

/* A name does not; but the MCP server's own origin may always be asked, and then tells. */
START_TEST(a15_private_by_connection)
{
	char name[64], address[16], url[128];

	if (!own_name(name, address))
		return;
	server_stop(mcp);
	mcp = server_start_at(address, PLAIN, browse);
	snprintf(url, sizeof(url), "http://%s%s", name, strrchr(server_url(mcp, "/mcp"), ':'));
	upstream_at(url);
	u.allow_insecure = true;
	serve(PRM_AT "/mcp", "HTTP/1.1 200 OK\r\n\r\n{\"resource\":\"%s\","
	    "\"authorization_servers\":[\"%s\"]}", url, server_url(as, ""));
	serve_server("https://as.example/authorize");
	(void)start(NULL, server_url(as, ""), 5 * SEC);
	run_until(loop, &got.done);
	ck_assert_msg(got.ok && !got.mismatch, "%s", got.why);
	discover();
	ck_assert_msg(got.ok && !got.res.refuse_private, "%s", got.why);
}
END_TEST

/* What comes later is told: the token endpoint may lead elsewhere than the metadata. */
START_TEST(a15_public_to_public)
{
	if (!servers_at(PUBLIC, PUBLIC))
		return;
	good_web();
	discover();
	ck_assert_msg(got.ok && got.res.refuse_private, "%s", got.why);
	serve_server("https://127.0.0.1/authorize");
	expect_failed("the authorization endpoint is a private address", "POST /mcp\nGET " PRM_AT
	    "/mcp\nGET " AS_AT "\n");
	u.oauth.allow_private = true;
	discover();
	ck_assert_msg(got.ok && !got.res.refuse_private, "%s", got.why);
}
END_TEST

/* With a challenge known nothing need be connected to the MCP origin: its name decides. */
START_TEST(a15_judged_by_name)
{
	struct challenge known = { .bearer = true };
	char meta[128];

	if (!servers_at(PUBLIC, "127.0.0.1"))
		return;
	snprintf(meta, sizeof(meta), "%s", server_url(as, "/meta"));
	known.resource_metadata = meta;
	serve_resource("/meta", server_url(as, ""));
	serve_server("https://as.example/authorize");
	(void)start(&known, NULL, 5 * SEC);
	run_until(loop, &got.done);
	ck_assert_msg(!got.ok && strstr(got.why, REFUSED) != NULL, "%s", got.why);
	ck_assert_str_eq(asked, "");
	(void)start(&known, "https://any.example", 5 * SEC);	/* VERIFY keeps the rule */
	run_until(loop, &got.done);
	ck_assert(!got.ok && !got.mismatch);
	ck_assert_str_eq(asked, "");
}
END_TEST

static void
setup(void)
{
	signal(SIGPIPE, SIG_IGN);
	curl_global_init(CURL_GLOBAL_DEFAULT);
	loop = loop_new();
	connector = connector_new(loop);
	ck_assert_ptr_nonnull(connector);
	memset(&u, 0, sizeof(u));
	mcp = server_start(PLAIN, browse);
	as = server_start(PLAIN, browse);
	upstream_at(server_url(mcp, "/mcp"));
}

static void
teardown(void)
{
	run_for(loop, 0);
	connector_free(connector);
	loop_free(loop);
	if (mcp != NULL)
		server_stop(mcp);
	if (as != NULL)
		server_stop(as);
	for (npages = 0; npages < nitems(web); npages++)
		free(web[npages].answer);
	url_free(&u.url);
	discovery_result_free(&got.res);
	curl_global_cleanup();
}

int
main(void)
{
	Suite *s = suite_create("discover");
	TCase *tc = tcase_create("discover");
	SRunner *r;
	int failed;

	tcase_set_timeout(tc, 30);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, walk);
	tcase_add_loop_test(tc, endless_probe, 0, 2);
	tcase_add_test(tc, a18_no_metadata);
	tcase_add_test(tc, not_reached);
	tcase_add_test(tc, a15_redirects_followed);
	tcase_add_test(tc, a15_redirect_loop);
	tcase_add_loop_test(tc, a15_redirects_refused, 0, 6);
	tcase_add_test(tc, redirect_to_nowhere);
	tcase_add_test(tc, probe_redirected);
	tcase_add_test(tc, slow);
	tcase_add_test(tc, oversized);
	tcase_add_test(tc, cut);
	tcase_add_test(tc, cancelled);
	tcase_add_test(tc, c7_verify);
	tcase_add_test(tc, a20_server);
	tcase_add_test(tc, a15_public_to_private_is_refused);
	tcase_add_test(tc, a15_by_name);
	tcase_add_test(tc, a15_redirect_inside_is_refused);
	tcase_add_test(tc, a15_private_to_private);
	tcase_add_test(tc, a15_private_by_literal);
	tcase_add_test(tc, a15_private_by_connection);
	tcase_add_test(tc, a15_public_to_public);
	tcase_add_test(tc, a15_judged_by_name);
	suite_add_tcase(s, tc);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
