#include <ctype.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>

#include "log.h"
#include "store_keyring_impl.h"

#define DBUS		"org.freedesktop.DBus"
#define DBUS_ERROR	DBUS ".Error."
#define SECRETS		"org.freedesktop.secrets"	/* the service's well-known name */
#define NO_SERVICE	"nobody offers a keyring (org.freedesktop.secrets) on the session bus: start " \
			"one (gnome-keyring, KWallet, KeePassXC), or set another store.backend"

static void pump(void *arg);

/* --- down --- */

static void
clear_text(char **s)
{
	free(*s);
	*s = NULL;
}

/*
 * What was up may be tried anew at once, a failed try only after its back-off.
 * Calls fail with the same words.
 */
static void
down(struct keyring *k, const char *why)
{
	bool tried = k->state == KEYRING_CONNECTING;

	if (!tried || strcmp(k->why, why) != 0)	/* a retry that fails in the same way says nothing new */
		log_msg(k->was_up ? LOG_WARNING : LOG_INFO, NULL, "keyring", "%s", why);
	timer_clear(&k->limit);
	keyring_drop(&k->setup);
	keyring_drop(&k->look);
	clear_text(&k->owner);
	clear_text(&k->session);
	clear_text(&k->collection);
	snprintf(k->why, sizeof(k->why), "%s", why);
	k->backoff = !tried ? 0 : MIN(MAX(k->backoff * 2, BACKOFF_MIN), BACKOFF_MAX);
	k->retry_at = loop_now(k->loop).boot + k->backoff;
	k->state = KEYRING_ABSENT;
	keyring_fail_calls(k, k->why);
	keyring_tell_settled(k);
}

static void
down_f(struct keyring *k, const char *fmt, ...) _printf_(2, 3);

static void
down_f(struct keyring *k, const char *fmt, ...)
{
	char why[sizeof(k->why)];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, sizeof(why), fmt, ap);
	va_end(ap);
	down(k, why);
}

void
keyring_lose(struct keyring *k, const char *why)
{
	down_f(k, "%s", why);
}

void
keyring_disconnect(struct keyring *k)
{
	keyring_drop(&k->setup);
	keyring_drop(&k->look);
	timer_clear(&k->limit);
	timer_clear(&k->pump);
	timer_clear(&k->retry);
	if (k->io != NULL)
		event_free(k->io);
	k->io = NULL;
	k->bus = sd_bus_close_unref(k->bus);	/* unsent messages are dropped, nothing waits */
	clear_text(&k->owner);
	clear_text(&k->session);
	clear_text(&k->collection);
}

static void
retry_later(struct keyring *k)
{
	timer_set(&k->retry, MAX(k->retry_at - loop_now(k->loop).boot, BACKOFF_MIN));
}

/* A keyring that once was there is looked for again, also if nobody calls (changed() must come). */
static void
bus_gone(struct keyring *k, const char *why)
{
	keyring_disconnect(k);
	down_f(k, "%s", why);
	if (k->was_up)
		retry_later(k);
}

/* --- sd-bus on the loop --- */

static void
bus_ready(_unused_ evutil_socket_t fd, _unused_ short what, void *arg)
{
	pump(arg);
}

/*
 * Its own time-outs are not used: calls and the setting up have timers of
 * ours.  0 says that messages were read already and wait to be looked at.
 */
static void
rearm(struct keyring *k)
{
	int events = sd_bus_get_events(k->bus);
	uint64_t usec = UINT64_MAX;
	short what = EV_PERSIST;

	what |= events > 0 && (events & POLLIN) != 0 ? EV_READ : 0;
	what |= events > 0 && (events & POLLOUT) != 0 ? EV_WRITE : 0;
	if (what != k->events) {
		event_del(k->io);
		event_assign(k->io, k->loop->base, sd_bus_get_fd(k->bus), what, bus_ready, k);
		event_add(k->io, NULL);
		k->events = what;
	}
	if (sd_bus_get_timeout(k->bus, &usec) >= 0 && usec == 0)
		timer_set(&k->pump, 0);
}

