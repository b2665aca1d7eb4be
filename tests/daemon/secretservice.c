#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#include <check.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <systemd/sd-bus.h>
#include <unistd.h>

#include "bounds.h"
#include "secretservice.h"

#define TOP	"/org/freedesktop/secrets"
#define COLLECTION TOP "/collection/login"
#define SECRET	"org.freedesktop.Secret."
#define FAULTY	SECRET "Error."

/* --- the bus --- */

static char top[64], address[96];
static pid_t bus_pid;

bool
bus_installed(void)
{
	return system("command -v dbus-daemon >/dev/null") == 0;
}

const char *
bus_address(void)
{
	if (top[0] == '\0') {
		snprintf(top, sizeof(top), "/tmp/mcp-authd-bus.XXXXXX");
		ck_assert_ptr_nonnull(mkdtemp(top));
		snprintf(address, sizeof(address), "unix:path=%s/bus", top);
	}
	return address;
}

static void
write_config(const char *path)
{
	FILE *f = fopen(path, "w");

	ck_assert_ptr_nonnull(f);
	fprintf(f, "<busconfig><type>session</type><listen>%s</listen><auth>EXTERNAL</auth>"
	    "<policy context=\"default\"><allow send_destination=\"*\"/>"
	    "<allow receive_sender=\"*\"/><allow own=\"*\"/>"
	    "</policy></busconfig>\n", bus_address());
	ck_assert_int_eq(fclose(f), 0);
}

static bool
bus_listens(void)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), r;

	snprintf(sun.sun_path, sizeof(sun.sun_path), "%s/bus", top);
	r = connect(fd, (struct sockaddr *)&sun, sizeof(sun));
	close(fd);
	return r == 0;
}

void
bus_start(void)
{
	char config[96], arg[128];
	int i;

	bus_address();
	snprintf(config, sizeof(config), "%s/config", top);
	snprintf(arg, sizeof(arg), "--config-file=%s", config);
	write_config(config);
	bus_pid = fork();
	ck_assert_int_ne(bus_pid, -1);
	if (bus_pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		dup2(open("/dev/null", O_WRONLY), 2);	/* it complains of its limits */
		execlp("dbus-daemon", "dbus-daemon", arg, "--nofork", "--nopidfile", (char *)NULL);
		_exit(127);
	}
	for (i = 0; !bus_listens(); i++) {
		ck_assert_msg(i < 1000, "dbus-daemon does not listen");
		poll(NULL, 0, 10);
	}
}

void
bus_kill(void)
{
	char path[96];

	if (bus_pid == 0)
		return;
	kill(bus_pid, SIGKILL);
	waitpid(bus_pid, NULL, 0);
	bus_pid = 0;
	snprintf(path, sizeof(path), "%s/bus", top);
	unlink(path);
}

void
bus_remove(void)
{
	char path[96];

	bus_kill();
	if (top[0] == '\0')
		return;
	snprintf(path, sizeof(path), "%s/config", top);
	unlink(path);
	rmdir(top);
	top[0] = '\0';
}

/* --- the service, a process --- */

static struct secrets *s;
static sd_bus *bus;

static void
must(int r)
{
	if (r >= 0)
		return;
	fprintf(stderr, "secrets: %s\n", strerror(-r));
	_exit(1);
}

static int
error(sd_bus_message *m, const char *name, const char *words)
{
	must(sd_bus_reply_method_errorf(m, name, "%s", words));
	return 1;
}

static void
add_secret(sd_bus_message *r, const struct secrets_item *it, int fault)
{
	static char long_value[RECORD_BYTES + 1];
	const void *value = fault == TOO_LONG ? long_value : it->value;
	size_t n = fault == TOO_LONG ? sizeof(long_value) : fault == EMPTY ? 0 : it->n;

	must(sd_bus_message_open_container(r, 'r', "oayays"));
	must(sd_bus_message_append(r, "o", fault == OTHER_SESSION ? TOP "/session/other" :
	    TOP "/session/1"));
	must(sd_bus_message_append_array(r, 'y', "xy", fault == PARAMETERS ? 2 : 0));
	must(sd_bus_message_append_array(r, 'y', value, n));
	must(sd_bus_message_append(r, "s", "text/plain"));
	must(sd_bus_message_close_container(r));
}

