/* lib/failure: what a client is told, and with which status. */
#include <check.h>

#include "failure.h"
#include "json.h"

static const char *const names[] = {
	[REASON_NONE] = "none",
	[REASON_LOGIN_REQUIRED] = "login_required",
	[REASON_BEARER_REJECTED] = "bearer_rejected",
	[REASON_INSUFFICIENT_SCOPE] = "insufficient_scope",
	[REASON_RECOVERY_TIMEOUT] = "recovery_timeout",
	[REASON_LOCK_TIMEOUT] = "lock_timeout",
	[REASON_UPSTREAM_UNREACHABLE] = "upstream_unreachable",
	[REASON_UPSTREAM_MALFORMED] = "upstream_malformed",
	[REASON_STORE] = "store",
	[REASON_DRAINING] = "draining",
	[REASON_LIMIT] = "limit",
	[REASON_DAEMON_UNREACHABLE] = "daemon_unreachable",
};

/* The document that failure_json() appends; rpc_text NULL: no body was seen. */
static cJSON *
answer(const struct failure *f, const char *rpc_text)
{
	struct buf	out = BUF_INIT(0);
	struct jsonrpc	rpc;
	cJSON		*d;

	buf_adds(&out, "before");
	jsonrpc_init(&rpc);
	if (rpc_text != NULL) {
		ck_assert_int_eq(jsonrpc_feed(&rpc, rpc_text, strlen(rpc_text)), 0);
		jsonrpc_end(&rpc);
	}
	ck_assert_int_eq(failure_json(&out, f, "linear", rpc_text != NULL ? &rpc : NULL), 0);
	ck_assert(strncmp(out.p, "before", 6) == 0);
	d = json_parse(out.p + 6, out.len - 6, NULL);
	ck_assert_msg(d != NULL, "%s", out.p);
	jsonrpc_free(&rpc);
	buf_free(&out);
	return d;
}

static int
code(const cJSON *message)
{
	const cJSON	*error = json_member(message, "error");

	ck_assert_str_eq(json_string(message, "jsonrpc"), "2.0");
	ck_assert(json_string(error, "message")[0] != '\0');
	return (int)cJSON_GetNumberValue(json_member(error, "code"));
}

START_TEST(test_reason)
{
	struct failure	f = { .reason = (enum reason)_i };
	cJSON		*d = answer(&f, "{\"id\":\"x\",\"method\":\"m\"}");
	const cJSON	*error = json_member(d, "error"), *data = json_member(error, "data");
	const char	*hint = json_string(data, "hint"), *words = json_string(error, "message");

	ck_assert_str_eq(reason_name((enum reason)_i), names[_i]);
	ck_assert_int_eq(code(d), FAILURE_CODE);
	ck_assert_str_eq(json_string(d, "id"), "x");
	ck_assert_str_eq(json_string(data, "reason"), names[_i]);
	ck_assert_str_eq(json_string(data, "upstream"), "linear");
	ck_assert_int_eq(cJSON_GetArraySize(data), 3);
	ck_assert_ptr_nonnull(strstr(words, "linear"));
	ck_assert_ptr_nonnull(strstr(words, hint));
	ck_assert_str_eq(hint, _i == REASON_LOGIN_REQUIRED || _i == REASON_INSUFFICIENT_SCOPE ?
	    "mcp-authctl login linear" : "mcp-authctl status linear");
	cJSON_Delete(d);
}
END_TEST

START_TEST(test_words)
{
	struct failure	f = {
		.reason = REASON_UPSTREAM_UNREACHABLE,
		.retry_ms = 4001,
		.detail = "connection \"refused\"",
	};
	cJSON		*d = answer(&f, NULL);

	ck_assert_str_eq(json_string(json_member(d, "error"), "message"),
	    "linear cannot be reached (connection \"refused\"); try again in 5 s, "
	    "or run: mcp-authctl status linear");
	ck_assert_ptr_null(json_member(d, "id"));
	cJSON_Delete(d);
}
END_TEST

static const struct {
	const char	*text;
	int		 code;
	bool		 has_id;
	int		 status;
} bodies[] = {
	{ "{\"method\":\"m\"}", FAILURE_CODE, false, 503 },
	{ "{\"id\":1,\"result\":1}", FAILURE_CODE, false, 503 },
	{ "[{\"method\":\"m\"}]", FAILURE_CODE, false, 503 },
	{ "{\"id\":1,\"method\":\"m\"}", FAILURE_CODE, true, 200 },
	{ "{\"id\":1,\"method\":\"server/discover\"}", FAILURE_CODE, true, 503 },
	{ "{", -32700, true, 400 },
	{ "{}", -32600, true, 400 },
};

