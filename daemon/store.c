#include <sys/inotify.h>

#include <stdio.h>
#include <unistd.h>

#include "log.h"
#include "store_impl.h"

#define POLL		(5 * SEC)	/* H2 where inotify cannot see: design 4 */
#define WATCHED		(IN_MOVED_TO | IN_MOVED_FROM | IN_CREATE | IN_DELETE | IN_CLOSE_WRITE | \
			 IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR)
#define LOST		(IN_DELETE_SELF | IN_MOVE_SELF | IN_IGNORED | IN_UNMOUNT)

/* One load, save or delete on its way through the worker. */
struct job {
	TAILQ_ENTRY(job) entry;
	struct store	*store;
	enum store_result (*run)(struct job *, struct store_why);
	struct store_key key;
	char		 stem[STORE_STEM];
	struct buf	 doc;		/* save */
	struct store_reply reply;
	store_done	 done;		/* NULL: forgotten */
	void		*arg;
	char		 text[];	/* of the key */
};

struct watch {
	LIST_ENTRY(watch) entry;
	char	 stem[STORE_STEM];
	void	(*changed)(void *);
	void	*arg;
	bool	 due;
};

void *
store_alloc(size_t size)
{
	void *p = calloc(1, size);

	if (p == NULL) {
		log_err(NULL, "memory", "out of memory");
		abort();
	}
	return p;
}

struct store_why
store_words(struct store_reply *reply)
{
	return (struct store_why){ reply->why, sizeof(reply->why) };
}

/* --- jobs --- */

static void
job_free(struct job *job)
{
	TAILQ_REMOVE(&job->store->jobs, job, entry);
	record_free(job->reply.record);
	buf_free(&job->doc);
	free(job);
}

static void
job_run(void *arg)
{
	struct job *job = arg;

	job->reply.result = job->run(job, store_words(&job->reply));
	buf_free(&job->doc);		/* wiped as early as can be */
}

static void
job_done(void *arg)
{
	struct job *job = arg;
	store_done done = job->done;

	if (job->reply.result == STORE_OK && job->reply.why[0] != '\0') {
		log_warn(job->key.name, "store", "%s", job->reply.why);
		job->reply.why[0] = '\0';
	}
	job->done = NULL;
	if (done != NULL)
		done(job->arg, &job->reply);
	job_free(job);
}

static struct job *
job_new(struct store *st, const struct store_key *key, store_done done, void *arg)
{
	size_t name = strlen(key->name) + 1, url = strlen(key->url) + 1;
	struct job *job;

	job = store_alloc(sizeof(*job) + name + url);
	job->store = st;
	job->key.name = memcpy(job->text, key->name, name);
	job->key.url = memcpy(job->text + name, key->url, url);
	record_stem(key->name, key->url, job->stem, sizeof(job->stem));
	job->done = done;
	job->arg = arg;
	job->reply.result = STORE_FAILED;
	TAILQ_INSERT_TAIL(&st->jobs, job, entry);
	return job;
}

/* To the worker; what cannot go there fails in the next settling. */
static void
job_give(struct job *job)
{
	if (job->run != NULL && worker_give(job->store->worker, job_run, job_done, job) == 0)
		return;
	snprintf(job->reply.why, sizeof(job->reply.why), "out of memory");
	loop_defer(job->store->loop, job_done, job);
}

static enum store_result
run_load(struct job *job, struct store_why why)
{
	struct store *st = job->store;

	return st->backend->load(st->state, &job->key, job->stem, &job->reply.record, why);
}

static enum store_result
run_save(struct job *job, struct store_why why)
{
	struct store *st = job->store;

	return st->backend->save(st->state, &job->key, job->stem, &job->doc, why);
}

static enum store_result
run_delete(struct job *job, struct store_why why)
{
	struct store *st = job->store;

	return st->backend->remove(st->state, job->stem, why);
}

void
store_load(struct store *st, const struct store_key *key, store_done done, void *arg)
{
	struct job *job = job_new(st, key, done, arg);

	job->run = run_load;
	job_give(job);
}

