/* daemon/store_keyring: a scripted Secret Service that dies, is silent, lies and prompts (contract I4, I7). */
#include <sys/socket.h>
#include <sys/un.h>

#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "scripted.h"
#include "secretservice.h"
#include "store_keyring.h"

#define URL	"https://mcp.example/mcp"
#define LONG	(8 * SEC)	/* far more than anything here takes */
#define SHORT	300		/* for what shall time out */

static struct loop *loop;
static struct keyring *keyring;
static struct secrets *s;
static const struct store_key key = { "linear", URL }, other = { "second", URL };

/* --- calls, one after the other --- */

struct result {
	bool		 done;
	int		 order;
	enum store_result what;
	char		 secret[400];
	size_t		 n;
	char		 why[200];
	char		 keys[300];	/* of a list */
};

static int completions;

static void
completed(void *arg, struct keyring_reply *reply)
{
	struct result *r = arg;

	ck_assert(!r->done);
	r->done = true;
	r->order = ++completions;
	r->what = reply->result;
	r->n = reply->secret.len;
	if (r->n > 0)
		memcpy(r->secret, reply->secret.p, MIN(r->n, sizeof(r->secret) - 1));
	memcpy(r->why, reply->why, sizeof(r->why));
	ck_assert((r->what == STORE_OK || r->what == STORE_GONE) == (r->why[0] == '\0'));
	loop_stop(loop);
}

static void
listed(void *arg, enum store_result result, const struct store_key *keys, size_t n,
    const char *why)
{
	struct result *r = arg;
	size_t i, len = 0;

	ck_assert(!r->done);
	r->done = true;
	r->what = result;
	snprintf(r->why, sizeof(r->why), "%s", why);
	for (i = 0; i < n; i++)
		len += (size_t)snprintf(r->keys + len, sizeof(r->keys) - len, "%s %s\n", keys[i].name,
		    keys[i].url);
	ck_assert((result == STORE_OK) == (why[0] == '\0'));
	loop_stop(loop);
}

static struct result
load(const struct store_key *k)
{
	struct result r = { 0 };

	keyring_load(keyring, k, completed, &r);
	ck_assert(!r.done);
	run_until(loop, &r.done);
	return r;
}

static struct result
save(const struct store_key *k, const char *secret)
{
	struct result r = { 0 };

	keyring_save(keyring, k, secret, strlen(secret), completed, &r);
	ck_assert(!r.done);
	run_until(loop, &r.done);
	return r;
}

static struct result
delete(const struct store_key *k)
{
	struct result r = { 0 };

	keyring_delete(keyring, k, completed, &r);
	ck_assert(!r.done);
	run_until(loop, &r.done);
	return r;
}

static struct result
list(void)
{
	struct result r = { 0 };

	keyring_list(keyring, listed, &r);
	ck_assert(!r.done);
	run_until(loop, &r.done);
	return r;
}

static void
is(const char *what, struct result r, enum store_result wanted, const char *words)
{
	ck_assert_msg(r.what == wanted, "%s: %d (%s)", what, r.what, r.why);
	ck_assert_msg(strstr(r.why, words) != NULL, "%s: \"%s\"", what, r.why);
}

static void
holds(const struct store_key *k, const char *secret)
{
	struct result r = load(k);

	is("load", r, STORE_OK, "");
	ck_assert_str_eq(r.secret, secret);
}

static void
settled(void *arg)
{
	*(bool *)arg = true;
	loop_stop(loop);
}

static enum keyring_state
settle(void)
{
	bool told = false;

	keyring_settled(keyring, settled, &told);
	ck_assert(!told);
	run_until(loop, &told);
	return keyring_state(keyring);
}

static void
open_at(const char *address)
{
	keyring = keyring_open(loop, address);
	ck_assert_ptr_nonnull(keyring);
	keyring_set_bounds(keyring, LONG, LONG, LONG);
}

static void
setup_alone(void)
{
	loop = loop_new();
	ck_assert_ptr_nonnull(loop);
}

