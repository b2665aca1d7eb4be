/* `mcp-authctl doctor`: the daemon examines, this shows it as it comes. */
#include <poll.h>
#include <stdio.h>

#include "ctl.h"
#include "ctl_colour.h"
#include "json.h"

#define SILENCE		75000	/* ms: all of it takes a minute at most */
#define TEXT		2048	/* of a line; longer text is cut */
#define MARGIN		17	/* columns before a message */

struct examination {
	const struct ctl *ctl;
	const char	*target;
	struct ctl_stream *stream;
	bool		 over;
	enum ctl_exit	 rc;
};

static enum ctl_colour
colour_of(const char *result)
{
	if (strcmp(result, "ok") == 0)
		return COLOUR_GOOD;
	if (strcmp(result, "warn") == 0)
		return COLOUR_WARN;
	return strcmp(result, "fail") == 0 ? COLOUR_BAD : COLOUR_FAINT;
}

/* All text of the answer may be remote. */
static const char *
shown(const cJSON *doc, const char *key, char out[TEXT])
{
	const char *text = json_string(doc, key);

	return text_escape(out, TEXT, text != NULL ? text : "?", text != NULL ? strlen(text) : 1);
}

static void
print_step(const cJSON *doc)
{
	char result[TEXT], step[TEXT], message[TEXT];
	const char *hint = json_string(doc, "hint");

	shown(doc, "result", result);
	printf("%s%-4.4s%s  %-9.9s  %s\n", ctl_colour(stdout, colour_of(result)), result,
	    ctl_colour(stdout, COLOUR_END), shown(doc, "step", step), shown(doc, "message",
	    message));
	if (hint != NULL)
		printf("%*s%s\n", MARGIN, "", shown(doc, "hint", message));
}

/* The login alone is missing: that is another exit code than something to be mended. */
static enum ctl_exit
verdict(const cJSON *doc)
{
	const cJSON *failed = json_member(doc, "failed");

	if (cJSON_IsTrue(json_member(doc, "ok")))
		return CTL_OK;
	return cJSON_IsTrue(json_member(doc, "login_required")) && cJSON_IsNumber(failed) &&
	    failed->valuedouble == 1 ? CTL_LOGIN : CTL_FAILED;
}

static void
on_line(void *arg, const char *line, size_t n)
{
	struct examination *x = arg;
	cJSON *doc;

	if (ctl_stream_status(x->stream) != 200) {
		x->rc = ctl_refused(ctl_stream_status(x->stream), (struct slice){ line, n });
		x->over = true;
		return;
	}
	doc = json_parse(line, n, NULL);
	if (json_string(doc, "event") != NULL) {
		x->rc = verdict(doc);
		x->over = true;
	}
	if (x->ctl->json)
		printf("%.*s\n", (int)n, line);
	else if (json_string(doc, "step") != NULL)
		print_step(doc);
	else if (!x->over)
		ctl_fail(CTL_FAILED, "the daemon says something that is not understood; are both "
		    "of one "
		    "version?");
	fflush(stdout);
	cJSON_Delete(doc);
}

/* false: it is over. */
static bool
look(struct examination *x)
{
	struct pollfd fd = { .fd = ctl_stream_fd(x->stream), .events = POLLIN };
	int n = poll(&fd, 1, SILENCE), r;

	if (n == -1)
		return errno == EINTR;
	if (n == 0) {
		ctl_fail(CTL_FAILED, "the daemon says nothing any more");
		return false;
	}
	r = ctl_stream_read(x->stream, on_line, x);
	if (r != 1 && !x->over)
		ctl_fail(CTL_FAILED, "the daemon ended without a verdict: see its log");
	return r == 1;
}

static enum ctl_exit
open_stream(void *arg, const char *path, char *why)
{
	struct examination *x = arg;

	return ctl_stream_open(path, "GET", x->target, (struct slice){ NULL, 0 }, &x->stream, why);
}

enum ctl_exit
ctl_doctor(const struct ctl *c)
{
	char target[80];
	struct examination x = { .ctl = c, .target = target, .rc = CTL_FAILED };
	enum ctl_exit rc;

	if (!ctl_one_name(c))
		return ctl_usage("doctor takes one name");
	snprintf(target, sizeof(target), "/v1/doctor/%s", c->args[0]);
	rc = ctl_reach(c, open_stream, &x);
	if (rc == CTL_OK) {
		while (look(&x))
			;
		rc = x.rc;
	}
	ctl_stream_close(x.stream);
	return rc;
}
