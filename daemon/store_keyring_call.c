/*
 * One call, step by step: is the collection locked? (unlock it, prompt) ->
 * search -> the attributes of each item that was found -> what the call is
 * for.  What vanishes or is locked in the middle begins the call anew.
 */
#include <stdio.h>

#include "store_keyring_impl.h"

#define SECRET_ERROR	"org.freedesktop.Secret.Error."
#define DBUS_ERROR	"org.freedesktop.DBus.Error."
#define RESTARTS	3	/* of one call whose items vanish under it */

static void next_item(struct keyring_call *);

/* --- questions --- */

static void
ask(struct keyring_call *c, const char *name, sd_bus_message *m,
    void (*got)(void *, sd_bus_message *))
{
	c->asked = name;
	keyring_ask(&c->ask, m, got);
}

static void
nonsense(struct keyring_call *c)
{
	keyring_end(c, STORE_FAILED, "the keyring service's answer to %s is nonsense", c->asked);
}

static void
clear_items(struct keyring_call *c)
{
	size_t i;

	for (i = 0; i < c->nitems; i++)
		free(c->items[i]);
	free(c->items);
	c->items = NULL;
	c->nitems = c->at = c->ours = 0;
	c->at_item = false;
}

static void
clear_keys(struct keyring_call *c)
{
	size_t i;

	for (i = 0; i < c->nkeys; i++) {
		free((char *)(uintptr_t)c->keys[i].name);
		free((char *)(uintptr_t)c->keys[i].url);
	}
	free(c->keys);
	c->keys = NULL;
	c->nkeys = 0;
}

void
keyring_call_clear(struct keyring_call *c)
{
	keyring_drop(&c->ask);
	clear_items(c);
	clear_keys(c);
	free(c->prompt);
	c->prompt = NULL;
}

/* --- prompts --- */

/* H3's idea: a person who said no is not asked the same thing again at once. */
static bool
may_prompt(struct keyring_call *c)
{
	if (loop_now(c->k->loop).boot >= c->k->quiet_until)
		return true;
	keyring_end(c, STORE_FAILED, "the keyring is locked, and a request to unlock it was refused "
	    "just now: unlock it, or try again later");
	return false;
}

static void
be_quiet(struct keyring *k)
{
	k->quiet_until = loop_now(k->loop).boot + k->quiet;
}

static void
prompt_shown(_unused_ void *call, _unused_ sd_bus_message *m)
{
	/* Completed says the rest. */
}

static void
prompt(struct keyring_call *c, const char *path,
    void (*prompted)(struct keyring_call *, sd_bus_message *))
{
	if (!may_prompt(c))
		return;
	c->prompt = strdup(path);
	if (c->prompt == NULL) {
		keyring_end(c, STORE_FAILED, "out of memory");
		return;
	}
	c->prompted = prompted;
	keyring_bound_calls(c->k);
	ask(c, "Prompt", keyring_method(c->k, path, SECRET_PROMPT, "Prompt", "s", ""),
	    prompt_shown);
}

void
keyring_prompted(struct keyring *k, sd_bus_message *m)
{
	struct keyring_call *c = TAILQ_FIRST(&k->calls);
	const char *path = sd_bus_message_get_path(m);
	int dismissed;

	if (c == NULL || c->prompt == NULL || path == NULL || strcmp(path, c->prompt) != 0)
		return;
	free(c->prompt);
	c->prompt = NULL;
	keyring_drop(&c->ask);		/* it may come before the answer to Prompt */
	keyring_bound_calls(k);
	if (sd_bus_message_read(m, "b", &dismissed) < 0)
		nonsense(c);
	else if (dismissed) {
		be_quiet(k);
		keyring_end(c, STORE_FAILED, "the keyring asked for its password and was refused: "
		    "unlock it, or try again later");
	} else
		c->prompted(c, m);
}

void
keyring_call_late(void *arg)
{
	struct keyring_call *c = arg;

	if (c->prompt == NULL) {
		keyring_end(c, STORE_TIMEOUT, c->k->state == KEYRING_CONNECTING || c->begun ?
		    "the keyring service did not answer in time" :
		    "the keyring was busy with another call for too long");
		return;
	}
	keyring_tell(c->k, keyring_method(c->k, c->prompt, SECRET_PROMPT, "Dismiss", ""));
	be_quiet(c->k);
	keyring_end(c, STORE_TIMEOUT, "the keyring asked for its password and nobody answered: "
	    "unlock it, or try again later");
}

/* --- unlocking --- */

static void
unlock_prompted(struct keyring_call *c, _unused_ sd_bus_message *m)
{
	keyring_begin(c);	/* which sees whether it is unlocked */
}