static void
teardown_alone(void)
{
	keyring_close(keyring);
	keyring = NULL;
	loop_free(loop);
}

static void
setup_bus(void)
{
	setup_alone();
	s = secrets_new();
	bus_start();
}

/* A service with one item of ours, and a keyring that has found it. */
static void
setup(void)
{
	setup_bus();
	secrets_start(s);
	open_at(bus_address());
	ck_assert_int_eq(settle(), KEYRING_READY);
	is("save", save(&key, "one"), STORE_OK, "");
}

static void
teardown(void)
{
	teardown_alone();
	secrets_kill(s);
	secrets_free(s);
	bus_remove();
}

static void
fault(enum secrets_method at, enum secrets_fault f, int times)
{
	s->fault = f;
	s->times = times;
	s->at = at;
}

/* --- no bus, no service --- */

START_TEST(test_no_bus)
{
	static const char *const addresses[] = {
		"unix:path=/nonexistent/bus", "tcp:host=localhost,port=1", "autolaunch:", "", "nonsense",
		"unix:", "unixexec:path=/bin/touch,argv1=/tmp/mcp-authd-executed"
	};

	unlink("/tmp/mcp-authd-executed");
	open_at(addresses[_i]);
	ck_assert_int_eq(settle(), KEYRING_ABSENT);
	is("load", load(&key), STORE_FAILED, "no session bus");
	is("save", save(&key, "x"), STORE_FAILED, "no session bus");
	is("list", list(), STORE_FAILED, "no session bus");
	ck_assert_str_ne(keyring_why(keyring), "");
	ck_assert_int_eq(access("/tmp/mcp-authd-executed", F_OK), -1);
}
END_TEST

START_TEST(test_environment)
{
	char dir[100];

	setenv("DBUS_SESSION_BUS_ADDRESS", "tcp:host=localhost;unix:path=/nonexistent/one", 1);
	open_at(NULL);
	is("first unix: entry", load(&key), STORE_FAILED, "/nonexistent/one:");
	keyring_close(keyring);
	unsetenv("DBUS_SESSION_BUS_ADDRESS");
	snprintf(dir, sizeof(dir), "/nonexistent/a b;c");
	setenv("XDG_RUNTIME_DIR", dir, 1);
	open_at(NULL);
	is("runtime directory, escaped", load(&key), STORE_FAILED, "/nonexistent/a%20b%3bc/bus:");
	keyring_close(keyring);
	unsetenv("XDG_RUNTIME_DIR");
	open_at(NULL);
	is("nothing", load(&key), STORE_FAILED, "DBUS_SESSION_BUS_ADDRESS");
}
END_TEST

/* Something listens that is no bus: neither accepting nor a full queue holds up the loop. */
START_TEST(test_deaf_bus)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), fill[64], i;
	char dir[] = "/tmp/mcp-authd-deaf.XXXXXX", address[96];
	struct result r = { 0 };

	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(sun.sun_path, sizeof(sun.sun_path), "%s/s", dir);
	snprintf(address, sizeof(address), "unix:path=%s/s", dir);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&sun, sizeof(sun)), 0);
	ck_assert_int_eq(listen(fd, 1), 0);
	open_at(address);
	keyring_set_bounds(keyring, SHORT, SHORT, SHORT);
	keyring_load(keyring, &key, completed, &r);
	ck_assert_int_eq(keyring_state(keyring), KEYRING_CONNECTING);
	ck_assert_int_eq(settle(), KEYRING_ABSENT);
	run_until(loop, &r.done);
	ck_assert_int_ne(r.what, STORE_OK);
	keyring_close(keyring);
	for (i = 0; i < (int)nitems(fill); i++) {
		fill[i] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		if (connect(fill[i], (struct sockaddr *)&sun, sizeof(sun)) == -1)
			break;
	}
	ck_assert_int_eq(errno, EAGAIN);
	open_at(address);
	ck_assert_int_eq(keyring_state(keyring), KEYRING_ABSENT);
	for (; i >= 0; i--)
		close(fill[i]);
	close(fd);
	unlink(sun.sun_path);
	rmdir(dir);
}
END_TEST

