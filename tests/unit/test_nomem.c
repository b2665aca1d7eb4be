/*
 * Each allocation fails in turn: -ENOMEM comes back, and nothing leaks.  ASan
 * has its own malloc: skipped there.
 */
#include <check.h>
#include <stdio.h>

#include "challenge.h"
#include "client_file.h"
#include "config.h"
#include "device.h"
#include "discovery.h"
#include "failure.h"
#include "insert.h"
#include "json.h"
#include "lines.h"
#include "mcp_tools.h"
#include "oauth.h"
#include "page.h"
#include "redirect.h"
#include "registration.h"
#include "scope.h"
#include "snippet.h"
#include "sse.h"

static long	left = -1;		/* allocations that still succeed; -1: all */
static bool	failed_once;
static long	live;			/* blocks not freed yet */

#ifndef __SANITIZE_ADDRESS__
#define SKIP	false

/* The C library's own, behind ours. */
void	*__libc_malloc(size_t);
void	*__libc_calloc(size_t, size_t);
void	*__libc_realloc(void *, size_t);
void	 __libc_free(void *);

static bool
fails(void)
{
	if (left != 0) {
		left -= left > 0;
		return false;
	}
	failed_once = true;
	return true;
}

void *
malloc(size_t n)
{
	void	*p = fails() ? NULL : __libc_malloc(n);

	live += p != NULL;
	return p;
}

void *
calloc(size_t m, size_t n)
{
	void	*p = fails() ? NULL : __libc_calloc(m, n);

	live += p != NULL;
	return p;
}

void *
realloc(void *old, size_t n)
{
	void	*p = fails() ? NULL : __libc_realloc(old, n);

	live += p != NULL && old == NULL;
	return p;
}

void
free(void *p)
{
	live -= p != NULL;
	__libc_free(p);
}
#else
#define SKIP	true
#endif

static int
do_json(void)
{
	static const char	text[] = "{\"a\":[1,\"x\",{\"b\":null}],\"\\u0063\":{}}";
	struct json_error	error = { .line = 99 };
	cJSON			*d = json_parse(text, sizeof(text) - 1, &error);

	if (d == NULL)
		return error.line == 0 ? -ENOMEM : -EINVAL;
	cJSON_Delete(d);
	return 0;
}

static int
do_jsonrpc(void)
{
	struct jsonrpc	rpc;
	const char	*p = "[{\"id\":\"x\",\"method\":\"m\"},{\"method\":\"m\",\"id\":-1}]";
	int		r = 0;

	jsonrpc_init(&rpc);
	for (; *p != '\0' && r == 0; p++)
		r = jsonrpc_feed(&rpc, p, 1);
	jsonrpc_end(&rpc);
	if (r == 0 && rpc.kind != JSONRPC_BATCH)
		r = -EINVAL;
	jsonrpc_free(&rpc);
	return r;
}

static int
do_lines(void)
{
	static const char	text[] = "{\"id\":1,\"method\":\"m\"}\n";
	const char		*p = text;
	size_t			 n = sizeof(text) - 1;
	struct lines		 l;
	int			 r;

	lines_init(&l, 100);
	r = lines_feed(&l, &p, &n);
	lines_free(&l);
	return r == 1 ? 0 : r;
}

static int
do_sse(void)
{
	static const char	text[] = "event: message\nretry: 5\nid: 1\ndata: x\n\n";
	const char		*p = text;
	size_t			 n = sizeof(text) - 1;
	struct sse		 s;
	int			 r;

	sse_init(&s, 100);
	r = sse_next(&s, &p, &n);
	sse_free(&s);
	return r == 1 ? 0 : r;
}

static void
no_warning(void *arg _unused_, const char *name _unused_, size_t n _unused_, const char *why _unused_)
{
}

/* A tool that stays, one that goes, a call. */
static int
do_tools(void)
{
#define PROPERTY(type)	"{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"" type "\",\"x-mcp-header\":\"A\"}}}"
	static const char	list[] = "{\"result\":{\"tools\":[{\"name\":\"t\",\"inputSchema\":"
	    PROPERTY("string") "},{\"name\":\"u\",\"inputSchema\":" PROPERTY("number") "}]}}";
	static const char	call[] = "{\"params\":{\"name\":\"t\",\"arguments\":{\"a\":\"\\u00e9\"}}}";
	struct mcp_tools	tools = { 0 };
	struct buf		out = BUF_INIT(0);
	struct slice		cursor;
	int			r;

	r = mcp_tools_learn(&tools, slice_of(list), &out, &cursor, no_warning, NULL);
	if (r == 1)
		r = mcp_tools_params(&tools, slice_of(call), &out) == 1 ? 0 : -ENOMEM;
	mcp_tools_clear(&tools);
	buf_free(&out);
	return r;
}