static void
got_unlock(void *arg, sd_bus_message *m)
{
	struct keyring_call *c = arg;
	const char *path;

	if (sd_bus_message_skip(m, "ao") < 0 || sd_bus_message_read(m, "o", &path) < 0)
		nonsense(c);
	else if (strcmp(path, NO_OBJECT) == 0)
		keyring_begin(c);
	else
		prompt(c, path, unlock_prompted);
}

/* The collection, or an item that says so of itself; once in a call. */
static void
unlock(struct keyring_call *c, const char *path)
{
	if (c->unlocked)
		keyring_end(c, STORE_FAILED, "the keyring stays locked: unlock it, or try again later");
	else if (may_prompt(c)) {
		c->unlocked = true;
		ask(c, "Unlock", keyring_method(c->k, SECRETS_PATH, SECRET_SERVICE, "Unlock", "ao", 1,
		    path), got_unlock);
	}
}

/* --- refusals --- */

static bool
is_vanished(const sd_bus_error *e)
{
	static const char *const names[] = {
		SECRET_ERROR "NoSuchObject", DBUS_ERROR "UnknownObject", DBUS_ERROR "UnknownMethod",
		DBUS_ERROR "UnknownInterface"
	};
	size_t i;

	for (i = 0; i < nitems(names); i++)
		if (sd_bus_error_has_name(e, names[i]))
			return true;
	return false;
}

static void
say_refused(struct keyring_call *c, const sd_bus_error *e)
{
	const char *message = e->message != NULL ? e->message : "";
	char name[64], words[96];

	keyring_end(c, STORE_FAILED, "the keyring service refuses %s: %s: %s", c->asked,
	    text_escape(name, sizeof(name), e->name, strlen(e->name)),
	    text_escape(words, sizeof(words), message, strlen(message)));
}

void
keyring_call_refused(void *arg, const sd_bus_error *e)
{
	struct keyring_call *c = arg;
	struct keyring *k = c->k;

	if (sd_bus_error_has_name(e, SECRET_ERROR "IsLocked") && c->prompt == NULL &&
	    c->op != KEYRING_LIST) {
		k->state = KEYRING_LOCKED;
		unlock(c, c->at_item ? c->items[c->at] : k->collection);
	} else if (sd_bus_error_has_name(e, SECRET_ERROR "NoSession"))
		keyring_lose(k, "the keyring service does not know us any more; try again");
	else if (!is_vanished(e) || c->prompt != NULL)
		say_refused(c, e);
	else if (!c->at_item)
		keyring_lose(k, "the keyring's default collection is gone; try again");
	else if (c->restarts++ < RESTARTS)
		keyring_begin(c);
	else
		say_refused(c, e);
}

/* --- save --- */

static void
save_prompted(struct keyring_call *c, sd_bus_message *m)
{
	const char *path;

	if (sd_bus_message_read(m, "v", "o", &path) < 0 || strcmp(path, NO_OBJECT) == 0)
		nonsense(c);
	else
		keyring_end(c, STORE_OK, "%s", "");
}

static void
got_created(void *arg, sd_bus_message *m)
{
	struct keyring_call *c = arg;
	const char *item, *path;

	if (sd_bus_message_read(m, "oo", &item, &path) < 0)
		nonsense(c);
	else if (strcmp(path, NO_OBJECT) != 0)
		prompt(c, path, save_prompted);
	else if (strcmp(item, NO_OBJECT) == 0)
		nonsense(c);
	else
		keyring_end(c, STORE_OK, "%s", "");
}

static int
add_item(struct keyring_call *c, sd_bus_message *m)
{
	char label[512];	/* for people; what is longer is cut */
	int r;

	snprintf(label, sizeof(label), "mcp-authd: %s (%s)", c->key.name, c->key.url);
	r = sd_bus_message_append(m, "a{sv}", 2, SECRET_ITEM ".Label", "s", label,
	    SECRET_ITEM ".Attributes", "a{ss}", 3, "xdg:schema", SECRET_SCHEMA,
	    "name", c->key.name, "url", c->key.url);
	if (r >= 0)
		r = sd_bus_message_open_container(m, 'r', "oayays");
	if (r >= 0)
		r = sd_bus_message_append(m, "oay", c->k->session, 0);
	if (r >= 0)
		r = sd_bus_message_append_array(m, 'y', c->secret.p, c->secret.len);
	if (r >= 0)
		r = sd_bus_message_append(m, "s", "application/json");
	if (r >= 0)
		r = sd_bus_message_close_container(m);
	return r < 0 ? r : sd_bus_message_append(m, "b", 1);
}