START_TEST(test_no_service)
{
	open_at(bus_address());
	ck_assert_int_eq(keyring_state(keyring), KEYRING_CONNECTING);
	ck_assert_int_eq(settle(), KEYRING_ABSENT);
	is("load", load(&key), STORE_FAILED, "nobody offers a keyring");
	/* It comes later: noticed without a call. */
	secrets_start(s);
	while (keyring_state(keyring) != KEYRING_READY)
		run_for(loop, 10);
	is("load", load(&key), STORE_GONE, "");
}
END_TEST

START_TEST(test_no_collection)
{
	s->no_alias = true;
	secrets_start(s);
	open_at(bus_address());
	ck_assert_int_eq(settle(), KEYRING_ABSENT);
	is("load", load(&key), STORE_FAILED, "no default collection");
}
END_TEST

/* A call that is given before anything is known waits. */
START_TEST(test_early_call)
{
	secrets_start(s);
	open_at(bus_address());
	ck_assert_int_eq(keyring_state(keyring), KEYRING_CONNECTING);
	is("save", save(&key, "early"), STORE_OK, "");
	holds(&key, "early");
}
END_TEST

/* Setting up fails in every way at every step, and a later call does it. */
START_TEST(test_setup_faults)
{
	static const enum secrets_fault faults[] = { DIE, SILENT, NONSENSE, REFUSE, NO_PATHS, IS_LOCKED };
	enum secrets_method at;
	size_t i;

	for (at = AT_OPEN_SESSION; at <= AT_LOCKED; at++)
		for (i = 0; i < nitems(faults); i++) {
			s->locked = false;
			fault(at, faults[i], 1);
			secrets_start(s);
			open_at(bus_address());
			keyring_set_bounds(keyring, faults[i] == SILENT ? SHORT : LONG, LONG, LONG);
			ck_assert_msg(settle() == KEYRING_ABSENT, "%d %zu", at, i);
			ck_assert_str_ne(keyring_why(keyring), "");
			is("at once", load(&key), STORE_FAILED, "");
			if (faults[i] == DIE) {
				secrets_buried(s);
				secrets_start(s);
			}
			s->locked = false;
			keyring_set_bounds(keyring, LONG, LONG, LONG);
			run_for(loop, BACKOFF_MIN);
			is("after the back-off", load(&key), STORE_GONE, "");
			keyring_close(keyring);
			keyring = NULL;
			secrets_kill(s);
		}
}
END_TEST

/* --- what it is for --- */

START_TEST(test_items)
{
	struct result r;

	ck_assert_str_eq(s->items[0].label, "mcp-authd: linear (" URL ")");
	ck_assert_str_eq(s->items[0].schema, "io.mcp-authd.Credential");
	ck_assert_str_eq(s->items[0].name, "linear");
	ck_assert_str_eq(s->items[0].url, URL);
	holds(&key, "one");
	is("replaced", save(&key, "two"), STORE_OK, "");
	holds(&key, "two");
	ck_assert(!s->items[1].used);
	/* I4: the same URL under another name is another credential. */
	is("other", load(&other), STORE_GONE, "");
	is("other", save(&other, "three"), STORE_OK, "");
	holds(&key, "two");
	holds(&other, "three");
	r = list();
	is("list", r, STORE_OK, "");
	ck_assert_str_eq(r.keys, "linear " URL "\nsecond " URL "\n");
	is("delete", delete(&key), STORE_OK, "");
	is("deleted", load(&key), STORE_GONE, "");
	is("delete again", delete(&key), STORE_OK, "");
	holds(&other, "three");
	ck_assert_int_eq(s->calls[AT_OPEN_SESSION], 1);
}
END_TEST

