/* /authorize: the person behind the browser says yes at once, or what the settings say. */
#include <stdio.h>

#include "wall.h"

/* What a request asked for; strings are its own. */
struct wish {
	char	*type, *id, *redirect, *state, *challenge, *method, *scope, *resource;
};

static void
wish_read(const struct conn *c, struct wish *w)
{
	const struct { const char *name; char **at; } all[] = {
		{ "response_type", &w->type }, { "client_id", &w->id },
		{ "redirect_uri", &w->redirect }, { "state", &w->state },
		{ "code_challenge", &w->challenge }, { "code_challenge_method", &w->method },
		{ "scope", &w->scope }, { "resource", &w->resource },
	};
	size_t	i;

	for (i = 0; i < nitems(all); i++)
		*all[i].at = form_get(c->req.query, strlen(c->req.query), all[i].name);
}

static void
wish_free(struct wish *w)
{
	free(w->type);
	free(w->id);
	free(w->redirect);
	free(w->state);
	free(w->challenge);
	free(w->method);
	free(w->scope);
	free(w->resource);
}

/* Why there is not even a redirect, NULL if there is. */
static const char *
hopeless(const struct conn *c, const struct wish *w)
{
	const struct client	*k = w->id != NULL ? client_find(c, w->id) : NULL;

	if (k == NULL)
		return "unknown client";
	if (w->redirect == NULL || !client_redirects(k, w->redirect))
		return "redirect_uri is not registered";
	return NULL;
}

static bool
resource_wanted(const char *resource)
{
	const char	*published = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(
	    option_get("prm_members"), "resource"));
	char		 url[128];

	if (!wall.set.check_resource || (resource == NULL && !option_is("require_resource")))
		return true;
	snprintf(url, sizeof(url), "%s/mcp", wall.origin);
	return resource != NULL && strcmp(resource, published != NULL ? published : url) == 0;
}

/* The error code for the redirect, NULL if a code is issued. */
static const char *
refusal(const struct conn *c, const struct wish *w)
{
	if (!c->other && option_is("deny"))
		return "access_denied";
	if (!c->other && option_text("authorize_error") != NULL)
		return option_text("authorize_error");
	if (w->type == NULL || strcmp(w->type, "code") != 0)
		return "unsupported_response_type";
	if (w->challenge == NULL || strlen(w->challenge) != 43 || w->method == NULL ||
	    strcmp(w->method, "S256") != 0 || w->state == NULL)
		return "invalid_request";
	if (!resource_wanted(w->resource))
		return "invalid_target";
	return NULL;
}

/* The setting in place of what is right; null: nothing. */
static const char *
instead(const struct conn *c, const char *option, const char *right)
{
	const cJSON	*item = c->other ? NULL : option_get(option);

	return item == NULL ? right : cJSON_GetStringValue(item);
}

static void
redirect(struct conn *c, const struct wish *w, const char *error)
{
	const char	*more = c->other ? NULL : option_text("redirect_extra");
	struct buf	 q = BUF_INIT(0), f = BUF_INIT(0);
	char		 code[64], issuer[300], *words = description();

	if (error == NULL) {
		counts.codes++;
		code_issue(c, code, sizeof(code), &(struct code_wish){ w->id, w->redirect,
		    w->challenge, w->resource, w->scope });
		form_add(&q, "code", code);
	} else {
		counts.authorize_denied++;
		form_add(&q, "error", error);
		form_add(&q, "error_description", words);
	}
	form_add(&q, "state", instead(c, "state", w->state));
	issuer_of(c, issuer, sizeof(issuer));
	form_add(&q, "iss", instead(c, "iss", issuer));
	buf_addf(&f, "Cache-Control: no-store\r\nLocation: %s%s%s%s\r\n", w->redirect,
	    strchr(w->redirect, '?') != NULL ? "&" : "?", q.p, more != NULL ? more : "");
	answer(c, 302, "text/plain", f.p, "", 0);
	free(words);
	buf_free(&q);
	buf_free(&f);
}

static void
authorize(struct conn *c)
{
	struct wish	 w = { 0 };
	const char	*why;

	if (fault_commit(c))
		return;
	wish_read(c, &w);
	seen_latest("authorize", form_json(c->req.query, strlen(c->req.query)));
	if (w.id != NULL)
		seen_client(c, w.id);
	if (w.state != NULL) {
		seen_shown(w.state);
		seen_owned(c->other, w.state);
	}
	if ((why = hopeless(c, &w)) != NULL) {
		counts.authorize_pages++;
		answer_text(c, 400, "text/html", why);
	} else if (!c->other && option_is("authorize_page")) {
		counts.authorize_pages++;
		answer_text(c, 200, "text/html", "<p>Who are you?</p>");
	} else {
		redirect(c, &w, refusal(c, &w));
	}
	wish_free(&w);
}

void
authorize_request(struct conn *c)
{
	counts.authorize_requests++;
	fault_meet(c, FAULT_AUTHORIZE, authorize);
}