static void
save(struct keyring_call *c)
{
	sd_bus_message *m = keyring_method(c->k, c->k->collection, SECRET_COLLECTION, "CreateItem", "");

	if (m != NULL && (sd_bus_message_sensitive(m) < 0 || add_item(c, m) < 0))
		m = sd_bus_message_unref(m);
	ask(c, "CreateItem", m, got_created);
}

/* --- load --- */

/* 0, -EBADMSG (nonsense), -ESTALE (another session), -EMSGSIZE, -ENOMEM. */
static int
read_secret(struct keyring_call *c, sd_bus_message *m)
{
	const char *session;
	const void *param, *value;
	size_t nparam, nvalue;

	if (sd_bus_message_enter_container(m, 'r', "oayays") < 0 ||
	    sd_bus_message_read(m, "o", &session) < 0 ||
	    sd_bus_message_read_array(m, 'y', &param, &nparam) < 0 ||
	    sd_bus_message_read_array(m, 'y', &value, &nvalue) < 0)
		return -EBADMSG;
	if (strcmp(session, c->k->session) != 0 || nparam != 0)
		return -ESTALE;
	return buf_add(&c->reply.secret, value, nvalue);
}

static void
got_secret(void *arg, sd_bus_message *m)
{
	struct keyring_call *c = arg;
	int r;

	(void)sd_bus_message_sensitive(m);	/* wiped when sd-bus frees it */
	r = read_secret(c, m);
	if (r == -EBADMSG)
		nonsense(c);
	else if (r == -ESTALE)
		keyring_end(c, STORE_FAILED, "the keyring service answered for another session");
	else if (r == -ENOMEM)
		keyring_end(c, STORE_FAILED, "out of memory");
	else if (r == -EMSGSIZE)
		keyring_end(c, STORE_BAD, "the keyring's item is longer than any credential of ours");
	else if (c->reply.secret.len == 0)
		keyring_end(c, STORE_BAD, "the keyring's item is empty");
	else
		keyring_end(c, STORE_OK, "%s", "");
}

static void
load(struct keyring_call *c)
{
	if (c->ours == 0)
		keyring_end(c, STORE_GONE, "%s", "");
	else if (c->ours > 1)
		keyring_end(c, STORE_BAD, "the keyring holds %zu items with the same attributes (name "
		    "\"%.40s\"): delete all but one with Seahorse or the like", c->ours, c->key.name);
	else {
		c->at = 0;
		c->at_item = true;
		ask(c, "GetSecret", keyring_method(c->k, c->items[0], SECRET_ITEM, "GetSecret", "o",
		    c->k->session), got_secret);
	}
}

/* --- delete --- */

static void delete_next(struct keyring_call *);

static void
delete_prompted(struct keyring_call *c, _unused_ sd_bus_message *m)
{
	c->at++;
	delete_next(c);
}

static void
got_deleted(void *arg, sd_bus_message *m)
{
	struct keyring_call *c = arg;
	const char *path;

	if (sd_bus_message_read(m, "o", &path) < 0)
		nonsense(c);
	else if (strcmp(path, NO_OBJECT) != 0)
		prompt(c, path, delete_prompted);
	else
		delete_prompted(c, m);
}

static void
delete_next(struct keyring_call *c)
{
	if (c->at == c->ours)
		keyring_end(c, STORE_OK, "%s", "");
	else {
		c->at_item = true;
		ask(c, "Delete", keyring_method(c->k, c->items[c->at], SECRET_ITEM, "Delete", ""),
		    got_deleted);
	}
}

/* --- list --- */

/* false: out of memory. */
static bool
add_key(struct keyring_call *c, const char *name, const char *url)
{
	struct store_key *grown;
	size_t i;

	for (i = 0; i < c->nkeys; i++)
		if (strcmp(c->keys[i].name, name) == 0 && strcmp(c->keys[i].url, url) == 0)
			return true;
	grown = reallocarray(c->keys, c->nkeys + 1, sizeof(*grown));
	if (grown == NULL)
		return false;
	c->keys = grown;
	grown[c->nkeys] = (struct store_key){ strdup(name), strdup(url) };
	c->nkeys++;
	return grown[c->nkeys - 1].name != NULL && grown[c->nkeys - 1].url != NULL;
}

static void
list(struct keyring_call *c)
{
	if (c->locked && c->nkeys == 0)
		keyring_end(c, STORE_FAILED, "the keyring is locked: its items cannot be seen");
	else
		keyring_end(c, STORE_OK, "%s", "");
}

/* --- what a search found --- */

struct attributes {
	const char	*schema, *name, *url;
};