static enum store_result
run_unprintable(_unused_ struct job *job, struct store_why why)
{
	snprintf(why.text, why.size, "a credential that could not be read back is not written");
	return STORE_FAILED;
}

void
store_save(struct store *st, const struct store_key *key, const struct record *rec,
    store_done done, void *arg)
{
	struct job *job = job_new(st, key, done, arg);
	int r;

	job->doc = BUF_SECRET(RECORD_BYTES);
	r = record_print(rec, &job->doc);
	if (r == 0)
		job->run = run_save;
	else if (r != -ENOMEM)
		job->run = run_unprintable;
	job_give(job);
}

void
store_delete(struct store *st, const struct store_key *key, store_done done, void *arg)
{
	struct job *job = job_new(st, key, done, arg);

	job->run = run_delete;
	job_give(job);
}

void
store_forget(struct store *st, void *arg)
{
	struct job *job;

	TAILQ_FOREACH(job, &st->jobs, entry)
		if (job->arg == arg)
			job->done = NULL;
	store_lock_forget(st, arg);
}

/* --- watches --- */

static void
all_changed(struct store *st)
{
	struct watch *w;

	LIST_FOREACH(w, &st->watches, entry)
		w->due = true;
}

/* Tells them; each may set or end any watch. */
static void
tell_watches(struct store *st)
{
	struct watch *w;

	for (w = LIST_FIRST(&st->watches); w != NULL; ) {
		if (!w->due) {
			w = LIST_NEXT(w, entry);
			continue;
		}
		w->due = false;
		w->changed(w->arg);
		w = LIST_FIRST(&st->watches);
	}
}

/* STEM.json: a watch; STEM.lock: those who wait for it.  Temp files are nobody's. */
static void
name_changed(struct store *st, const char *name)
{
	char stem[STORE_STEM];
	const char *dot = strchr(name, '.');
	struct watch *w;

	if (dot == NULL || (size_t)(dot - name) >= sizeof(stem))
		return;
	memcpy(stem, name, (size_t)(dot - name));
	stem[dot - name] = '\0';
	if (strcmp(dot, ".lock") == 0)
		store_lock_news(st, stem);
	if (strcmp(dot, ".json") != 0)
		return;
	LIST_FOREACH(w, &st->watches, entry)
		if (strcmp(w->stem, stem) == 0)
			w->due = true;
}

/* The directory is gone from where it was; should it come back, only polling will tell. */
static void
saw_event(struct store *st, const struct inotify_event *ev)
{
	if ((ev->mask & (IN_Q_OVERFLOW | LOST)) == 0) {
		if (ev->len > 0)
			name_changed(st, ev->name);
		return;
	}
	all_changed(st);
	store_lock_news_all(st);
	if ((ev->mask & LOST) != 0 && st->poll.at == 0)
		timer_set(&st->poll, POLL);
}

static void
news_fired(int fd, _unused_ short what, void *arg)
{
	_Alignas(struct inotify_event) char buf[16 * KIB];
	const struct inotify_event *ev;
	struct store *st = arg;
	ssize_t n;
	char *p;

	while ((n = read(fd, buf, sizeof(buf))) > 0) {
		for (p = buf; p < buf + n; p += sizeof(*ev) + ev->len) {
			ev = (const struct inotify_event *)(void *)p;
			saw_event(st, ev);
		}
	}
	tell_watches(st);
}

static void
poll_fired(void *arg)
{
	struct store *st = arg;

	timer_set(&st->poll, POLL);
	all_changed(st);
	tell_watches(st);
}

static struct watch *
find_watch(struct store *st, const char *stem)
{
	struct watch *w;

	LIST_FOREACH(w, &st->watches, entry)
		if (strcmp(w->stem, stem) == 0)
			return w;
	return NULL;
}

