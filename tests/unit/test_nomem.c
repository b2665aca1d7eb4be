/*
 * Each allocation fails in turn: -ENOMEM comes back, and nothing leaks.  ASan
 * has its own malloc: skipped there.
 */
#include <check.h>
#include <stdio.h>

#include "challenge.h"
#include "config.h"
#include "failure.h"
#include "json.h"

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
	    "\"resource\":\"x:y\",\"tokenEndpointAuthMethod\":\"none\"},\"listen\":\"/s\"},"
	    "\"b\":{\"url\":\"https://h\"}},\"socket\":{\"hosts\":[\"a\",\"b\"]}}";
	struct config_error	error;
	struct config		c;
	int			r;

	config_init(&c);
	r = config_parse(&c, "f", text, sizeof(text) - 1, NULL, NULL, &error);
	config_free(&c);
	return r;
}

static int	(*const steps[])(void) = { do_json, do_jsonrpc, do_failure, do_challenge, do_config };

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
