#include <stdio.h>

#include "connector.h"
#include "fetch.h"
#include "http1.h"

#define RETRY_AFTER_MAX	(24 * HOUR_MS)	/* whoever says more is not obeyed for longer */

struct fetch {
	struct transfer	 transfer;	/* first: the done() argument is the fetch */
	struct loop	*loop;
	struct curl_slist *headers;
	char		*form;
	size_t		 nform, sent;
	size_t		 head_bytes;
	bool		 head_only;
	bool		 head_complete;	/* the blank line of the latest head was seen */
	bool		 head_too_large, body_too_large;
	bool		 finished;
	struct fetch_reply reply;
	fetch_done	 done;
	void		*arg;
};

static size_t
give_form(char *out, size_t size, size_t count, void *arg)
{
	struct fetch *f = arg;
	size_t n = MIN(size * count, f->nform - f->sent);

	memcpy(out, f->form + f->sent, n);
	f->sent += n;
	return n;
}

static size_t
take_body(char *p, size_t size, size_t n, void *arg)
{
	struct fetch *f = arg;

	if (buf_add(&f->reply.body, p, size * n) < 0) {
		f->body_too_large = true;
		return 0;
	}
	return size * n;
}

/* What an earlier, interim head said is not the answer's. */
static void
forget_head(struct fetch *f)
{
	challenge_free(&f->reply.challenge);
	f->reply.challenge = (struct challenge){ 0 };
	free(f->reply.location);
	f->reply.location = NULL;
	f->reply.date = 0;
	f->head_complete = false;
}

int64_t
fetch_date(struct slice value)
{
	char text[64];
	time_t t;

	if (value.n == 0 || value.n >= sizeof(text))
		return 0;
	memcpy(text, value.p, value.n);
	text[value.n] = '\0';
	t = curl_getdate(text, NULL);
	return t > 0 ? t * SEC : 0;
}

/* The few fields that somebody wants.  0 or -ENOMEM. */
static int
take_field(struct fetch *f, struct slice name, struct slice value)
{
	if (slice_ieq(name, "WWW-Authenticate")) {
		/* A void value (A2) says nothing. */
		if (challenge_add(&f->reply.challenge, value.p, value.n) == -ENOMEM)
			return -ENOMEM;
	} else if (slice_ieq(name, "Date")) {
		f->reply.date = fetch_date(value);
	} else if (slice_ieq(name, "Location") && f->reply.location == NULL &&
	    value.n > 0 && value.n <= URL_BYTES && memchr(value.p, '\0', value.n) == NULL) {
		f->reply.location = strndup(value.p, value.n);
		return f->reply.location == NULL ? -ENOMEM : 0;
	}
	return 0;
}

static int
take_line(struct fetch *f, const char *p, size_t n)
{
	const char *colon = memchr(p, ':', n);
	struct slice value;

	if (colon == NULL)
		return 0;
	value.p = colon + 1;
	value.n = (size_t)(p + n - value.p);
	while (value.n > 0 && strchr(" \t\r\n", value.p[value.n - 1]) != NULL)
		value.n--;
	while (value.n > 0 && (*value.p == ' ' || *value.p == '\t')) {
		value.p++;
		value.n--;
	}
	return take_field(f, (struct slice){ p, (size_t)(colon - p) }, value);
}

static long
status_of(const struct fetch *f)
{
	long status = 0;

	curl_easy_getinfo(f->transfer.easy, CURLINFO_RESPONSE_CODE, &status);
	return status;
}

/*
 * FACTS: a head that is cut in the middle looks like success.  Every head
 * (1xx as well) begins with its status line and ends with a blank one; what
 * comes behind that one is a trailer.
 */
static size_t
take_header(char *p, size_t size, size_t n, void *arg)
{
	struct fetch *f = arg;
	size_t len = size * n;

	f->head_bytes += len;
	if (f->head_bytes > HEADER_BYTES) {
		f->head_too_large = true;
		return 0;
	}
	if (len >= 5 && memcmp(p, "HTTP/", 5) == 0)
		forget_head(f);
	else if (len == 2 && memcmp(p, "\r\n", 2) == 0)
		f->head_complete = true;
	else if (!f->head_complete && take_line(f, p, len) < 0)
		return 0;
	if (f->head_only && f->head_complete && status_of(f) >= 200)
		return 0;	/* ends the transfer: judge() */
	return len;
}

static void
bury(void *arg)
{
	struct fetch *f = arg;

	transfer_end(&f->transfer);
	/* Under harden() libcurl's own free wipes these copies. */
	curl_slist_free_all(f->headers);
	secret_freen(f->form, f->nform);
	buf_free(&f->reply.body);
	challenge_free(&f->reply.challenge);
	free(f->reply.location);
	free(f);
}

