/* daemon/store on a keyring: chosen, pinned, moved to and from (issue 6; contract I1, I2, I5, I7, C4). */
#include <check.h>
#include <stdio.h>
#include <unistd.h>

#include "secretservice.h"
#include "storing.h"

#define KEYRING	CONFIG_STORE_KEYRING
#define PLAIN	CONFIG_STORE_FILE
#define SEALED	CONFIG_STORE_ENCRYPTED

static struct secrets *secrets;

static void
setup(void)
{
	storing_begin();
	secrets = secrets_new();
	bus_start();
	secrets_start(secrets);
	storing_bus = bus_address();
}

static void
teardown(void)
{
	storing_end();
	secrets_kill(secrets);
	secrets_free(secrets);
	bus_kill();
	bus_remove();
}

static void
has(const char *text, const char *words)
{
	ck_assert_msg(strstr(text, words) != NULL, "\"%s\" lacks \"%s\"", text, words);
}

static int
items(void)
{
	int n = 0;

	for (size_t i = 0; i < nitems(secrets->items); i++)
		n += secrets->items[i].used;
	return n;
}

/* Polls the status until it has these words. */
static void
status_says(const char *words)
{
	struct came never = { 0 };

	for (int i = 0; i < 500 && strstr(storing_status(), words) == NULL; i++)
		came_within(&never, 10);
	has(storing_status(), words);
}

START_TEST(entries_are_items)
{
	storing_open(KEYRING, false);
	ck_assert_int_eq(do_load(&key).what, STORE_GONE);
	ck_assert_int_eq(do_save(&key, "one").what, STORE_OK);
	ck_assert_int_eq(do_save(&other, "two").what, STORE_OK);
	ck_assert_int_eq(do_save(&key, "three").what, STORE_OK);
	ck_assert_str_eq(do_load(&key).text, "three");
	ck_assert_str_eq(do_load(&other).text, "two");
	ck_assert_int_eq(items(), 2);
	ck_assert_int_eq(entries_with(".json") + entries_with(".sealed"), 0);
	ck_assert_int_eq(do_delete(&key).what, STORE_OK);
	ck_assert_int_eq(do_load(&key).what, STORE_GONE);
	ck_assert_int_eq(do_delete(&key).what, STORE_OK);
	ck_assert_str_eq(do_load(&other).text, "two");
}
END_TEST

/* I1: it answers and is unlocked; locked it is not taken, and what it may hold is said. */
START_TEST(auto_takes_it)
{
	secrets->locked = _i == 1;
	storing_open(CONFIG_STORE_AUTO, false);
	ck_assert_int_eq(do_save(&key, "one").what, STORE_OK);
	ck_assert_str_eq(store_backend(store), _i == 0 ? "keyring" : "file");
	has(storing_status(), _i == 0 ? "answers and is unlocked" : "the keyring is locked");
	ck_assert_int_eq(items(), _i == 0);
	ck_assert_int_eq(entries_with(".json"), _i == 1);
}
END_TEST

/* I1, I2: it dies, and nothing is written elsewhere; it comes back, and goes on. */
START_TEST(pinned_when_it_dies)
{
	struct came c;

	storing_open(CONFIG_STORE_AUTO, true);
	ck_assert_int_eq(do_save(&key, "one").what, STORE_OK);
	secrets_kill(secrets);
	c = do_save(&key, "two");
	ck_assert_int_eq(c.what, STORE_FAILED);
	ck_assert_str_ne(c.why, "");
	c = do_load(&key);
	ck_assert(c.what == STORE_FAILED || c.what == STORE_TIMEOUT);	/* no logout */
	ck_assert_str_eq(store_backend(store), "keyring");
	ck_assert_int_eq(entries_with(".json") + entries_with(".sealed"), 0);
	secrets_start(secrets);
	for (int i = 0; i < 100 && (c = do_save(&key, "two")).what != STORE_OK; i++)
		usleep(20000);
	ck_assert_msg(c.what == STORE_OK, "%s", c.why);
	ck_assert_str_eq(do_load(&key).text, "two");
}
END_TEST

/* I7: unreadable is no logout; a newer version's is not replaced, and garbage only with words. */
START_TEST(unreadable_item)
{
	struct came c;

	storing_open(KEYRING, false);
	ck_assert_int_eq(do_save(&key, "one").what, STORE_OK);
	snprintf(secrets->items[0].value, sizeof(secrets->items[0].value), "{\"v\":2}");
	secrets->items[0].n = 7;
	c = do_load(&key);
	ck_assert_int_eq(c.what, STORE_BAD);
	has(c.why, "newer");
	ck_assert_int_eq(do_save(&key, "two").what, STORE_FAILED);
	ck_assert_str_eq(secrets->items[0].value, "{\"v\":2}");
	secrets->items[0].value[0] = 'x';
	ck_assert_int_eq(do_load(&key).what, STORE_BAD);
	ck_assert_int_eq(do_save(&key, "two").what, STORE_OK);
	ck_assert_str_eq(do_load(&key).text, "two");
}
END_TEST