/* Any bytes, and one after the other however fast they are given. */
START_TEST(test_order)
{
	struct result r[5] = { 0 };
	const char bytes[] = "a\0b\xff\n";
	int i;

	keyring_save(keyring, &key, bytes, 5, completed, &r[0]);
	keyring_load(keyring, &key, completed, &r[1]);
	keyring_delete(keyring, &key, completed, &r[2]);
	keyring_load(keyring, &key, completed, &r[3]);
	keyring_save(keyring, &key, "end", 3, completed, &r[4]);
	run_until(loop, &r[4].done);
	for (i = 0; i < 5; i++) {
		ck_assert_int_eq(r[i].order, r[0].order + i);
		ck_assert_int_eq(r[i].what, i == 3 ? STORE_GONE : STORE_OK);
	}
	/* Each once: the setting up, setup()'s save and these. */
	ck_assert_int_eq(s->calls[AT_LOCKED], 7);
	ck_assert_uint_eq(r[1].n, 5);
	ck_assert_mem_eq(r[1].secret, bytes, 5);
	holds(&key, "end");
}
END_TEST

START_TEST(test_several)
{
	struct result r;

	s->items[3] = s->items[0];
	is("load", load(&key), STORE_BAD, "2 items with the same attributes");
	r = list();
	ck_assert_str_eq(r.keys, "linear " URL "\n");
	/* A service that finds more than was asked for: what is not ours is left alone. */
	s->finds_all = true;
	s->items[4] = s->items[0];
	strcpy(s->items[4].schema, "org.example.Other");
	is("two", load(&key), STORE_BAD, "2 items");
	is("delete", delete(&key), STORE_OK, "");
	ck_assert(!s->items[0].used && !s->items[3].used);
	ck_assert(s->items[4].used);
	is("not ours", load(&key), STORE_GONE, "");
	ck_assert_str_eq(list().keys, "");
	is("other", save(&other, "three"), STORE_OK, "");
	is("still gone", load(&key), STORE_GONE, "");
	holds(&other, "three");
}
END_TEST

START_TEST(test_too_long)
{
	static char big[RECORD_BYTES + 1];
	struct result r = { 0 };

	keyring_save(keyring, &key, big, sizeof(big), completed, &r);
	run_until(loop, &r.done);
	is("save", r, STORE_FAILED, "too long");
	holds(&key, "one");
}
END_TEST

/* --- locked --- */

START_TEST(test_prompt)
{
	s->locked = true;
	s->prompt = _i != 0 ? GRANTED_EARLY : GRANTED;
	holds(&key, "one");
	ck_assert_int_eq(s->calls[AT_PROMPT], 1);
	ck_assert_int_eq(keyring_state(keyring), KEYRING_READY);
	s->locked = true;
	is("save", save(&key, "two"), STORE_OK, "");
	s->locked = true;
	is("delete", delete(&key), STORE_OK, "");
	/* That it is gone is certain only once it is unlocked. */
	s->locked = true;
	is("load", load(&key), STORE_GONE, "");
	ck_assert_int_eq(s->calls[AT_PROMPT], 4);
	s->unlocks_freely = s->locked = true;
	is("load", load(&key), STORE_GONE, "");
	ck_assert_int_eq(s->calls[AT_PROMPT], 4);
}
END_TEST

START_TEST(test_refused)
{
	keyring_set_bounds(keyring, LONG, LONG, 500);
	s->locked = true;
	s->prompt = REFUSED;
	is("refused", load(&key), STORE_FAILED, "was refused");
	ck_assert_int_eq(keyring_state(keyring), KEYRING_LOCKED);
	s->prompt = GRANTED;
	is("not again", load(&key), STORE_FAILED, "refused just now");
	is("not again", save(&key, "two"), STORE_FAILED, "refused just now");
	ck_assert_int_eq(s->calls[AT_PROMPT], 1);
	run_for(loop, 600);
	holds(&key, "one");
	ck_assert_int_eq(s->calls[AT_PROMPT], 2);
	/* A success in between ends the silence. */
	keyring_set_bounds(keyring, LONG, LONG, HOUR_MS);
	s->locked = true;
	s->prompt = REFUSED;
	is("refused", load(&key), STORE_FAILED, "was refused");
	s->locked = false;
	holds(&key, "one");
	s->locked = true;
	s->prompt = GRANTED;
	holds(&key, "one");
	s->locked = true;
	s->prompt = GRANTED_IN_VAIN;
	is("in vain", load(&key), STORE_FAILED, "stays locked");
	ck_assert_int_eq(s->calls[AT_PROMPT], 5);
}
END_TEST