static int
read_attributes(sd_bus_message *m, struct attributes *ret)
{
	const char *key, *value;
	int r;

	memset(ret, 0, sizeof(*ret));
	if (sd_bus_message_enter_container(m, 'v', "a{ss}") < 0 ||
	    sd_bus_message_enter_container(m, 'a', "{ss}") < 0)
		return -1;
	while ((r = sd_bus_message_read(m, "{ss}", &key, &value)) > 0) {
		if (strcmp(key, "xdg:schema") == 0)
			ret->schema = value;
		else if (strcmp(key, "name") == 0)
			ret->name = value;
		else if (strcmp(key, "url") == 0)
			ret->url = value;
	}
	return r < 0 ? -1 : 0;
}

/*
 * A service may find more than what was asked for; what is not ours is left
 * alone.  false: the call has ended.
 */
static bool
take_item(struct keyring_call *c, const struct attributes *a)
{
	char *item = c->items[c->at];

	if (slice_eq(slice_of(a->schema), SECRET_SCHEMA) && a->name != NULL && a->url != NULL &&
	    strlen(a->name) + strlen(a->url) <= URL_BYTES) {
		if (c->op == KEYRING_LIST) {
			if (!add_key(c, a->name, a->url)) {
				keyring_end(c, STORE_FAILED, "out of memory");
				return false;
			}
		} else if (strcmp(a->name, c->key.name) == 0 && strcmp(a->url, c->key.url) == 0) {
			c->items[c->at] = c->items[c->ours];
			c->items[c->ours++] = item;
		}
	} else if (c->locked) {
		keyring_end(c, STORE_FAILED, "the keyring is locked: its items cannot be seen");
		return false;
	}
	return true;
}

static void
got_attributes(void *arg, sd_bus_message *m)
{
	struct keyring_call *c = arg;
	struct attributes a;

	if (read_attributes(m, &a) == -1)
		nonsense(c);
	else if (take_item(c, &a)) {
		c->at++;
		next_item(c);
	}
}

static void
next_item(struct keyring_call *c)
{
	c->at_item = c->at < c->nitems;
	if (c->at_item) {
		ask(c, "Get(Attributes)", keyring_method(c->k, c->items[c->at], PROPERTIES, "Get", "ss",
		    SECRET_ITEM, "Attributes"), got_attributes);
		return;
	}
	c->at = 0;
	switch (c->op) {
	case KEYRING_LOAD:
		load(c);
		break;
	case KEYRING_DELETE:
		delete_next(c);
		break;
	case KEYRING_LIST:
		list(c);
		break;
	case KEYRING_SAVE:
		abort();	/* does not search */
	}
}

/* 0, -EBADMSG, -E2BIG, -ENOMEM. */
static int
read_items(struct keyring_call *c, sd_bus_message *m)
{
	const char *path;
	int r;

	if (sd_bus_message_enter_container(m, 'a', "o") < 0)
		return -EBADMSG;
	c->items = calloc(KEYRING_ITEMS, sizeof(*c->items));
	if (c->items == NULL)
		return -ENOMEM;
	while ((r = sd_bus_message_read(m, "o", &path)) > 0) {
		if (c->nitems == KEYRING_ITEMS)
			return -E2BIG;
		if ((c->items[c->nitems] = strdup(path)) == NULL)
			return -ENOMEM;
		c->nitems++;
	}
	return r < 0 ? -EBADMSG : 0;
}

static void
got_items(void *arg, sd_bus_message *m)
{
	struct keyring_call *c = arg;
	int r = read_items(c, m);

	if (r == 0)
		next_item(c);
	else if (r == -EBADMSG)
		nonsense(c);
	else
		keyring_end(c, STORE_FAILED, r == -ENOMEM ? "out of memory" :
		    "the keyring finds more than %d items", KEYRING_ITEMS);
}

static void
search(struct keyring_call *c)
{
	bool all = c->op == KEYRING_LIST;

	ask(c, "SearchItems", all ?
	    keyring_method(c->k, c->k->collection, SECRET_COLLECTION, "SearchItems", "a{ss}", 1,
	    "xdg:schema", SECRET_SCHEMA) :
	    keyring_method(c->k, c->k->collection, SECRET_COLLECTION, "SearchItems", "a{ss}", 3,
	    "xdg:schema", SECRET_SCHEMA, "name", c->key.name, "url", c->key.url), got_items);
}

/* Only of an unlocked collection is it certain that an item is not there. */
static void
got_locked(void *arg, sd_bus_message *m)
{
	struct keyring_call *c = arg;

	if (keyring_read_locked(c->k, m, &c->locked) == -1)
		nonsense(c);
	else if (c->locked && c->op != KEYRING_LIST)
		unlock(c, c->k->collection);
	else if (c->op == KEYRING_SAVE)
		save(c);
	else
		search(c);
}

void
keyring_begin(struct keyring_call *c)
{
	clear_items(c);
	clear_keys(c);
	c->asked = "Get(Locked)";
	keyring_ask_locked(&c->ask, got_locked);
}