static struct secrets_item *
item_at(const char *path)
{
	int n;

	if (sscanf(path, COLLECTION "/%d", &n) != 1 || n < 0 || n >= (int)nitems(s->items) ||
	    !s->items[n].used)
		return NULL;
	return &s->items[n];
}

static void
path_of(const struct secrets_item *it, char out[64])
{
	snprintf(out, 64, COLLECTION "/%d", (int)(it - s->items));
}

/* The attributes of a question; what it does not name is "". */
static struct secrets_item
read_wanted(sd_bus_message *m)
{
	struct secrets_item it = { 0 };
	const char *key, *value;

	must(sd_bus_message_enter_container(m, 'a', "{ss}"));
	while (sd_bus_message_read(m, "{ss}", &key, &value) > 0) {
		if (strcmp(key, "xdg:schema") == 0)
			snprintf(it.schema, sizeof(it.schema), "%s", value);
		else if (strcmp(key, "name") == 0)
			snprintf(it.name, sizeof(it.name), "%s", value);
		else if (strcmp(key, "url") == 0)
			snprintf(it.url, sizeof(it.url), "%s", value);
	}
	must(sd_bus_message_exit_container(m));
	return it;
}

static bool
fits(const char *wanted, const char *found)
{
	return wanted[0] == '\0' || strcmp(wanted, found) == 0;
}

static bool
is_wanted(const struct secrets_item *it, const struct secrets_item *w)
{
	return it->used && (s->finds_all || (fits(w->schema, it->schema) && fits(w->name, it->name) &&
	    fits(w->url, it->url)));
}

static void
do_search(sd_bus_message *m, sd_bus_message *r)
{
	struct secrets_item wanted = read_wanted(m);
	char path[64];
	size_t i;

	must(sd_bus_message_open_container(r, 'a', "o"));
	for (i = 0; i < nitems(s->items); i++)
		if (is_wanted(&s->items[i], &wanted)) {
			path_of(&s->items[i], path);
			must(sd_bus_message_append(r, "o", path));
		}
	must(sd_bus_message_close_container(r));
}

static void
read_item(sd_bus_message *m, struct secrets_item *ret)
{
	const char *key, *label = "", *session;
	const void *value;
	size_t n;

	memset(ret, 0, sizeof(*ret));
	must(sd_bus_message_enter_container(m, 'a', "{sv}"));
	while (sd_bus_message_enter_container(m, 'e', "sv") > 0) {
		must(sd_bus_message_read(m, "s", &key));
		if (strcmp(key, SECRET "Item.Label") == 0)
			must(sd_bus_message_read(m, "v", "s", &label));
		else {
			must(sd_bus_message_enter_container(m, 'v', "a{ss}"));
			*ret = read_wanted(m);
			must(sd_bus_message_exit_container(m));
		}
		must(sd_bus_message_exit_container(m));
	}
	must(sd_bus_message_exit_container(m));
	must(sd_bus_message_enter_container(m, 'r', "oayays"));
	must(sd_bus_message_read(m, "o", &session));
	if (strcmp(session, TOP "/session/1") != 0)
		must(-EINVAL);
	must(sd_bus_message_skip(m, "ay"));
	must(sd_bus_message_read_array(m, 'y', &value, &n));
	snprintf(ret->label, sizeof(ret->label), "%s", label);
	ret->n = MIN(n, sizeof(ret->value));
	memcpy(ret->value, value, ret->n);
	ret->used = true;
}

static void
do_create(sd_bus_message *m, sd_bus_message *r)
{
	struct secrets_item new, *free_one = NULL, *same = NULL, *it;
	char path[64];

	read_item(m, &new);
	for (it = s->items; it < s->items + nitems(s->items); it++) {
		if (it->used && strcmp(it->schema, new.schema) == 0 &&
		    strcmp(it->name, new.name) == 0 && strcmp(it->url, new.url) == 0)
			same = it;
		else if (!it->used && free_one == NULL)
			free_one = it;
	}
	it = same != NULL ? same : free_one;
	if (it == NULL)
		must(-ENOSPC);
	*it = new;
	path_of(it, path);
	must(sd_bus_message_append(r, "oo", s->prompts ? "/" : path, s->prompts ? TOP "/prompt/2" : "/"));
}

