/* Who wants to know that an entry may have changed (contract H2). */
#include <sys/inotify.h>

#include <stdio.h>
#include <unistd.h>

#include "log.h"
#include "store_impl.h"

#define POLL		(5 * SEC)	/* H2 where inotify cannot see: design 4 */
#define WATCHED		(IN_MOVED_TO | IN_MOVED_FROM | IN_CREATE | IN_DELETE | IN_CLOSE_WRITE | \
			 IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR)
#define LOST		(IN_DELETE_SELF | IN_MOVE_SELF | IN_IGNORED | IN_UNMOUNT)

struct watch {
	LIST_ENTRY(watch) entry;
	char	 stem[STORE_STEM];
	void	(*changed)(void *);
	void	*arg;
	bool	 due;
};

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

/* Is that a name of the backend in use? */
static bool
is_in_use(const struct store *st, const char *name)
{
	char stem[STORE_STEM];

	return st->backend != NULL &&
	    ((st->backend->kind == CONFIG_STORE_FILE && store_dir_entry(name, STORE_PLAIN, stem)) ||
	    (st->backend->kind == CONFIG_STORE_ENCRYPTED &&
	    store_dir_entry(name, STORE_SEALED, stem)));
}

/*
 * STEM.json, STEM.sealed: a watch, whichever is in use (what is in the other
 * decides whether an absent one is a logout); STEM.lock: those who wait for it.
 * Temp files are nobody's.
 */
static void
name_changed(struct store *st, const char *name)
{
	char stem[STORE_STEM];
	struct watch *w;

	if (store_dir_entry(name, ".lock", stem))
		store_lock_news(st, stem);
	if (!store_dir_entry(name, STORE_PLAIN, stem) && !store_dir_entry(name, STORE_SEALED, stem))
		return;
	LIST_FOREACH(w, &st->watches, entry)
		if (strcmp(w->stem, stem) == 0)
			w->due = true;
	if (st->drift.n > 0 || !is_in_use(st, name))
		store_drift_look(st);
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

void
store_watch_all(struct store *st)
{
	all_changed(st);
	tell_watches(st);
}

static void
poll_fired(void *arg)
{
	struct store *st = arg;

	timer_set(&st->poll, POLL);
	store_watch_all(st);
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

/* By descriptor, so that it is the directory that was checked; -1 if there is to be polling. */
static int
watch_directory(struct store *st)
{
	char path[64];
	int fd;

	fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	if (fd == -1)
		return -1;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", st->dir->fd);
	if (inotify_add_watch(fd, path, WATCHED) == -1 &&
	    inotify_add_watch(fd, st->path, WATCHED) == -1) {
		close(fd);
		return -1;
	}
	return fd;
}

int
store_watch_start(struct store *st)
{
	timer_init(&st->poll, st->loop, poll_fired, st);
	st->inotify = watch_directory(st);
	if (st->inotify == -1)
		log_warn(NULL, "store", "no inotify for %s (%s): looking every %lld s", st->path,
		    strerrordesc_np(errno), POLL / SEC);
	if (st->inotify == -1 || st->dir->network)
		timer_set(&st->poll, POLL);
	if (st->inotify == -1)
		return 0;
	st->news = event_new(st->loop->base, st->inotify, EV_READ | EV_PERSIST, news_fired, st);
	if (st->news == NULL)
		return -1;
	event_priority_set(st->news, LOOP_FIRST);
	return event_add(st->news, NULL);
}

void
store_watch_close(struct store *st)
{
	struct watch *w;

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
}