static int
do_failure(void)
{
	struct failure	f = { .reason = REASON_STORE, .retry_ms = 1, .detail = "disk full" };
	struct jsonrpc	rpc;
	struct buf	out = BUF_INIT(0);
	int		r;

	jsonrpc_init(&rpc);
	if ((r = jsonrpc_feed(&rpc, "{\"id\":1,\"method\":\"m\"}", 21)) == 0)
		r = failure_json(&out, &f, "linear", &rpc);
	if (r < 0 && out.len != 0)
		r = -EINVAL;
	jsonrpc_free(&rpc);
	buf_free(&out);
	return r;
}

static int
do_challenge(void)
{
	static const char	text[] = "Bearer error=\"e\", scope=s, resource_metadata=\"https://h\"";
	struct challenge	c = { 0 };
	int			r = challenge_add(&c, text, sizeof(text) - 1);

	if (r < 0 && (c.bearer || c.error != NULL))
		r = -EINVAL;
	challenge_free(&c);
	return r;
}

static int
do_config(void)
{
	static const char	text[] = "{\"mcpServers\":{\"a\":{\"url\":\"https://h\",\"auth\":\"none\","
	    "\"oauth\":{\"clientId\":\"c\",\"scopes\":[\"a\",\"b\"],\"issuer\":\"https://i\","
	    "\"resource\":\"x:y\",\"tokenEndpointAuthMethod\":\"none\","
	    "\"authorizeParams\":{\"p\":\"q\"}},\"listen\":\"/s\"},"
	    "\"b\":{\"url\":\"https://h\",\"oauth\":{\"grant\":\"id_jag\",\"clientId\":\"c\","
	    "\"clientSecretCommand\":[\"/c\",\"d\"],\"idp\":{\"issuer\":\"https://j\","
	    "\"clientId\":\"e\",\"subjectTokenFile\":\"/t\"}}},"
	    "\"d\":{\"url\":\"https://h\",\"oauth\":{\"clientMetadataUrl\":\"https://h/c\"}}},"
	    "\"login\":{\"command\":[\"/o\",\"{url}\"]},\"socket\":{\"hosts\":[\"a\",\"b\"]}}";
	struct config_error	error;
	struct config		c;
	int			r;

	config_init(&c);
	r = config_parse(&c, "f", text, sizeof(text) - 1, NULL, NULL, &error);
	config_free(&c);
	return r;
}

/* Probe, a place without and one with metadata, the server's; then its end. */
static int
do_discovery(void)
{
	static const char	*const bodies[] = { "", "", "{\"resource\":\"https://h\","
	    "\"authorization_servers\":[\"https://a/b\"],\"scopes_supported\":[\"s\"]}",
	    "<html>", "{\"issuer\":\"https://a/b\",\"authorization_endpoint\":\"https://a\","
	    "\"token_endpoint\":\"https://a\",\"token_endpoint_auth_methods_supported\":[\"none\"],"
	    "\"scopes_supported\":[\"offline_access\"]}" };
	struct config_upstream	u = { 0 };
	struct discovery_answer	a = { 0 };
	struct discovery_result	res = { 0 };
	struct challenge	c = { .bearer = true, .scope = (char *)"x",
	    .resource_metadata = (char *)"https://h/meta" };
	struct discovery	*d = NULL;
	const struct url	*url;
	size_t			i;
	int			r;

	r = url_parse("https://h/mcp", 13, &u.url);
	if (r == 0 && (d = discovery_new(&u, NULL, false)) == NULL)
		r = -ENOMEM;
	for (i = 0; i < nitems(bodies) && r == 0; i++) {
		a = (struct discovery_answer){ .status = i == 0 ? 401 : i == 1 ? 404 : 200,
		    .body = bodies[i], .n = strlen(bodies[i]), .challenge = &c };
		r = discovery_answer(d, &a);
	}
	if (d != NULL && discovery_next(d, &url) != (r == 0 ? DISCOVERY_DONE : DISCOVERY_FAILED))
		r = -EINVAL;
	if (r == 0)
		discovery_take(d, &res);
	discovery_result_free(&res);
	discovery_free(d);
	url_free(&u.url);
	return r;
}

static int
do_oauth(void)
{
	struct oauth_request		r = OAUTH_REQUEST_INIT;
	struct oauth_client		c = { .id = "i", .secret = "s" };
	struct oauth_authorization	a = { .endpoint = "https://as/a", .client_id = "i",
	    .redirect_uri = "r", .state = "s", .challenge = "c",
	    .params = (char *[]){ (char []){ "p" }, (char []){ "v" }, NULL } };
	struct buf			url = BUF_INIT(0);
	int				e = oauth_code_request(&r, &c, "c", "r", "v", "x");

	if (e == 0)
		e = oauth_authorization_url(&url, &a);
	buf_free(&url);
	oauth_request_free(&r);
	return e;
}

/* Has no error of its own: without memory a redirect is not taken for ours. */
static int
do_redirect(void)
{
	static const char	query[] = "code=a%20b&state=s&iss=i&session=1";
	struct redirect_expected expected = { .state = "s", .issuer = "i" };
	struct redirect		r;
	enum redirect_verdict	v = redirect_parse(query, sizeof(query) - 1, &expected, &r);

	if (v != REDIRECT_CODE && r.code != NULL)
		return -EINVAL;
	redirect_free(&r);
	return v == REDIRECT_CODE ? 0 : v == REDIRECT_FOREIGN ? -ENOMEM : -EINVAL;
}