int
store_watch(struct store *st, const struct store_key *key, void (*changed)(void *), void *arg)
{
	char stem[STORE_STEM];
	struct watch *w;

	record_stem(key->name, key->url, stem, sizeof(stem));
	w = find_watch(st, stem);
	if (changed == NULL) {
		if (w != NULL)
			LIST_REMOVE(w, entry);
		free(w);
		return 0;
	}
	if (w == NULL) {
		w = calloc(1, sizeof(*w));
		if (w == NULL)
			return -ENOMEM;
		memcpy(w->stem, stem, sizeof(stem));
		LIST_INSERT_HEAD(&st->watches, w, entry);
	}
	w->changed = changed;
	w->arg = arg;
	return 0;
}

/* --- opening and closing --- */

/* By descriptor, so that it is the directory that was checked; -1 if there is to be polling. */
static int
watch_directory(struct store *st)
{
	char path[64];
	int fd;

	fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	if (fd == -1)
		return -1;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", st->backend->directory(st->state));
	if (inotify_add_watch(fd, path, WATCHED) == -1 &&
	    inotify_add_watch(fd, st->path, WATCHED) == -1) {
		close(fd);
		return -1;
	}
	return fd;
}

/* 0, or -1 without memory. */
static int
start_watching(struct store *st)
{
	timer_init(&st->poll, st->loop, poll_fired, st);
	st->inotify = watch_directory(st);
	if (st->inotify == -1)
		log_warn(NULL, "store", "no inotify for %s (%s): looking every %lld s", st->path,
		    strerrordesc_np(errno), POLL / SEC);
	if (st->inotify == -1 || st->backend->polled(st->state))
		timer_set(&st->poll, POLL);
	if (st->inotify == -1)
		return 0;
	st->news = event_new(st->loop->base, st->inotify, EV_READ | EV_PERSIST, news_fired, st);
	if (st->news == NULL)
		return -1;
	event_priority_set(st->news, LOOP_FIRST);
	return event_add(st->news, NULL);
}

struct store *
store_open(struct loop *loop, const char *path, bool allow_network_fs, char *why, size_t size)
{
	struct store_why said = { why, size };
	struct store *st;

	snprintf(why, size, "out of memory");
	st = calloc(1, sizeof(*st));
	if (st == NULL)
		return NULL;
	st->loop = loop;
	st->backend = &store_file;
	st->lock_wait = LOCK_WAIT;
	st->inotify = -1;
	TAILQ_INIT(&st->jobs);
	TAILQ_INIT(&st->locks);
	LIST_INIT(&st->watches);
	st->path = strdup(path);
	if (st->path != NULL)
		st->state = st->backend->open(path, allow_network_fs, said);
	if (st->state == NULL || start_watching(st) == -1) {
		store_close(st);
		return NULL;
	}
	st->worker = worker_new(loop);
	if (st->worker == NULL) {
		snprintf(why, size, "cannot start a thread: %s", strerrordesc_np(errno));
		store_close(st);
		return NULL;
	}
	snprintf(why, size, "%s", "");
	return st;
}

void
store_close(struct store *st)
{
	struct watch *w;
	struct job *job;

	if (st == NULL)
		return;
	worker_free(st->worker);
	while ((job = TAILQ_FIRST(&st->jobs)) != NULL) {
		loop_undefer(st->loop, job);
		job_free(job);
	}
	store_lock_close(st);
	while ((w = LIST_FIRST(&st->watches)) != NULL) {
		LIST_REMOVE(w, entry);
		free(w);
	}
	if (st->poll.loop != NULL)
		timer_clear(&st->poll);
	if (st->news != NULL)
		event_free(st->news);
	if (st->inotify != -1)
		close(st->inotify);
	if (st->state != NULL)
		st->backend->close(st->state);
	free(st->path);
	free(st);
}

const char *
store_backend(const struct store *st)
{
	return st->backend->name;
}

struct worker *
store_worker(struct store *st)
{
	return st->worker;
}

const char *
store_path(const struct store *st)
{
	return st->path;
}
