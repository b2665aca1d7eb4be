#include "relay_impl.h"
#include "sessions.h"

static const char field[] = "Mcp-Session-Id";

int
relay_session_begin(struct relay *r, const struct relay_request *q)
{
	struct slice id = http1_get(q->head, field);

	r->uid = q->uid;
	if (id.n == 0 || id.n > SESSION_ID_BYTES)
		return 0;
	r->session = strndup(id.p, id.n);
	return r->session != NULL ? 0 : -ENOMEM;
}

int
relay_session_lead(struct relay *r, const struct url *url)
{
	const struct cookie_jar *jar = sessions_jar(r->up->sessions, slice_of(r->session));

	if (jar == NULL || jar->n == 0)
		return 0;
	return cookie_jar_lead(jar, url, loop_now(r->up->loop).wall, &r->out.lead);
}

void
relay_session_head(struct relay *r, const struct url *url, const struct http1_head *h)
{
	struct sessions *all = r->up->sessions;
	struct slice given = http1_get(h, field), id = given.n > 0 ? given : slice_of(r->session);
	const struct http1_field *f;
	struct cookie_jar *jar;
	size_t i = 0;

	if (id.n == 0)
		return;
	if (h->status < 300)
		sessions_bind(all, id, r->uid, given.n > 0 && r->session == NULL);
	jar = sessions_jar(all, id);
	if (jar == NULL)
		return;
	if (h->status == 404 && r->session != NULL)
		cookie_jar_free(jar);
	else if (h->status < 300 && strcmp(r->method, "DELETE") == 0)
		sessions_drop(all, id);
	else
		while ((f = http1_next(h, "Set-Cookie", &i)) != NULL)
			cookie_jar_set(jar, url, f->value, loop_now(r->up->loop).wall);
}