static void
pump(void *arg)
{
	struct keyring *k = arg;
	int i, r = 1;

	for (i = 0; i < KEYRING_ROUNDS && r > 0; i++)
		r = sd_bus_process(k->bus, NULL);
	if (r < 0 || sd_bus_is_open(k->bus) <= 0)
		bus_gone(k, k->was_up ? "the session bus went away" :
		    "the session bus ended the connection");
	else
		rearm(k);
}

sd_bus_message *
keyring_method(struct keyring *k, const char *path, const char *interface, const char *member,
    const char *types, ...)
{
	sd_bus_message *m = NULL;
	va_list ap;
	int r;

	r = sd_bus_message_new_method_call(k->bus, &m, k->owner != NULL ? k->owner : SECRETS, path,
	    interface, member);
	va_start(ap, types);
	if (r >= 0 && types[0] != '\0')
		r = sd_bus_message_appendv(m, types, ap);
	va_end(ap);
	return r >= 0 ? m : sd_bus_message_unref(m);
}

/* The bus itself says that whom we asked is no more. */
static bool
service_gone(const struct keyring *k, sd_bus_message *m)
{
	static const char *const names[] = {
		DBUS_ERROR "NoReply", DBUS_ERROR "ServiceUnknown", DBUS_ERROR "NameHasNoOwner",
		DBUS_ERROR "Disconnected"
	};
	const char *sender = sd_bus_message_get_sender(m);
	size_t i;

	if (k->owner == NULL || sender == NULL || strcmp(sender, DBUS) != 0)
		return false;
	for (i = 0; i < nitems(names); i++)
		if (sd_bus_message_is_method_error(m, names[i]) > 0)
			return true;
	return false;
}

static bool
is_from_service(const struct keyring *k, sd_bus_message *m)
{
	const char *sender = sd_bus_message_get_sender(m);

	return k->owner != NULL && sender != NULL && strcmp(sender, k->owner) == 0;
}

static int
answered(sd_bus_message *m, void *arg, _unused_ sd_bus_error *error)
{
	static const sd_bus_error forged = SD_BUS_ERROR_MAKE_CONST(DBUS_ERROR "AccessDenied",
	    "the answer came from somebody else");
	struct keyring_ask *a = arg;

	a->slot = sd_bus_slot_unref(a->slot);
	if (sd_bus_is_open(a->k->bus) <= 0)
		return 0;	/* the bus is gone, and pump() will say so */
	if (service_gone(a->k, m))
		keyring_lose(a->k, "the keyring service went away; try again");
	else if (sd_bus_message_is_method_error(m, NULL) > 0)
		a->refused(a->arg, sd_bus_message_get_error(m));
	else if (a->k->owner != NULL && !is_from_service(a->k, m))
		a->refused(a->arg, &forged);
	else
		a->got(a->arg, m);
	return 0;
}

void
keyring_ask(struct keyring_ask *a, sd_bus_message *m, void (*got)(void *, sd_bus_message *))
{
	static const sd_bus_error no_memory = SD_BUS_ERROR_MAKE_CONST(SD_BUS_ERROR_NO_MEMORY,
	    "out of memory");
	static const sd_bus_error unsent = SD_BUS_ERROR_MAKE_CONST(SD_BUS_ERROR_DISCONNECTED,
	    "the session bus does not take the question");
	int r = -ENOMEM;

	keyring_drop(a);
	a->got = got;
	if (m != NULL)
		r = sd_bus_call_async(a->k->bus, &a->slot, m, answered, a, UINT64_MAX);
	sd_bus_message_unref(m);
	rearm(a->k);
	if (r < 0)
		a->refused(a->arg, r == -ENOMEM ? &no_memory : &unsent);
}

