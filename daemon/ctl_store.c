/* mcp-authctl store: moves the credentials, or seals them anew. */
#include <limits.h>
#include <stdio.h>

#include "ctl.h"
#include "json.h"

static enum ctl_exit
ask(const struct ctl *c, const char *target, const char *member, const char *value)
{
	struct buf body = BUF_INIT(0);
	const char *message;
	struct ctl_reply r;
	char shown[1024];
	enum ctl_exit rc;
	cJSON *doc;

	if (buf_addf(&body, "{\"%s\":", member) < 0 || buf_addjson(&body, value, strlen(value)) < 0 ||
	    buf_adds(&body, "}") < 0)
		return ctl_fail(CTL_FAILED, "out of memory");
	rc = ctl_ask(c, "POST", target, (struct slice){ body.p, body.len }, &r);
	buf_free(&body);
	if (rc != CTL_OK)
		return rc;
	if (r.status == 200) {
		doc = json_parse(r.body.p, r.body.len, NULL);
		message = json_string(doc, "message");
		message = message != NULL ? message : "done";
		puts(text_escape(shown, sizeof(shown), message, strlen(message)));
		cJSON_Delete(doc);
	} else
		rc = ctl_refused(r.status, (struct slice){ r.body.p, r.body.len });
	buf_free(&r.body);
	return rc;
}

enum ctl_exit
ctl_store_migrate(const struct ctl *c)
{
	if (c->nargs != 1 || (strcmp(c->args[0], "file") != 0 &&
	    strcmp(c->args[0], "encrypted") != 0 && strcmp(c->args[0], "keyring") != 0))
		return ctl_usage("store migrate takes one of file, encrypted, keyring");
	return ask(c, "/v1/store/migrate", "to", c->args[0]);
}

enum ctl_exit
ctl_store_rekey(const struct ctl *c)
{
	char path[PATH_MAX];

	if (c->nargs != 0 || c->new_key == NULL)
		return ctl_usage("store rekey takes --new-key FILE");
	/* The daemon has another working directory. */
	if (realpath(c->new_key, path) == NULL)
		return ctl_fail(CTL_FAILED, "%s: %s", c->new_key, strerror(errno));
	return ask(c, "/v1/store/rekey", "newKey", path);
}
