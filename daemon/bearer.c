#include <libgen.h>
#include <stdio.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "bearer.h"
#include "json.h"
#include "log.h"
#include "spawn.h"
#include "token_file.h"
#include "way.h"

#define COMMAND_EVERY	(30 * SEC)	/* A4 */
#define COMMAND_TIME	(30 * SEC)	/* below `recovery` */
#define WATCHED		(IN_CLOSE_WRITE | IN_MOVED_TO | IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_ATTRIB)

struct bearer {
	struct loop	*loop;
	struct worker	*worker;
	const struct config_upstream *config;
	char		*path;		/* NULL: a command */
	int		 inotify;
	struct event	*watch;
	void		(*changed)(void *);
	void		*changed_arg;
	struct spawn	*spawn;
	int64_t		 ran_at;	/* boot ms; 0 = never */
	struct record	*last;		/* of the command */
	bearer_done	 done;
	void		*arg;
	struct read_job	*job;		/* on the worker */
};

/* What the worker needs to know, and nothing that the loop may touch meanwhile. */
struct read_job {
	struct bearer	*bearer;	/* NULL: it has gone */
	char		*path;
	struct buf	 text;
	int		 error;
};

/* --- what was read --- */

static bool
is_token(const char *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if ((unsigned char)p[i] < 0x21 || (unsigned char)p[i] > 0x7e)
			return false;
	return n > 0 && n <= (size_t)TOKEN_BYTES;
}

/* The whole text is the token, but for blanks around it. */
static struct slice
trimmed(const struct buf *text)
{
	struct slice s = { text->p, text->len };

	while (s.n > 0 && strchr(" \t\r\n", s.p[s.n - 1]) != NULL)
		s.n--;
	while (s.n > 0 && strchr(" \t\r\n", s.p[0]) != NULL) {
		s.p++;
		s.n--;
	}
	return s;
}

/* JSON as of `token import` (access_token, maybe expires_in), or the bare token. */
static struct record *
record_of(const struct buf *text, int64_t wall, const char **ret_why)
{
	struct slice s = trimmed(text);
	struct record *rec;

	if (s.n > 0 && s.p[0] == '{')
		return record_import(s.p, s.n, wall, ret_why);
	*ret_why = "it does not hold a token (one line of printable ASCII)";
	if (!is_token(s.p, s.n) || (rec = calloc(1, sizeof(*rec))) == NULL)
		return NULL;
	rec->access_token = strndup(s.p, s.n);
	rec->expires_at = EXPIRES_UNKNOWN;
	rec->obtained_at = wall;
	if (rec->access_token != NULL)
		return rec;
	record_free(rec);
	return NULL;
}

static void
complete(struct bearer *b, struct record *rec, const char *why)
{
	bearer_done done = b->done;

	b->done = NULL;
	if (done == NULL)
		record_free(rec);
	else
		done(b->arg, rec, why);
}

/* --- files --- */

static void
read_run(void *arg)
{
	struct read_job *job = arg;

	job->error = token_file_read(job->path, &job->text);
}

static void
read_done(void *arg)
{
	struct read_job *job = arg;
	struct bearer *b = job->bearer;
	const char *why = NULL;
	struct record *rec = NULL;
	char words[300];

	if (b != NULL) {
		b->job = NULL;
		if (job->error == 0)
			rec = record_of(&job->text, loop_now(b->loop).wall, &why);
		snprintf(words, sizeof(words), "bearer file %.200s: %s", job->path,
		    why != NULL ? why : strerror(job->error));
		complete(b, rec, words);
	}
	buf_free(&job->text);
	free(job->path);
	free(job);
}

static void
read_file(struct bearer *b)
{
	struct read_job *job = calloc(1, sizeof(*job));

	if (job == NULL || (job->path = strdup(b->path)) == NULL)
		abort();
	job->bearer = b;
	job->text = BUF_SECRET(TOKEN_BYTES);
	b->job = job;
	if (worker_give(b->worker, read_run, read_done, job) < 0)
		abort();
}