void
keyring_tell(struct keyring *k, sd_bus_message *m)
{
	if (m == NULL)
		return;
	sd_bus_message_set_expect_reply(m, 0);
	(void)sd_bus_send(k->bus, m, NULL);
	sd_bus_message_unref(m);
	rearm(k);
}

void
keyring_drop(struct keyring_ask *a)
{
	a->slot = sd_bus_slot_unref(a->slot);
}

/* --- the session --- */

static void
setup_refused(void *arg, const sd_bus_error *e)
{
	struct keyring *k = arg;
	char name[80], words[120];

	if (sd_bus_error_has_name(e, DBUS_ERROR "ServiceUnknown") ||
	    sd_bus_error_has_name(e, DBUS_ERROR "NameHasNoOwner"))
		down(k, NO_SERVICE);
	else
		down_f(k, "the keyring service cannot be used: %s: %s",
		    text_escape(name, sizeof(name), e->name, strlen(e->name)),
		    text_escape(words, sizeof(words), e->message != NULL ? e->message : "",
		    e->message != NULL ? strlen(e->message) : 0));
}

static void
setup_nonsense(struct keyring *k, const char *member)
{
	down_f(k, "the keyring service's answer to %s is nonsense", member);
}

void
keyring_ask_locked(struct keyring_ask *a, void (*got)(void *, sd_bus_message *))
{
	keyring_ask(a, keyring_method(a->k, a->k->collection, PROPERTIES, "Get", "ss",
	    SECRET_COLLECTION, "Locked"), got);
}

int
keyring_read_locked(struct keyring *k, sd_bus_message *m, bool *ret_locked)
{
	int locked;

	if (sd_bus_message_read(m, "v", "b", &locked) < 0)
		return -1;
	*ret_locked = locked != 0;
	k->state = locked != 0 ? KEYRING_LOCKED : KEYRING_READY;
	return 0;
}

static void
got_locked(void *arg, sd_bus_message *m)
{
	struct keyring *k = arg;
	bool locked;

	if (keyring_read_locked(k, m, &locked) == -1) {
		setup_nonsense(k, "Get(Locked)");
		return;
	}
	timer_clear(&k->limit);
	timer_clear(&k->retry);
	k->backoff = 0;
	k->was_up = true;
	log_info(NULL, "keyring", "the keyring answers%s", locked ? "; it is locked" : "");
	keyring_tell_settled(k);
	keyring_tell_changed(k);	/* while it was away, anything may have happened */
	keyring_go_on(k);
}

static void
got_alias(void *arg, sd_bus_message *m)
{
	struct keyring *k = arg;
	const char *path;

	if (sd_bus_message_read(m, "o", &path) < 0)
		setup_nonsense(k, "ReadAlias");
	else if (strcmp(path, NO_OBJECT) == 0)
		down(k, "the keyring has no default collection: create one (say, with Seahorse), or "
		    "set another store.backend");
	else if ((k->collection = strdup(path)) == NULL)
		down(k, "out of memory");
	else
		keyring_ask_locked(&k->setup, got_locked);
}

static void
got_session(void *arg, sd_bus_message *m)
{
	struct keyring *k = arg;
	const char *path, *sender = sd_bus_message_get_sender(m);

	if (sender == NULL || sd_bus_message_skip(m, "v") < 0 ||
	    sd_bus_message_read(m, "o", &path) < 0 || strcmp(path, NO_OBJECT) == 0) {
		setup_nonsense(k, "OpenSession");
		return;
	}
	k->owner = strdup(sender);
	k->session = strdup(path);
	if (k->owner == NULL || k->session == NULL)
		down(k, "out of memory");
	else
		keyring_ask(&k->setup, keyring_method(k, SECRETS_PATH, SECRET_SERVICE, "ReadAlias",
		    "s", "default"), got_alias);
}

/*
 * "plain": every implementation has it.  The other algorithm (a Diffie-Hellman
 * group of 1024 bits, unauthenticated) would hide the secret from none but the
 * bus and from who may watch it, and these are the same user, who may ask the
 * keyring as well as we do.  The first question starts the service, if the
 * bus knows how; all others go to that process alone.
 */
