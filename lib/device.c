#include "bounds.h"
#include "device.h"
#include "json.h"
#include "token.h"
#include "url.h"

static bool
printable(const char *s, size_t max)
{
	size_t n;

	for (n = 0; s[n] != '\0'; n++)
		if (n == max || s[n] < 0x20 || s[n] > 0x7e)
			return false;
	return n > 0;
}

/* Shown to a person, so no markup and nothing that a terminal or a shell would take for its own. */
static bool
plain_fragment(const char *s)
{
	for (; *s != '\0'; s++)
		if (*s < 0x21 || *s > 0x7e || strchr("\"'<>\\^`{|}$", *s) != NULL)
			return false;
	return true;
}

static int
copy(const char *s, char **ret)
{
	*ret = strdup(s);
	return *ret != NULL ? 0 : -ENOMEM;
}

/* https, or http on loopback; unlike other URLs with a fragment, if any: a browser reads it. */
static int
check_url(const char *s)
{
	size_t n = strcspn(s, "#");
	struct url url;
	bool ok;
	int r;

	if (strlen(s) > URL_BYTES)
		return -EBADMSG;
	if ((r = url_parse(s, n, &url)) < 0)
		return r == -ENOMEM ? r : -EBADMSG;
	ok = url.https || url_is_loopback(&url);
	url_free(&url);
	return ok && plain_fragment(s + n) ? 0 : -EBADMSG;
}

/* Where the person goes; the URL with the code in it is left out if it cannot be shown. */
static int
take_urls(const cJSON *doc, struct device *d, const char **ret_why)
{
	const char *uri = json_string(doc, "verification_uri");
	const char *complete = json_string(doc, "verification_uri_complete");
	int r;

	/* Not in RFC 8628, but Google's name for it, from before there was one. */
	if (uri == NULL)
		uri = json_string(doc, "verification_url");
	r = uri != NULL ? check_url(uri) : -EBADMSG;
	if (r == -EBADMSG)
		*ret_why = "verification_uri is missing or not an https URL";
	if (r < 0 || (r = copy(uri, &d->verification_uri)) < 0)
		return r;
	r = complete != NULL ? check_url(complete) : -EBADMSG;
	if (r == 0)
		r = copy(complete, &d->verification_uri_complete);
	return r == -EBADMSG ? 0 : r;
}

static int
take_codes(const cJSON *doc, struct device *d, const char **ret_why)
{
	const char *code = json_string(doc, "device_code"), *user = json_string(doc, "user_code");
	int r;

	if (code == NULL || !printable(code, TOKEN_BYTES)) {
		*ret_why = "device_code is missing or not usable";
		return -EBADMSG;
	}
	if (user == NULL || !printable(user, USER_CODE_BYTES)) {
		*ret_why = "user_code is missing or not usable";
		return -EBADMSG;
	}
	r = copy(code, &d->device_code);
	return r == 0 ? copy(user, &d->user_code) : r;
}

static void
take_times(const cJSON *doc, struct device *d)
{
	bool odd;

	d->lifetime = token_lifetime(json_member(doc, "expires_in"), &odd);
	if (d->lifetime <= 0)
		d->lifetime = DEVICE_LIFETIME;
	d->interval = token_lifetime(json_member(doc, "interval"), &odd);
	if (d->interval <= 0)
		d->interval = DEVICE_INTERVAL;
	d->interval = MAX(d->interval, DEVICE_INTERVAL_MIN);
}

static int
take_document(const cJSON *doc, struct device *d, const char **ret_why)
{
	int r;

	take_times(doc, d);
	r = take_codes(doc, d, ret_why);
	return r == 0 ? take_urls(doc, d, ret_why) : r;
}

int
device_parse(const char *text, size_t n, struct device *ret, const char **ret_why)
{
	struct json_error error = { .line = 1 };
	struct device d = { 0 };
	cJSON *doc;
	int r;

	*ret_why = "the device authorization endpoint did not answer with one JSON object";
	doc = n <= TOKEN_BODY ? json_parse(text, n, &error) : NULL;
	if (doc == NULL && error.line == 0)
		r = -ENOMEM;
	else
		r = cJSON_IsObject(doc) ? take_document(doc, &d, ret_why) : -EBADMSG;
	cJSON_Delete(doc);
	if (r == -ENOMEM)
		*ret_why = "out of memory";
	if (r < 0)
		device_free(&d);
	else
		*ret = d;
	return r;
}

void
device_free(struct device *d)
{
	secret_free(d->device_code);
	secret_free(d->user_code);
	free(d->verification_uri);
	secret_free(d->verification_uri_complete);
	*d = (struct device){ 0 };
}

enum device_poll
device_poll_error(const char *error)
{
	if (strcmp(error, "authorization_pending") == 0)
		return DEVICE_PENDING;
	if (strcmp(error, "slow_down") == 0)
		return DEVICE_SLOW_DOWN;
	if (strcmp(error, "access_denied") == 0)
		return DEVICE_DENIED;
	return strcmp(error, "expired_token") == 0 ? DEVICE_EXPIRED : DEVICE_FAILED;
}
