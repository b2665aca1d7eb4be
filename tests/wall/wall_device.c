/* Device authorization, RFC 8628; the person is a setting or a control. */
#include <stdio.h>

#include "wall.h"

struct device {
	bool	 other, approved, denied, expired, used;
	char	*client_id, *scope, *resource;
	int64_t	 ends, polled, interval;
	int64_t	 left;				/* polls until approval, -1 = never by itself */
	int64_t	 slow;				/* polls to be answered slow_down */
};

static struct map	devices;

static void
authorization(struct conn *c)
{
	struct credentials	 k;
	struct device		*d;
	struct client		*client;
	char			 code[64], user[16], url[160];
	cJSON			*j;

	if (fault_commit(c))
		return;
	seen_latest("device", form_json(c->req.body.p, c->req.body.len));
	credentials_read(c, &k);
	client = k.id != NULL ? client_find(c, k.id) : NULL;
	if (client == NULL || !client_authentic(c, &k, client)) {
		counts.bad_client++;
		refuse_json(c, 401, "invalid_client");
		credentials_free(&k);
		return;
	}
	seen_client(c, k.id);
	if ((d = calloc(1, sizeof(*d))) == NULL)
		die("no memory");
	d->other = c->other;
	d->client_id = strdup(k.id);
	d->scope = form_get(c->req.body.p, c->req.body.len, "scope");
	d->resource = form_get(c->req.body.p, c->req.body.len, "resource");
	d->ends = now_ms() + option_number("device_lifetime", 300) * 1000;
	d->interval = option_number("device_interval", 1) * 1000;
	d->left = option_number("device_pending", -1);
	d->slow = option_number("device_slow", 0);
	d->polled = now_ms() - d->interval;
	random_text(code, sizeof(code), "dc-");
	seen_secret(c, code);
	map_make(&devices, code)->p = d;
	snprintf(user, sizeof(user), "WALL-%04llu", (unsigned long long)(devices.n % 10000));
	seen_shown(user);
	j = cJSON_CreateObject();
	cJSON_AddStringToObject(j, "device_code", code);
	cJSON_AddStringToObject(j, "user_code", user);
	snprintf(url, sizeof(url), "%s/device", origin_of(c));
	cJSON_AddStringToObject(j, "verification_uri", url);
	snprintf(url, sizeof(url), "%s/device?user_code=%s", origin_of(c), user);
	cJSON_AddStringToObject(j, "verification_uri_complete", url);
	cJSON_AddNumberToObject(j, "expires_in", (double)option_number("device_lifetime", 300));
	cJSON_AddNumberToObject(j, "interval", (double)option_number("device_interval", 1));
	option_merge(j, "device_members");
	answer_json(c, 200, j);
	credentials_free(&k);
}

void
device_request(struct conn *c)
{
	counts.device_requests++;
	fault_meet(c, FAULT_DEVICE, authorization);
}

/* What a poll finds: an error code, or NULL: granted. */
static const char *
judge(struct device *d)
{
	int64_t	now = now_ms();
	bool	fast = now - d->polled < d->interval - 100;

	d->polled = now;
	if (d->denied)
		return "access_denied";
	if (d->expired || now >= d->ends || d->used)
		return "expired_token";
	if (fast)
		counts.device_fast++;
	if (fast || d->slow > 0) {
		d->slow -= d->slow > 0;
		d->interval += 5000;
		return "slow_down";
	}
	if (d->left > 0)
		d->left--;
	else if (d->left == 0)
		d->approved = true;
	return d->approved ? NULL : "authorization_pending";
}

int
device_grant(struct conn *c, const struct client *client, struct buf *out)
{
	_cleanup_(freep) char	*code = form_get(c->req.body.p, c->req.body.len, "device_code");
	struct entry		*e = code != NULL ? map_find(&devices, code) : NULL;
	struct device		*d = e != NULL ? e->p : NULL;
	const char		*error;

	counts.device_polls++;
	if (d == NULL || d->other != c->other || strcmp(d->client_id, client->id) != 0)
		return refuse(out, 400, "invalid_grant");
	if ((error = judge(d)) != NULL)
		return refuse(out, 400, error);
	d->used = true;
	tokens_grant(c, out, family_new(c->other, &(struct issue){ .client_id = client->id,
	    .client_secret = client->secret, .scope = d->scope, .resource = d->resource }), true);
	return 200;
}

bool
device_control(const char *what)
{
	struct entry	*e;
	struct device	*d;
	size_t		 i;

	for (i = 0; i < devices.nslots; i++) {
		for (e = devices.slots[i]; e != NULL; e = e->next) {
			d = e->p;
			d->approved = d->approved || strcmp(what, "approve") == 0;
			d->denied = d->denied || strcmp(what, "deny") == 0;
			d->expired = d->expired || strcmp(what, "expire") == 0;
		}
	}
	return strcmp(what, "approve") == 0 || strcmp(what, "deny") == 0 ||
	    strcmp(what, "expire") == 0;
}
