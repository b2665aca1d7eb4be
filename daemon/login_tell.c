/*
 * The lines of JSON that watchers get.  Remote text stands in them as JSON
 * strings, and is escaped again where it is shown.
 */
#include "login_impl.h"
#include "scope.h"

void
login_tell(struct login *l, struct login_watcher *w, struct buf *event)
{
	struct login_watcher *next;

	if (event->len == 0 || buf_adds(event, "\n") < 0)
		return;
	if (w != NULL) {
		w->event(w->arg, event->p, event->len);
	} else {
		for (w = TAILQ_FIRST(&l->watchers); w != NULL; w = next) {
			next = TAILQ_NEXT(w, entry);
			if (w->told)
				w->event(w->arg, event->p, event->len);
		}
	}
	event->len--;
	event->p[event->len] = '\0';
}

static int
add(struct buf *b, const char *before, const char *text)
{
	int e = buf_adds(b, before);

	return e < 0 ? e : text != NULL ? buf_addjson(b, text, strlen(text)) : buf_adds(b, "null");
}

/* An event that could not be made is not told. */
static void
close_event(struct buf *b, int e)
{
	if (e < 0 || buf_adds(b, "}") < 0)
		buf_reset(b);
}

void
login_event_progress(struct buf *b, const char *words)
{
	close_event(b, add(b, "{\"event\":\"progress\",\"message\":", words));
}

static void
event_url(const struct login_run *r, struct buf *b)
{
	int e = 0;

	e |= add(b, "{\"event\":\"url\",\"url\":", r->url);
	e |= add(b, ",\"redirect_uri\":", r->redirect_uri);
	e |= buf_addf(b, ",\"expires_in\":%lld",
	    (long long)(login_left(r, LOGIN_LIMIT) / SEC));
	close_event(b, e);
}

static void
event_device(const struct login_run *r, struct buf *b)
{
	int64_t left = r->expires_at - loop_now(r->login->loop).boot;
	int e = 0;

	e |= add(b, "{\"event\":\"device\",\"user_code\":", r->device.user_code);
	e |= add(b, ",\"verification_uri\":", r->device.verification_uri);
	e |= add(b, ",\"verification_uri_complete\":", r->device.verification_uri_complete);
	e |= buf_addf(b, ",\"expires_in\":%lld",
	    (long long)(login_left(r, MAX(left, 0)) / SEC));
	close_event(b, e);
}

bool
login_event_link(const struct login_run *r, struct buf *b)
{
	if (r->step != STEP_PERSON)
		return false;
	if (r->url != NULL)
		event_url(r, b);
	else if (r->device.user_code != NULL)
		event_device(r, b);
	return b->len > 0;
}

/* offline_access shows in the refresh token; not every server lists it. */
static bool
got_all(const char *granted, const char *asked)
{
	struct buf b = BUF_INIT(2 * SCOPE_BYTES);
	bool all;

	all = scope_union(&b, granted, "offline_access") < 0 || scope_contains(b.p, asked);
	buf_free(&b);
	return all;
}

void
login_event_done(const struct login_run *r, struct buf *b)
{
	const char *asked = r->draft != NULL ? r->draft->scope : NULL, *words = "logged in";
	int e = 0;

	if (asked != NULL && r->granted != NULL && !got_all(r->granted, asked))
		words = "logged in, but the server granted less than was asked for";
	else if (r->brief)
		words = "logged in; the server gave no refresh token, so that a login is needed again "
		    "when the token expires";
	e |= add(b, "{\"event\":\"done\",\"scope\":", r->granted);
	e |= add(b, ",\"asked\":", asked);
	e |= add(b, ",\"issuer\":", r->draft != NULL ? r->draft->issuer : NULL);
	e |= add(b, ",\"message\":", words);
	close_event(b, e);
}

void
login_event_failed(struct buf *b, const char *reason, const char *message, const char *hint)
{
	int e = 0;

	e |= add(b, "{\"event\":\"failed\",\"reason\":", reason);
	e |= add(b, ",\"message\":", message);
	e |= add(b, ",\"hint\":", hint);
	close_event(b, e);
}