static void
do_attributes(const struct secrets_item *it, sd_bus_message *r)
{
	if (s->locked && s->hidden)
		must(sd_bus_message_append(r, "v", "a{ss}", 0));
	else
		must(sd_bus_message_append(r, "v", "a{ss}", 3, "xdg:schema", it->schema,
		    "name", it->name, "url", it->url));
}

static void
complete(sd_bus *by, const char *path, bool dismissed)
{
	must(sd_bus_emit_signal(by, path, SECRET "Prompt", "Completed", "bv", (int)dismissed,
	    "o", COLLECTION));
}

static int
do_prompt(sd_bus_message *m)
{
	const char *path = sd_bus_message_get_path(m);

	if (s->prompt == GRANTED || s->prompt == GRANTED_EARLY)
		s->locked = false;
	if (s->prompt == GRANTED_EARLY)
		complete(bus, path, false);
	must(sd_bus_reply_method_return(m, ""));
	if (s->prompt == GRANTED || s->prompt == GRANTED_IN_VAIN || s->prompt == REFUSED)
		complete(bus, path, s->prompt == REFUSED);
	return 1;
}

static enum secrets_method
which(sd_bus_message *m)
{
	static const struct {
		const char *member;
		enum secrets_method method;
	} names[] = {
		{ "OpenSession", AT_OPEN_SESSION }, { "ReadAlias", AT_READ_ALIAS },
		{ "SearchItems", AT_SEARCH }, { "GetSecret", AT_GET_SECRET },
		{ "CreateItem", AT_CREATE }, { "Delete", AT_DELETE }, { "Unlock", AT_UNLOCK },
		{ "Prompt", AT_PROMPT }, { "Dismiss", AT_DISMISS }
	};
	const char *interface, *property, *member = sd_bus_message_get_member(m);
	size_t i;

	if (strcmp(member, "Get") == 0) {
		must(sd_bus_message_read(m, "ss", &interface, &property));
		return strcmp(property, "Locked") == 0 ? AT_LOCKED : AT_ATTRIBUTES;
	}
	for (i = 0; i < nitems(names); i++)
		if (strcmp(member, names[i].member) == 0)
			return names[i].method;
	return AT_NOTHING;
}

static int
misbehave(sd_bus_message *m, enum secrets_fault fault)
{
	switch (fault) {
	case DIE:
		_exit(0);
	case SILENT:
		return 1;
	case REFUSE:
		return error(m, "org.example.Error.No", "go\naway");
	case VANISHED:
		return error(m, FAULTY "NoSuchObject", "it is gone");
	case IS_LOCKED:
		s->locked = true;
		return error(m, FAULTY "IsLocked", "it is locked");
	case NO_SESSION:
		return error(m, FAULTY "NoSession", "who are you?");
	case NO_PATHS:
		must(sd_bus_reply_method_return(m, "oo", "/", "/"));
		return 1;
	case NONSENSE:
		must(sd_bus_reply_method_return(m, "i", 7));
		return 1;
	default:
		return 0;
	}
}

static void
answer(sd_bus_message *m, sd_bus_message *r, enum secrets_method what,
    struct secrets_item *it, int fault)
{
	switch (what) {
	case AT_OPEN_SESSION:
		must(sd_bus_message_append(r, "vo", "s", "", TOP "/session/1"));
		break;
	case AT_READ_ALIAS:
		must(sd_bus_message_append(r, "o", s->no_alias ? "/" : COLLECTION));
		break;
	case AT_LOCKED:
		must(sd_bus_message_append(r, "v", "b", (int)s->locked));
		break;
	case AT_SEARCH:
		do_search(m, r);
		break;
	case AT_ATTRIBUTES:
		do_attributes(it, r);
		break;
	case AT_GET_SECRET:
		add_secret(r, it, fault);
		break;
	case AT_CREATE:
		do_create(m, r);
		break;
	case AT_DELETE:
		it->used = false;
		must(sd_bus_message_append(r, "o", s->prompts ? TOP "/prompt/3" : "/"));
		break;
	case AT_UNLOCK:
		if (s->unlocks_freely)
			s->locked = false;
		must(sd_bus_message_append(r, "aoo", 0, s->unlocks_freely ? "/" : TOP "/prompt/1"));
		break;
	default:
		break;
	}
}

