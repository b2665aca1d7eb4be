/*
 * The real callback, for a real browser (tests/system/test_callback_page):
 *   pages done|denied|failed|expired|stray [DETAIL]
 * prints the URL to open, then a line for each redirect that came, and ends
 * with its standard input.
 */
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include <event2/event.h>

#include "callback.h"
#include "log.h"

#define STATE	"state-of-this-flow"

static const struct {
	const char	*word;
	enum page	 page;
	const char	*query;
} kinds[] = {
	{ "done", PAGE_DONE, "code=the-secret-code&state=" STATE },
	{ "denied", PAGE_DENIED, "error=access_denied&error_description=%3Cb%3Eno&state=" STATE },
	{ "failed", PAGE_FAILED, "code=the-secret-code&state=" STATE },
	{ "expired", PAGE_DONE, "code=the-secret-code&state=" STATE },	/* opened twice */
	{ "stray", PAGE_DONE, "code=the-secret-code&state=another" },
};

static struct scene {
	struct loop	*loop;
	struct callback	*callback;
	enum page	 page;
	const char	*detail;
} scene;

static void
came(_unused_ void *arg, enum redirect_verdict verdict, struct redirect *r)
{
	printf("came: %s\n", verdict == REDIRECT_CODE ? "code" : r->denied ? "denied" : "other");
	fflush(stdout);
	callback_answer(scene.callback, scene.page, scene.detail);
}

static void
on_stdin(evutil_socket_t fd, _unused_ short what, _unused_ void *arg)
{
	char drop[64];

	if (read(fd, drop, sizeof(drop)) <= 0)
		loop_stop(scene.loop);
}

static void
run(const char *query)
{
	const struct redirect_expected expected = { .state = STATE };
	struct event *end;

	scene.loop = loop_new();
	scene.callback = scene.loop == NULL ? NULL :
	    callback_open(scene.loop, 0, "linear", &expected, came, NULL);
	if (scene.callback == NULL) {
		perror("pages");
		exit(1);
	}
	end = event_new(scene.loop->base, 0, EV_READ | EV_PERSIST, on_stdin, NULL);
	if (end == NULL || event_add(end, NULL) == -1)
		exit(1);
	printf("%s?%s\n", callback_uri(scene.callback), query);
	fflush(stdout);
	loop_run(scene.loop);
	event_free(end);
	callback_close(scene.callback);
	callback_leave_all();
	loop_free(scene.loop);
}

int
main(int argc, char **argv)
{
	size_t i;

	signal(SIGPIPE, SIG_IGN);
	log_open(LOG_WARNING);
	for (i = 0; argc > 1 && i < nitems(kinds); i++)
		if (strcmp(argv[1], kinds[i].word) == 0) {
			scene.page = kinds[i].page;
			scene.detail = argc > 2 ? argv[2] : NULL;
			run(kinds[i].query);
			return 0;
		}
	fprintf(stderr, "usage: pages done|denied|failed|expired|stray [DETAIL]\n");
	return 2;
}