/* C4, I5: it stands in a file, so it is not gone. */
START_TEST(file_beside_it)
{
	storing_open(PLAIN, false);
	ck_assert_int_eq(do_save(&key, "one").what, STORE_OK);
	storing_open(KEYRING, false);
	has(do_load(&key).why, "is kept in the file store");
	status_says("\"in\":[\"file\"]");
	ck_assert_int_eq(do_save(&key, "two").what, STORE_OK);
	unlink(entry_path(&other, ".json"));
	ck_assert_str_eq(do_load(&key).text, "two");
	ck_assert_int_eq(entries_with(".json"), 1);
}
END_TEST

START_TEST(there_and_back)
{
	enum config_backend from = _i % 2 == 0 ? PLAIN : SEALED;
	struct came c;

	storing_open(from, true);
	ck_assert_int_eq(do_save(&key, "one").what, STORE_OK);
	ck_assert_int_eq(do_save(&other, "two").what, STORE_OK);
	if (_i >= 2) {
		secrets->locked = true;
		secrets->prompt = GRANTED;
	}
	c = do_migrate(KEYRING);
	ck_assert_msg(c.what == STORE_OK, "%s", c.why);
	ck_assert_int_eq(items(), 2);
	ck_assert_int_eq(entries_with(".json") + entries_with(".sealed"), 0);
	ck_assert_str_eq(do_load(&key).text, "one");
	ck_assert_str_eq(do_load(&other).text, "two");
	storing_open(KEYRING, true);
	c = do_migrate(from);
	ck_assert_msg(c.what == STORE_OK, "%s", c.why);
	ck_assert_int_eq(items(), 0);
	ck_assert_str_eq(do_load(&key).text, "one");
	ck_assert_str_eq(do_load(&other).text, "two");
}
END_TEST

/* The person says no, or it dies at that call: everything stays as it was. */
START_TEST(moving_fails)
{
	struct came c;

	storing_open(PLAIN, true);
	ck_assert_int_eq(do_save(&key, "one").what, STORE_OK);
	ck_assert_int_eq(do_save(&other, "two").what, STORE_OK);
	if (_i == 0) {
		secrets->locked = true;
		secrets->prompt = REFUSED;
	} else {
		secrets->at = _i == 1 ? AT_CREATE : AT_GET_SECRET;
		secrets->fault = REFUSE;
		secrets->times = -1;
	}
	c = do_migrate(KEYRING);
	ck_assert_int_eq(c.what, STORE_FAILED);
	ck_assert_str_ne(c.why, "");
	ck_assert_str_eq(store_backend(store), "file");
	ck_assert_str_eq(do_load(&key).text, "one");
	ck_assert_str_eq(do_load(&other).text, "two");
	ck_assert_int_eq(entries_with(".json"), 2);
	ck_assert_int_eq(items(), 0);
}
END_TEST

/* H1: a lock is given up behind what was asked of the keyring under it. */
START_TEST(unlock_behind_save)
{
	struct came lock = { 0 }, next = { 0 }, save = { 0 };
	struct record rec = {
		.name = (char *)(uintptr_t)key.name, .url = (char *)(uintptr_t)key.url,
		.access_token = (char *)(uintptr_t)"late", .expires_at = EXPIRES_UNKNOWN
	};

	storing_open(KEYRING, false);
	store_lock(store, &key, came_set, &lock);
	came_wait(&lock);
	store_lock(store, &key, came_set, &next);
	store_save(store, &key, &rec, came_set, &save);
	store_unlock(lock.lock);
	came_wait(&next);
	ck_assert(save.done);
	ck_assert_int_eq(save.what, STORE_OK);
	store_unlock(next.lock);
	ck_assert_str_eq(do_load(&key).text, "late");
}
END_TEST

/* H2: what somebody else does to the items is told. */
static void
changed(void *arg)
{
	((struct came *)arg)->done = true;
	loop_stop(loop);
}

START_TEST(changes_are_told)
{
	struct came told = { 0 };

	storing_open(KEYRING, false);
	ck_assert_int_eq(do_save(&key, "one").what, STORE_OK);
	ck_assert_int_eq(store_watch(store, &key, changed, &told), 0);
	came_within(&told, 100);		/* of our own */
	told.done = false;
	secrets->emit = SAY_CREATED;
	came_wait(&told);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("store_keyring");
	TCase *tc = tcase_create("keyring");
	SRunner *sr;
	int failed;

	if (!bus_installed()) {
		printf("skipped: dbus-daemon is not installed\n0 passed, 0 failed\n");
		return 0;
	}
	tcase_set_timeout(tc, 60);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, entries_are_items);
	tcase_add_loop_test(tc, auto_takes_it, 0, 2);
	tcase_add_test(tc, pinned_when_it_dies);
	tcase_add_test(tc, unreadable_item);
	tcase_add_test(tc, file_beside_it);
	tcase_add_loop_test(tc, there_and_back, 0, 4);
	tcase_add_loop_test(tc, moving_fails, 0, 3);
	tcase_add_test(tc, unlock_behind_save);
	tcase_add_test(tc, changes_are_told);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