START_TEST(test_body)
{
	struct failure	f = { .reason = REASON_STORE };
	struct jsonrpc	rpc;
	cJSON		*d = answer(&f, bodies[_i].text);

	ck_assert_int_eq(code(d), bodies[_i].code);
	ck_assert((json_member(d, "id") != NULL) == bodies[_i].has_id);
	if (bodies[_i].code != FAILURE_CODE)
		ck_assert(cJSON_IsNull(json_member(d, "id")));
	cJSON_Delete(d);
	jsonrpc_init(&rpc);
	jsonrpc_feed(&rpc, bodies[_i].text, strlen(bodies[_i].text));
	jsonrpc_end(&rpc);
	ck_assert_int_eq(failure_status("POST", &rpc), bodies[_i].status);
	jsonrpc_free(&rpc);
}
END_TEST

START_TEST(test_status)
{
	struct jsonrpc	rpc;

	ck_assert_int_eq(failure_status("GET", NULL), 503);
	ck_assert_int_eq(failure_status("DELETE", NULL), 503);
	ck_assert_int_eq(failure_status("POST", NULL), 503);
	jsonrpc_init(&rpc);
	jsonrpc_feed(&rpc, "[{\"id\":1,\"method\":\"m\"}]", 23);
	jsonrpc_end(&rpc);
	ck_assert_int_eq(failure_status("POST", &rpc), 200);
	ck_assert_int_eq(failure_status("DELETE", &rpc), 503);
	jsonrpc_free(&rpc);
}
END_TEST

START_TEST(test_batch)
{
	struct failure	f = { .reason = REASON_DRAINING };
	cJSON		*d = answer(&f, "[{\"id\":12345678901234567890,\"method\":\"a\"},"
			    "{\"method\":\"b\"},{\"id\":\"x\\n\",\"method\":\"c\"}]");

	ck_assert_int_eq(cJSON_GetArraySize(d), 2);
	ck_assert_int_eq(code(cJSON_GetArrayItem(d, 0)), FAILURE_CODE);
	ck_assert(cJSON_IsNumber(json_member(cJSON_GetArrayItem(d, 0), "id")));
	ck_assert_str_eq(json_string(cJSON_GetArrayItem(d, 1), "id"), "x\n");
	cJSON_Delete(d);
	d = answer(&f, "[{\"id\":1,\"method\":\"a\"}]");
	ck_assert(cJSON_IsArray(d));
	cJSON_Delete(d);
}
END_TEST

/* The id goes back as it was written: a double would round it. */
START_TEST(test_raw_id)
{
	struct failure	f = { .reason = REASON_LIMIT };
	struct buf	out = BUF_INIT(0);
	struct jsonrpc	rpc;

	jsonrpc_init(&rpc);
	jsonrpc_feed(&rpc, "{\"id\":12345678901234567890,\"method\":\"a\"}", 40);
	jsonrpc_end(&rpc);
	ck_assert_int_eq(failure_json(&out, &f, "x", &rpc), 0);
	ck_assert_ptr_nonnull(strstr(out.p, "\"id\":12345678901234567890,"));
	jsonrpc_free(&rpc);
	buf_free(&out);
}
END_TEST

/* No room: nothing of it is left behind. */
START_TEST(test_no_room)
{
	struct failure	f = { .reason = REASON_LIMIT };
	struct buf	out = BUF_INIT(100);

	buf_adds(&out, "before");
	ck_assert_int_eq(failure_json(&out, &f, "x", NULL), -EMSGSIZE);
	ck_assert_str_eq(out.p, "before");
	ck_assert_uint_eq(out.len, 6);
	buf_free(&out);
}
END_TEST

int
main(void)
{
	Suite	*s = suite_create("failure");
	TCase	*t = tcase_create("failure");
	SRunner	*r = srunner_create(s);
	int	 failed;

	tcase_add_loop_test(t, test_reason, 0, REASON_MAX);
	tcase_add_test(t, test_words);
	tcase_add_loop_test(t, test_body, 0, nitems(bodies));
	tcase_add_test(t, test_status);
	tcase_add_test(t, test_batch);
	tcase_add_test(t, test_raw_id);
	tcase_add_test(t, test_no_room);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