/* Renames included, and the symbolic-link swaps ("..data") of container secrets. */
static void
on_inotify(evutil_socket_t fd, short what _unused_, void *arg)
{
	char events[4096] __attribute__((aligned(__alignof__(struct inotify_event))));
	struct bearer *b = arg;
	const char *base = strrchr(b->path, '/') + 1;
	bool ours = false;
	ssize_t n;

	while ((n = read((int)fd, events, sizeof(events))) > 0)
		for (char *p = events; p < events + n;) {
			const struct inotify_event *e = (const void *)p;

			ours |= e->len == 0 || strcmp(e->name, base) == 0 ||
			    strncmp(e->name, "..", 2) == 0;
			p += sizeof(*e) + e->len;
		}
	if (ours)
		b->changed(b->changed_arg);
}

static int
watch_file(struct bearer *b)
{
	char *copy = strdup(b->path);
	int wd = -1;

	b->inotify = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	if (copy != NULL && b->inotify >= 0)
		wd = inotify_add_watch(b->inotify, dirname(copy), WATCHED);
	free(copy);
	if (wd < 0)
		return -errno;
	b->watch = event_new(b->loop->base, b->inotify, EV_READ | EV_PERSIST, on_inotify, b);
	if (b->watch == NULL)
		return -ENOMEM;
	event_priority_set(b->watch, LOOP_FIRST);
	return event_add(b->watch, NULL);
}

/* --- commands --- */

static void
give_last(void *arg)
{
	struct bearer *b = arg;

	complete(b, b->last != NULL ? record_copy(b->last) : NULL,
	    "bearer command: it failed a moment ago");
}

static void
on_command(void *arg, struct spawn_reply *r)
{
	struct bearer *b = arg;
	struct record *rec = NULL;
	const char *why = r->why;
	char words[300];

	b->spawn = NULL;
	if (r->why[0] == '\0')
		rec = record_of(&r->out, loop_now(b->loop).wall, &why);
	record_free(b->last);
	b->last = rec != NULL ? record_copy(rec) : NULL;
	snprintf(words, sizeof(words), "bearer command: %s", why);
	complete(b, rec, words);
}

static bool
ran_lately(const struct bearer *b)
{
	int64_t now = loop_now(b->loop).boot;

	return b->ran_at != 0 && now - b->ran_at < COMMAND_EVERY;
}

static void
run_command(struct bearer *b)
{
	b->ran_at = loop_now(b->loop).boot;
	b->spawn = spawn_start(b->loop, b->config->bearer.command, TOKEN_BYTES, COMMAND_TIME,
	    on_command, b);
	if (b->spawn == NULL)
		abort();
}

void
bearer_read(struct bearer *b, bearer_done done, void *arg)
{
	b->done = done;
	b->arg = arg;
	if (b->job != NULL || b->spawn != NULL)
		return;		/* what runs will answer */
	if (b->path != NULL)
		read_file(b);
	else if (ran_lately(b))
		loop_defer(b->loop, give_last, b);
	else
		run_command(b);
}

void
bearer_forget(struct bearer *b)
{
	b->done = NULL;
}

/* --- life --- */

struct bearer *
bearer_new(struct loop *loop, struct worker *worker, const struct config_upstream *config,
    void (*changed)(void *), void *arg)
{
	struct bearer *b = calloc(1, sizeof(*b));

	if (b == NULL)
		return NULL;
	*b = (struct bearer){ .loop = loop, .worker = worker, .config = config, .inotify = -1,
	    .changed = changed, .changed_arg = arg };
	if (config->bearer.file != NULL)
		b->path = strdup(config->bearer.file);
	else if (config->bearer.credential != NULL)
		b->path = way_credential(config->bearer.credential);
	if (b->path != NULL && watch_file(b) < 0)
		log_warn(config->name, "bearer", "%s cannot be watched; a 401 makes it be read again",
		    b->path);
	return b;
}

void
bearer_free(struct bearer *b)
{
	if (b == NULL)
		return;
	loop_undefer(b->loop, b);
	spawn_cancel(b->spawn);
	if (b->job != NULL)
		b->job->bearer = NULL;
	if (b->watch != NULL)
		event_free(b->watch);
	if (b->inotify >= 0)
		close(b->inotify);
	record_free(b->last);
	free(b->path);
	free(b);
}