/* Nobody answers the prompt; a call behind it has its own time after that. */
START_TEST(test_ignored)
{
	struct result first = { 0 }, second = { 0 };
	int64_t begun = loop_now(loop).boot;

	keyring_set_bounds(keyring, 400, 900, LONG);
	s->locked = true;
	s->prompt = IGNORED;
	keyring_load(keyring, &key, completed, &first);
	keyring_list(keyring, listed, &second);
	run_until(loop, &first.done);
	is("first", first, STORE_TIMEOUT, "nobody answered");
	ck_assert_int_ge(loop_now(loop).boot - begun, 900);	/* a prompt's time, not a call's */
	ck_assert(!second.done);
	run_until(loop, &second.done);
	is("second", second, STORE_OK, "");
	ck_assert_int_eq(s->calls[AT_DISMISS], 1);
	is("no other prompt", load(&key), STORE_FAILED, "refused just now");
	ck_assert_int_eq(s->calls[AT_PROMPT], 1);
}
END_TEST

START_TEST(test_locked_list)
{
	struct result r;

	s->locked = true;
	r = list();
	is("list", r, STORE_OK, "");
	ck_assert_str_eq(r.keys, "linear " URL "\n");
	s->hidden = true;
	is("hidden", list(), STORE_FAILED, "is locked");
	s->hidden = false;
	s->items[0].used = false;
	is("nothing to be seen", list(), STORE_FAILED, "is locked");
	ck_assert_int_eq(s->calls[AT_UNLOCK], 0);
	ck_assert_int_eq(keyring_state(keyring), KEYRING_LOCKED);
}
END_TEST

/* Somebody locks it between two questions. */
START_TEST(test_locked_in_the_middle)
{
	s->prompt = GRANTED;
	fault(AT_GET_SECRET, IS_LOCKED, 1);
	holds(&key, "one");
	fault(AT_CREATE, IS_LOCKED, 1);
	is("save", save(&key, "two"), STORE_OK, "");
	holds(&key, "two");
	fault(AT_DELETE, IS_LOCKED, 1);
	is("delete", delete(&key), STORE_OK, "");
	ck_assert_int_eq(s->calls[AT_PROMPT], 3);
	fault(AT_SEARCH, IS_LOCKED, -1);
	is("load", load(&key), STORE_FAILED, "stays locked");
	ck_assert_int_eq(s->calls[AT_PROMPT], 4);
	ck_assert_int_eq(keyring_state(keyring), KEYRING_LOCKED);
}
END_TEST

/* A service that wants a prompt for more than unlocking. */
START_TEST(test_other_prompts)
{
	s->prompts = true;
	s->prompt = GRANTED;
	is("save", save(&key, "two"), STORE_OK, "");
	is("delete", delete(&key), STORE_OK, "");
	ck_assert_int_eq(s->calls[AT_PROMPT], 2);
	s->prompt = REFUSED;
	is("save", save(&key, "three"), STORE_FAILED, "refused");
}
END_TEST

/* --- faults in the middle of a call --- */

struct step {
	const char	*name;
	struct result	(*call)(void);
	enum secrets_method at;
	bool		 locked;
};

static struct result call_load(void) { return load(&key); }
static struct result call_save(void) { return save(&key, "two"); }
static struct result call_delete(void) { return delete(&key); }