static int
do_device(void)
{
	static const char	text[] = "{\"device_code\":\"d\",\"user_code\":\"u\","
	    "\"verification_uri\":\"https://h/\",\"verification_uri_complete\":\"https://h/?c\"}";
	struct device		d;
	const char		*why;
	int			r = device_parse(text, sizeof(text) - 1, &d, &why);

	if (r == 0 && d.verification_uri_complete == NULL)
		r = -EINVAL;
	if (r == 0)
		device_free(&d);
	return r;
}

static int
do_registration(void)
{
	static const char	text[] = "{\"client_id\":\"c\",\"client_secret\":\"s\","
	    "\"token_endpoint_auth_method\":\"client_secret_post\"}";
	struct registration	reg;
	const char		*why;
	int			r = registration_parse(text, sizeof(text) - 1, &reg, &why);

	if (r == 0)
		registration_free(&reg);
	return r;
}

static int
do_scope(void)
{
	struct buf	out = BUF_INIT(0);
	int		r = scope_union(&out, "a b", "c");

	buf_free(&out);
	return r;
}

static int
do_page(void)
{
	struct buf	out = BUF_INIT(0);
	int		r = page_html(&out, PAGE_FAILED, "wiki", "why");

	buf_free(&out);
	return r;
}

static int
do_record(void)
{
	static const char	text[] = "{\"v\":1,\"name\":\"n\",\"url\":\"u\",\"access_token\":\"a\","
	    "\"revocation_endpoint\":\"r\",\"resource_metadata\":\"m\",\"redirect_uri\":\"x\"}";
	const char		*why;
	struct record		*rec, *copy;
	int			err = 0;

	if ((rec = record_parse(text, sizeof(text) - 1, &err, &why)) == NULL)
		return err;
	if ((copy = record_copy(rec)) == NULL)
		err = -ENOMEM;
	record_free(copy);
	record_free(rec);
	return err;
}

static int
read_client(const char *text)
{
	struct client_file	f;
	struct json_error	e;
	int			r = client_file_read(text, strlen(text), &f, &e);

	if (r == 0 && (f.n != 1 || f.entries[0].kind != CLIENT_REMOTE))
		r = -EINVAL;
	if (r == 0)
		client_file_free(&f);
	return r;
}

static int
do_client_file(void)
{
	return read_client("{\"mcpServers\":{\"a\":{\"url\":\"https://h/\"}}}");
}

static int
do_toml(void)
{
	return read_client("[mcp_servers.a]\nurl = \"https://h/\"\nb.c = [{ d = 1 }, 'x']\n[[t]]\n");
}

static int
do_insert(void)
{
	static const struct insert_member	m = { "a", "{}" };
	struct buf				out = BUF_INIT(0), diff = BUF_INIT(0);
	struct slice				before = slice_of("{\n}\n");
	struct json_error			e;
	int					r;

	r = insert_members(&out, before.p, before.n, "s", &m, 1, &e);
	if (r == 0)
		r = insert_diff(&diff, "f", before, (struct slice){ out.p, out.len });
	if (r == -EBADMSG && e.line == 0)
		r = -ENOMEM;
	buf_free(&out);
	buf_free(&diff);
	return r;
}

static int
do_snippet(void)
{
	static const struct snippet_server	v = { "n", "/s" };
	struct snippet				s = { .program = "p", .shared = "/x", .servers = &v,
	    .nservers = 1 };
	struct buf				out = BUF_INIT(0);
	size_t					i;
	int					r = 0;

	for (i = 0; r == 0 && (s.client = snippet_at(i)) != NULL; i++) {
		r = snippet_text(&out, &s);
		if (r == 0)
			r = snippet_commands(&out, &s);
	}
	buf_free(&out);
	return r;
}

static int	(*const steps[])(void) = {
	do_json, do_jsonrpc, do_lines, do_sse, do_tools, do_failure, do_challenge, do_config,
	do_discovery, do_oauth, do_redirect, do_device, do_registration, do_scope, do_page, do_record,
	do_client_file, do_toml, do_insert, do_snippet,
};

START_TEST(test_each_allocation)
{
	long	n, before = live;
	int	r;

	for (n = 0; n < 1000 && !SKIP; n++) {
		failed_once = false;
		left = n;
		r = steps[_i]();
		left = -1;
		ck_assert_msg(r == (failed_once ? -ENOMEM : 0), "allocation %ld: %d", n, r);
		ck_assert_msg(live == before, "allocation %ld: %ld leaked", n, live - before);
		if (!failed_once)
			break;
	}
	ck_assert(SKIP || (n > 0 && n < 1000));
}
END_TEST

int
main(void)
{
	Suite	*s = suite_create("nomem");
	TCase	*t = tcase_create("nomem");
	SRunner	*r = srunner_create(s);
	int	 failed;

	tcase_add_loop_test(t, test_each_allocation, 0, nitems(steps));
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