static void
explain(struct fetch *f, CURLcode code)
{
	struct fetch_reply *r = &f->reply;

	if (f->body_too_large || f->head_too_large)
		snprintf(r->why, sizeof(r->why), "the answer's %s is too large",
		    f->body_too_large ? "body" : "head");
	else if (code == CURLE_OPERATION_TIMEDOUT)
		snprintf(r->why, sizeof(r->why), "no answer in time");
	else if (code == CURLE_OK || code == CURLE_PARTIAL_FILE)
		snprintf(r->why, sizeof(r->why), "the answer was cut");
	else
		(void)transfer_why(&f->transfer, code, r->why, sizeof(r->why));
}

/*
 * libcurl counts a request byte only once it was written, and a server cannot
 * read part of a TLS record: zero means that nobody has seen the request.
 * But it counts what a proxy is asked, too: then only what comes before the
 * tunnel, or the TLS in it, stands is certainly unsent.
 */
static bool
is_unsent(const struct fetch *f)
{
	long request = 0, answer = 0;
	curl_off_t tls = 0;
	char *url = NULL;

	curl_easy_getinfo(f->transfer.easy, CURLINFO_REQUEST_SIZE, &request);
	if (request == 0)
		return true;
	curl_easy_getinfo(f->transfer.easy, CURLINFO_HTTP_CONNECTCODE, &answer);
	if (answer == 0 && !f->transfer.proxied)
		return false;
	curl_easy_getinfo(f->transfer.easy, CURLINFO_APPCONNECT_TIME_T, &tls);
	curl_easy_getinfo(f->transfer.easy, CURLINFO_EFFECTIVE_URL, &url);
	return answer / 100 != 2 ||
	    (tls == 0 && url != NULL && strncmp(url, "https:", 6) == 0);
}

static void
judge(struct fetch *f, CURLcode code)
{
	struct fetch_reply *r = &f->reply;
	curl_off_t after = 0;
	long status = status_of(f);

	r->private_peer = transfer_private(&f->transfer);
	if ((code == CURLE_OK || (code == CURLE_WRITE_ERROR && f->head_only &&
	    !f->head_too_large)) && f->head_complete && status >= 200) {
		r->outcome = FETCH_ANSWER;
		r->status = (int)status;
		curl_easy_getinfo(f->transfer.easy, CURLINFO_RETRY_AFTER, &after);
		if (after > 0)
			r->retry_after = MIN(after, RETRY_AFTER_MAX / SEC) * SEC;
		return;
	}
	buf_reset(&r->body);
	if (code != CURLE_OK && is_unsent(f)) {
		r->outcome = FETCH_UNSENT;
		(void)transfer_why(&f->transfer, code, r->why, sizeof(r->why));
		return;
	}
	r->outcome = FETCH_UNKNOWN;
	explain(f, code);
}

static void
transfer_done(struct transfer *t, CURLcode code)
{
	struct fetch *f = (struct fetch *)t;

	f->finished = true;
	judge(f, code);
	f->done(f->arg, &f->reply);
	loop_defer(f->loop, bury, f);
}

/* libcurl did not take the handle, or there is no way out. */
static void
never_began(void *arg)
{
	struct fetch *f = arg;

	if (f->finished)
		return;
	f->finished = true;
	f->reply.outcome = FETCH_UNSENT;
	f->done(f->arg, &f->reply);
	loop_defer(f->loop, bury, f);
}

static int
add_header(struct fetch *f, const char *line)
{
	struct curl_slist *longer;

	longer = curl_slist_append(f->headers, line);
	if (longer == NULL)
		return -ENOMEM;
	f->headers = longer;
	return 0;
}

/* "Name: value", or with `prefix` = "" a whole line. */
static int
add_value(struct fetch *f, const char *prefix, struct slice value)
{
	_cleanup_(buf_free) struct buf line = BUF_SECRET(TOKEN_BYTES);

	if (buf_adds(&line, prefix) < 0 || buf_addslice(&line, value) < 0)
		return -ENOMEM;
	return add_header(f, line.p);
}

static int
add_lines(struct fetch *f, const char *lines)
{
	const char *end;
	int e = 0;

	for (; e == 0 && lines != NULL && (end = strstr(lines, "\r\n")) != NULL; lines = end + 2)
		e = add_value(f, "", (struct slice){ lines, (size_t)(end - lines) });
	return e;
}