static void
begin_session(struct keyring *k)
{
	timer_clear(&k->retry);
	k->state = KEYRING_CONNECTING;
	timer_set(&k->limit, k->call_wait);
	keyring_ask(&k->setup, keyring_method(k, SECRETS_PATH, SECRET_SERVICE, "OpenSession", "sv",
	    "plain", "s", ""), got_session);
}

static void
setup_late(void *arg)
{
	struct keyring *k = arg;
	bool asked = k->bus != NULL && sd_bus_is_ready(k->bus) > 0;

	/* A bus that does not answer is left; a service may come round. */
	if (asked)
		down(k, "the keyring service does not answer");
	else
		bus_gone(k, "the session bus does not answer");
}

/* --- signals --- */

static void
look_got(void *arg, sd_bus_message *m)
{
	struct keyring *k = arg;
	bool locked;

	(void)keyring_read_locked(k, m, &locked);	/* nonsense: the next call will say so */
}

static void
look_refused(_unused_ void *arg, _unused_ const sd_bus_error *e)
{
}

static int
owner_changed(sd_bus_message *m, void *arg, _unused_ sd_bus_error *error)
{
	const char *name, *old, *new, *sender = sd_bus_message_get_sender(m);
	struct keyring *k = arg;

	if (sender == NULL || strcmp(sender, DBUS) != 0 ||
	    sd_bus_message_read(m, "sss", &name, &old, &new) < 0 || strcmp(name, SECRETS) != 0)
		return 0;
	if (k->owner != NULL && strcmp(k->owner, new) != 0)
		keyring_lose(k, "the keyring service went away; try again");
	if (k->state == KEYRING_ABSENT && new[0] != '\0') {
		if (loop_now(k->loop).boot >= k->retry_at)
			begin_session(k);
		else
			retry_later(k);
	}
	return 0;
}

/* Service.CollectionCreated, -Changed, -Deleted. */
static int
service_says(sd_bus_message *m, void *arg, _unused_ sd_bus_error *error)
{
	struct keyring *k = arg;
	const char *path;

	if (!is_from_service(k, m) || k->state < KEYRING_LOCKED ||
	    sd_bus_message_read(m, "o", &path) < 0 || strcmp(path, k->collection) != 0)
		return 0;
	if (sd_bus_message_is_signal(m, SECRET_SERVICE, "CollectionDeleted") > 0) {
		keyring_lose(k, "the keyring's default collection was deleted");
		return 0;
	}
	keyring_ask_locked(&k->look, look_got);
	keyring_tell_changed(k);
	return 0;
}

/* Collection.ItemCreated, -Changed, -Deleted: whose item it is, only a search would tell. */
static int
collection_says(sd_bus_message *m, void *arg, _unused_ sd_bus_error *error)
{
	struct keyring *k = arg;
	const char *path = sd_bus_message_get_path(m);

	if (is_from_service(k, m) && k->state >= KEYRING_LOCKED && path != NULL &&
	    strcmp(path, k->collection) == 0)
		keyring_tell_changed(k);
	return 0;
}

static int
prompt_says(sd_bus_message *m, void *arg, _unused_ sd_bus_error *error)
{
	struct keyring *k = arg;

	if (is_from_service(k, m))
		keyring_prompted(k, m);
	return 0;
}

static const struct {
	const char	*rule;
	sd_bus_message_handler_t fn;
} signals[] = {
	{ "type='signal',sender='" DBUS "',interface='" DBUS "',member='NameOwnerChanged',"
	    "arg0='" SECRETS "'", owner_changed },
	{ "type='signal',interface='" SECRET_SERVICE "'", service_says },
	{ "type='signal',interface='" SECRET_COLLECTION "'", collection_says },
	{ "type='signal',interface='" SECRET_PROMPT "',member='Completed'", prompt_says }
};

/* --- connecting --- */