static const struct step steps[] = {
	{ "load: locked?", call_load, AT_LOCKED, false },
	{ "load: search", call_load, AT_SEARCH, false },
	{ "load: attributes", call_load, AT_ATTRIBUTES, false },
	{ "load: secret", call_load, AT_GET_SECRET, false },
	{ "load: unlock", call_load, AT_UNLOCK, true },
	{ "load: prompt", call_load, AT_PROMPT, true },
	{ "save: locked?", call_save, AT_LOCKED, false },
	{ "save: create", call_save, AT_CREATE, false },
	{ "save: unlock", call_save, AT_UNLOCK, true },
	{ "save: prompt", call_save, AT_PROMPT, true },
	{ "delete: locked?", call_delete, AT_LOCKED, false },
	{ "delete: search", call_delete, AT_SEARCH, false },
	{ "delete: attributes", call_delete, AT_ATTRIBUTES, false },
	{ "delete: delete", call_delete, AT_DELETE, false },
	{ "list: locked?", list, AT_LOCKED, false },
	{ "list: search", list, AT_SEARCH, false },
	{ "list: attributes", list, AT_ATTRIBUTES, false }
};

static void
make_faulty(const struct step *step, enum secrets_fault f)
{
	s->locked = step->locked;
	s->prompt = IGNORED;
	fault(step->at, f, 1);
}

static void
works_again(const struct step *step)
{
	ck_assert_msg(s->times == 0, "%s: was not asked", step->name);
	s->locked = false;
	is(step->name, save(&key, "again"), STORE_OK, "");
	holds(&key, "again");
}

START_TEST(test_dies)
{
	const struct step *step = &steps[_i];

	make_faulty(step, DIE);
	is(step->name, step->call(), STORE_FAILED, "went away");
	ck_assert_int_eq(keyring_state(keyring), KEYRING_ABSENT);
	secrets_buried(s);
	is("nobody", load(&key), STORE_FAILED, "nobody offers");
	secrets_start(s);
	run_for(loop, BACKOFF_MIN + 100);
	works_again(step);
}
END_TEST

START_TEST(test_dies_for_all)
{
	struct result first = { 0 }, second = { 0 };

	fault(AT_GET_SECRET, DIE, 1);
	keyring_load(keyring, &key, completed, &first);
	keyring_save(keyring, &key, "two", 3, completed, &second);
	run_until(loop, &first.done);
	run_until(loop, &second.done);
	is("under way", first, STORE_FAILED, "went away");
	is("behind it", second, STORE_FAILED, "went away");
	ck_assert_mem_eq(s->items[0].value, "one", 3);
}
END_TEST

START_TEST(test_silent)
{
	const struct step *step = &steps[_i];

	make_faulty(step, SILENT);
	keyring_set_bounds(keyring, SHORT, SHORT, 0);
	is(step->name, step->call(), STORE_TIMEOUT, "");
	keyring_set_bounds(keyring, LONG, LONG, 0);
	works_again(step);
}
END_TEST

START_TEST(test_nonsense)
{
	const struct step *step = &steps[_i];

	make_faulty(step, NONSENSE);
	if (step->at == AT_PROMPT) {	/* whose answer says nothing; but then nobody answers */
		keyring_set_bounds(keyring, SHORT, SHORT, 0);
		is(step->name, step->call(), STORE_TIMEOUT, "");
	} else
		is(step->name, step->call(), STORE_FAILED, "nonsense");
	keyring_set_bounds(keyring, LONG, LONG, 0);
	works_again(step);
}
END_TEST

START_TEST(test_refuses)
{
	const struct step *step = &steps[_i];

	make_faulty(step, REFUSE);
	is(step->name, step->call(), STORE_FAILED, "org.example.Error.No: go\\x0aaway");
	works_again(step);
}
END_TEST

START_TEST(test_forgets_us)
{
	const struct step *step = &steps[_i];
	int sessions = s->calls[AT_OPEN_SESSION];

	make_faulty(step, NO_SESSION);
	is(step->name, step->call(), STORE_FAILED, "does not know us");
	works_again(step);
	ck_assert_int_eq(s->calls[AT_OPEN_SESSION], sessions + 1);
}
END_TEST