static int
add_headers(struct fetch *f, const struct fetch_request *r)
{
	int e;

	/* FACTS: libcurl may add an Expect; sent empty it does not. */
	e = add_header(f, "Expect:");
	if (e == 0)
		e = add_value(f, "Accept: ",
		    slice_of(r->accept != NULL ? r->accept : "application/json"));
	if (e == 0)
		e = add_header(f, "User-Agent: mcp-authd");
	if (e == 0 && r->form.p != NULL && r->content_type != NULL)
		e = add_value(f, "Content-Type: ", slice_of(r->content_type));
	if (e == 0)
		e = add_lines(f, r->header_lines);
	if (e == 0 && r->authorization != NULL)
		e = add_value(f, "Authorization: ", slice_of(r->authorization));
	return e;
}

/* No SEEKFUNCTION: libcurl cannot send the form a second time (FACTS: silent replay). */
static int
add_form(struct fetch *f, struct slice form)
{
	CURL *e = f->transfer.easy;
	int failed;

	f->form = malloc(form.n + 1);
	if (f->form == NULL)
		return -ENOMEM;
	memcpy(f->form, form.p, form.n);
	f->nform = form.n;
	failed = curl_easy_setopt(e, CURLOPT_POST, 1L);
	failed |= curl_easy_setopt(e, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)form.n);
	failed |= curl_easy_setopt(e, CURLOPT_READFUNCTION, give_form);
	failed |= curl_easy_setopt(e, CURLOPT_READDATA, f);
	return failed != 0 ? -ENOMEM : 0;
}

static int
prepare(struct fetch *f, struct connector *c, const struct fetch_request *r,
    const struct url *url)
{
	CURL *e;
	int failed;

	failed = transfer_begin(&f->transfer, c, url->text, &r->way,
	    MIN(CONNECT, r->timeout_ms));
	if (failed == 0)
		failed = add_headers(f, r);
	if (failed == 0 && r->form.p != NULL)
		failed = add_form(f, r->form);
	if (failed != 0)
		return failed;
	e = f->transfer.easy;
	failed = curl_easy_setopt(e, CURLOPT_FORBID_REUSE, 1L);
	failed |= curl_easy_setopt(e, CURLOPT_TIMEOUT_MS, (long)r->timeout_ms);
	failed |= curl_easy_setopt(e, CURLOPT_HTTPHEADER, f->headers);
	failed |= curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, take_body);
	failed |= curl_easy_setopt(e, CURLOPT_WRITEDATA, f);
	failed |= curl_easy_setopt(e, CURLOPT_HEADERFUNCTION, take_header);
	failed |= curl_easy_setopt(e, CURLOPT_HEADERDATA, f);
	return failed != 0 ? -ENOMEM : 0;
}

/* What goes wrong here is told like a connection that failed. */
static void
begin(struct fetch *f, struct connector *c, const struct fetch_request *r, const struct url *url)
{
	int e = 0;

	/* Behind a proxy this is all that can be told (A15). */
	f->transfer.refused = r->refuse_private && transfer_names_private(url);
	if (!f->transfer.refused)
		e = prepare(f, c, r, url);
	if (!f->transfer.refused && e == 0)
		e = transfer_go(&f->transfer);
	if (!f->transfer.refused && e == 0)
		return;
	if (f->transfer.refused)
		(void)transfer_why(&f->transfer, CURLE_COULDNT_CONNECT, f->reply.why,
		    sizeof(f->reply.why));
	else
		snprintf(f->reply.why, sizeof(f->reply.why), "%s", way_strerror(e));
	loop_defer(f->loop, never_began, f);
}

struct fetch *
fetch_start(struct connector *c, const struct fetch_request *r, fetch_done done, void *arg)
{
	struct fetch *f = NULL;
	struct url url;
	int e;

	e = url_parse(r->url, strlen(r->url), &url);
	if (e < 0) {
		errno = -e;
		return NULL;
	}
	if (!url.https && !r->allow_insecure && !url_is_loopback(&url))
		e = -EINVAL;
	if (r->authorization != NULL && !http1_is_value(r->authorization, strlen(r->authorization)))
		e = -EINVAL;
	if (e == 0) {
		f = calloc(1, sizeof(*f));
		e = f == NULL ? -ENOMEM : 0;
	}
	if (e == 0) {
		f->loop = connector_loop(c);
		f->reply.body = BUF_SECRET(r->max_body != 0 ? r->max_body : (size_t)TOKEN_BODY);
		f->done = done;
		f->arg = arg;
		f->head_only = r->head_only;
		f->transfer.done = transfer_done;
		f->transfer.refuse_private = r->refuse_private;
		begin(f, c, r, &url);
	}
	url_free(&url);
	if (e < 0) {
		errno = -e;
		return NULL;
	}
	return f;
}

void
fetch_cancel(struct fetch *f)
{
	if (f == NULL || f->finished)
		return;
	f->finished = true;
	transfer_end(&f->transfer);
	loop_defer(f->loop, bury, f);
}