static int
called(sd_bus_message *m, _unused_ void *arg, _unused_ sd_bus_error *e)
{
	struct secrets_item *it = NULL;
	enum secrets_method what;
	sd_bus_message *r = NULL;
	int fault = -1;

	if (!sd_bus_message_is_method_call(m, NULL, NULL))
		return 0;
	what = which(m);
	if (what == AT_NOTHING)
		return 0;
	s->calls[what]++;
	if (what == s->at && s->times != 0) {
		if (s->times > 0)
			s->times--;
		fault = (int)s->fault;
		if (misbehave(m, s->fault))
			return 1;
	}
	if (what == AT_PROMPT)
		return do_prompt(m);
	it = item_at(sd_bus_message_get_path(m));
	if (it == NULL && (what == AT_ATTRIBUTES || what == AT_GET_SECRET || what == AT_DELETE))
		return error(m, FAULTY "NoSuchObject", "no such item");
	must(sd_bus_message_new_method_return(m, &r));
	answer(m, r, what, it, fault);
	must(sd_bus_send(bus, r, NULL));
	sd_bus_message_unref(r);
	return 1;
}

static void
connect_bus(sd_bus **ret)
{
	must(sd_bus_new(ret));
	must(sd_bus_set_address(*ret, address));
	must(sd_bus_set_bus_client(*ret, 1));
	must(sd_bus_start(*ret));
}

static void
say(sd_bus *by, enum secrets_emit what)
{
	if (what == SAY_CREATED)
		must(sd_bus_emit_signal(by, COLLECTION, SECRET "Collection", "ItemCreated", "o",
		    COLLECTION "/0"));
	else
		must(sd_bus_emit_signal(by, TOP, SECRET "Service", what == SAY_LOCKED ?
		    "CollectionChanged" : "CollectionDeleted", "o", COLLECTION));
}

static void
emit(sd_bus *other)
{
	enum secrets_emit what = s->emit;

	if (what == SAY_FORGED) {
		say(other, SAY_CREATED);
		say(other, SAY_LOCKED);
		say(other, SAY_DELETED);
		complete(other, TOP "/prompt/1", false);
		must(sd_bus_flush(other));
	} else if (what != SAY_NOTHING) {
		say(bus, what);
		must(sd_bus_flush(bus));
	}
	s->emit = SAY_NOTHING;
}

static void
serve(void)
{
	sd_bus *other;
	int r;

	connect_bus(&bus);
	connect_bus(&other);
	must(sd_bus_add_filter(bus, NULL, called, NULL));
	must(sd_bus_request_name(bus, "org.freedesktop.secrets", 0));
	must(sd_bus_request_name(other, "org.example.Other", 0));
	s->ready = getpid();
	for (;;) {
		r = sd_bus_process(bus, NULL);
		if (r < 0)
			_exit(0);	/* the bus is gone */
		emit(other);
		if (r == 0 && sd_bus_wait(bus, 5000) < 0)
			_exit(0);
	}
}

struct secrets *
secrets_new(void)
{
	struct secrets *new;

	new = mmap(NULL, sizeof(*new), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ck_assert_ptr_ne(new, MAP_FAILED);
	new->at = AT_NOTHING;
	return new;
}

void
secrets_free(struct secrets *old)
{
	munmap(old, sizeof(*old));
}

void
secrets_start(struct secrets *of)
{
	pid_t pid;
	int i;

	of->ready = 0;
	pid = fork();
	ck_assert_int_ne(pid, -1);
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		s = of;
		serve();
	}
	for (i = 0; of->ready != pid; i++) {
		ck_assert_msg(i < 1000, "the service does not come up");
		poll(NULL, 0, 5);
	}
}

void
secrets_buried(struct secrets *of)
{
	if (of->ready != 0)
		waitpid(of->ready, NULL, 0);
	of->ready = 0;
}

void
secrets_kill(struct secrets *of)
{
	if (of->ready != 0)
		kill(of->ready, SIGKILL);
	secrets_buried(of);
}