START_TEST(test_wrong_secrets)
{
	fault(AT_GET_SECRET, OTHER_SESSION, 1);
	is("session", load(&key), STORE_FAILED, "another session");
	fault(AT_GET_SECRET, PARAMETERS, 1);
	is("parameters", load(&key), STORE_FAILED, "another session");
	fault(AT_GET_SECRET, EMPTY, 1);
	is("empty", load(&key), STORE_BAD, "empty");
	fault(AT_GET_SECRET, TOO_LONG, 1);
	is("too long", load(&key), STORE_BAD, "longer");
	fault(AT_CREATE, NO_PATHS, 1);
	is("neither item nor prompt", save(&key, "two"), STORE_FAILED, "nonsense");
	holds(&key, "one");
}
END_TEST

/* Found, and then gone: that is what the next search says; but not for ever. */
START_TEST(test_vanishes)
{
	fault(AT_ATTRIBUTES, VANISHED, 1);
	holds(&key, "one");
	fault(AT_GET_SECRET, VANISHED, 2);
	holds(&key, "one");
	fault(AT_DELETE, VANISHED, -1);
	is("delete", delete(&key), STORE_FAILED, "NoSuchObject");
	fault(AT_GET_SECRET, VANISHED, -1);
	is("load", load(&key), STORE_FAILED, "NoSuchObject");
	fault(AT_SEARCH, VANISHED, 1);
	is("load", load(&key), STORE_FAILED, "collection is gone");
	holds(&key, "one");
}
END_TEST

/* --- coming back, and being told --- */

static int news;

static void
count_news(_unused_ void *arg)
{
	news++;
}

static void
emit(enum secrets_emit what)
{
	s->emit = what;
	while (s->emit != SAY_NOTHING)
		run_for(loop, 10);
	run_for(loop, 100);
}

START_TEST(test_watch)
{
	int before;

	run_for(loop, 50);
	keyring_watch(keyring, count_news, NULL);
	news = 0;
	emit(SAY_FORGED);
	ck_assert_int_eq(news, 0);
	ck_assert_int_eq(keyring_state(keyring), KEYRING_READY);
	emit(SAY_CREATED);
	ck_assert_int_gt(news, 0);
	s->locked = true;
	emit(SAY_LOCKED);
	ck_assert_int_eq(keyring_state(keyring), KEYRING_LOCKED);
	/* A forged end of a prompt ends none. */
	s->prompt = IGNORED;
	keyring_set_bounds(keyring, 1500, 1500, 0);
	before = s->calls[AT_LOCKED];
	s->emit = SAY_FORGED;
	is("load", load(&key), STORE_TIMEOUT, "nobody answered");
	ck_assert_int_eq(s->emit, SAY_NOTHING);
	ck_assert_int_eq(s->calls[AT_LOCKED], before + 1);
	s->locked = false;
	emit(SAY_DELETED);
	ck_assert_int_eq(keyring_state(keyring), KEYRING_ABSENT);
	holds(&key, "one");
}
END_TEST

START_TEST(test_service_restarts)
{
	keyring_watch(keyring, count_news, NULL);
	run_for(loop, 50);
	secrets_kill(s);
	while (keyring_state(keyring) != KEYRING_ABSENT)
		run_for(loop, 10);
	news = 0;
	secrets_start(s);
	while (keyring_state(keyring) != KEYRING_READY)
		run_for(loop, 10);
	run_for(loop, 10);
	ck_assert_int_gt(news, 0);
	holds(&key, "one");
}
END_TEST

START_TEST(test_bus_restarts)
{
	struct result r = { 0 };

	keyring_watch(keyring, count_news, NULL);
	fault(AT_GET_SECRET, SILENT, -1);
	keyring_load(keyring, &key, completed, &r);
	run_for(loop, 100);
	bus_kill();
	run_until(loop, &r.done);
	is("load", r, STORE_FAILED, "bus went away");
	secrets_buried(s);
	is("load", load(&key), STORE_FAILED, "no session bus");
	s->times = 0;
	bus_start();
	secrets_start(s);
	news = 0;
	/* By itself, too, within its back-off. */
	while (keyring_state(keyring) != KEYRING_READY)
		run_for(loop, 10);
	run_for(loop, 10);
	ck_assert_int_gt(news, 0);
	holds(&key, "one");
}
END_TEST