/*
 * The first unix: entry of the address; sd-bus would also run programs
 * (unixexec:) or wait for a name server (tcp:).  "" if there is none, NULL
 * without memory.
 */
static char *
bus_address(const struct keyring *k)
{
	const char *s = k->address, *dir, *end;
	struct buf b = BUF_INIT(URL_BYTES);

	if (s == NULL)
		s = secure_getenv("DBUS_SESSION_BUS_ADDRESS");
	if (s == NULL && (dir = secure_getenv("XDG_RUNTIME_DIR")) != NULL) {
		if (buf_adds(&b, "unix:path=") < 0)
			return NULL;
		for (s = dir; *s != '\0'; s++)	/* the escaping of D-Bus addresses */
			if (buf_addf(&b, strchr("-_/.", *s) != NULL || isalnum((unsigned char)*s) ?
			    "%c" : "%%%02x", (unsigned char)*s) < 0)
				break;
		if (*s != '\0' || buf_adds(&b, "/bus") < 0)
			buf_reset(&b);
		return buf_steal(&b);
	}
	for (; s != NULL && *s != '\0'; s = *end != '\0' ? end + 1 : end) {
		end = strchrnul(s, ';');
		if (strncmp(s, "unix:", 5) == 0)
			return strndup(s, (size_t)(end - s));
	}
	return strdup("");
}

static int
bus_open(struct keyring *k, const char *address)
{
	size_t i;
	int r;

	r = sd_bus_new(&k->bus);
	if (r >= 0)
		r = sd_bus_set_address(k->bus, address);
	if (r >= 0)
		r = sd_bus_set_bus_client(k->bus, 1);
	/* connect() on a non-blocking Unix socket: now or never (a full queue is EAGAIN). */
	if (r >= 0)
		r = sd_bus_start(k->bus);
	for (i = 0; r >= 0 && i < nitems(signals); i++)
		r = sd_bus_add_match_async(k->bus, NULL, signals[i].rule, signals[i].fn, NULL, k);
	if (r < 0)
		return r;
	k->io = event_new(k->loop->base, sd_bus_get_fd(k->bus), EV_PERSIST, bus_ready, k);
	k->events = EV_PERSIST;
	return k->io != NULL ? 0 : -ENOMEM;
}

static void
open_bus(struct keyring *k)
{
	_cleanup_(freep) char *address = bus_address(k);
	char shown[80];
	int r;

	if (address == NULL || address[0] == '\0') {
		down(k, address == NULL ? "out of memory" : "there is no session bus here that can be "
		    "used (DBUS_SESSION_BUS_ADDRESS, a unix: address): run mcp-authd as a user service, "
		    "or set another store.backend");
		return;
	}
	r = bus_open(k, address);
	if (r == 0) {
		begin_session(k);
		return;
	}
	keyring_disconnect(k);
	down_f(k, "there is no session bus at %s: %s",
	    text_escape(shown, sizeof(shown), address, strlen(address)), strerrordesc_np(-r));
	if (k->was_up)
		retry_later(k);
}

static void
retry(void *arg)
{
	(void)keyring_connect(arg);
}

void
keyring_bus_init(struct keyring *k)
{
	k->state = KEYRING_ABSENT;
	k->setup = (struct keyring_ask){ .k = k, .refused = setup_refused, .arg = k };
	k->look = (struct keyring_ask){ .k = k, .refused = look_refused, .arg = k };
	timer_init(&k->limit, k->loop, setup_late, k);
	timer_init(&k->pump, k->loop, pump, k);
	timer_init(&k->retry, k->loop, retry, k);
}

bool
keyring_connect(struct keyring *k)
{
	if (k->state != KEYRING_ABSENT)
		return true;
	if (loop_now(k->loop).boot < k->retry_at)
		return false;
	if (k->bus == NULL) {
		k->state = KEYRING_CONNECTING;
		open_bus(k);
	} else
		begin_session(k);
	return true;
}