START_TEST(test_forget)
{
	struct result r[3] = { 0 };

	keyring_save(keyring, &key, "two", 3, completed, &r[0]);
	keyring_load(keyring, &key, completed, &r[1]);
	keyring_forget(keyring, &r[0]);
	run_until(loop, &r[1].done);
	ck_assert_str_eq(r[1].secret, "two");
	ck_assert(!r[0].done);
	keyring_settled(keyring, settled, &r[2].done);
	keyring_forget(keyring, &r[2].done);
	run_for(loop, 20);
	ck_assert(!r[2].done);
	/* Closed with calls under way, and with one that is over and not yet told. */
	keyring_set_bounds(keyring, 0, 0, 0);
	keyring_load(keyring, &key, completed, &r[0]);
	keyring_list(keyring, listed, &r[2]);
	keyring_settled(keyring, settled, &r[2].done);
	keyring_close(keyring);
	keyring = NULL;
	run_for(loop, 50);
	ck_assert(!r[0].done && !r[2].done);
	keyring_close(NULL);
}
END_TEST

static void
add_alone(Suite *suite)
{
	TCase *tc = tcase_create("alone");

	tcase_set_timeout(tc, 30);
	tcase_add_checked_fixture(tc, setup_alone, teardown_alone);
	tcase_add_loop_test(tc, test_no_bus, 0, 7);
	tcase_add_test(tc, test_environment);
	tcase_add_test(tc, test_deaf_bus);
	suite_add_tcase(suite, tc);
}

static void
add_bus(Suite *suite)
{
	TCase *tc = tcase_create("bus");

	tcase_set_timeout(tc, 30);
	tcase_add_checked_fixture(tc, setup_bus, teardown);
	tcase_add_test(tc, test_no_service);
	tcase_add_test(tc, test_no_collection);
	tcase_add_test(tc, test_early_call);
	tcase_add_test(tc, test_setup_faults);
	suite_add_tcase(suite, tc);
}

static void
add_service(Suite *suite)
{
	const int n = (int)nitems(steps);
	TCase *tc = tcase_create("service");

	tcase_set_timeout(tc, 30);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, test_items);
	tcase_add_test(tc, test_order);
	tcase_add_test(tc, test_several);
	tcase_add_test(tc, test_too_long);
	tcase_add_loop_test(tc, test_prompt, 0, 2);
	tcase_add_test(tc, test_refused);
	tcase_add_test(tc, test_ignored);
	tcase_add_test(tc, test_locked_list);
	tcase_add_test(tc, test_locked_in_the_middle);
	tcase_add_test(tc, test_other_prompts);
	tcase_add_loop_test(tc, test_dies, 0, n);
	tcase_add_test(tc, test_dies_for_all);
	tcase_add_loop_test(tc, test_silent, 0, n);
	tcase_add_loop_test(tc, test_nonsense, 0, n);
	tcase_add_loop_test(tc, test_refuses, 0, n);
	tcase_add_loop_test(tc, test_forgets_us, 0, n);
	tcase_add_test(tc, test_wrong_secrets);
	tcase_add_test(tc, test_vanishes);
	tcase_add_test(tc, test_watch);
	tcase_add_test(tc, test_service_restarts);
	tcase_add_test(tc, test_bus_restarts);
	tcase_add_test(tc, test_forget);
	suite_add_tcase(suite, tc);
}

int
main(void)
{
	Suite *suite = suite_create("keyring");
	SRunner *sr;
	int failed;

	add_alone(suite);
	if (bus_installed()) {
		add_bus(suite);
		add_service(suite);
	} else
		printf("skipped: what needs a D-Bus (dbus-daemon is not installed)\n");
	sr = srunner_create(suite);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
