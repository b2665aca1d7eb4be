/*
 * daemon/store: which backend it is, what stands elsewhere, and moving
 * (issue 6; contract I1, I2, I5, C4).
 */
#include <sys/stat.h>

#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "storing.h"

#define PLAIN	CONFIG_STORE_FILE
#define SEALED	CONFIG_STORE_ENCRYPTED

static const struct store_key client = { RECORD_CLIENT, "https://issuer.example" };

static void
has(const char *text, const char *words)
{
	ck_assert_msg(strstr(text, words) != NULL, "\"%s\" lacks \"%s\"", text, words);
}

/* What is asked of the worker last comes last: then the look is over, too. */
static void
settle(void)
{
	struct came c = { 0 };

	do_load(&other);
	came_within(&c, 20);
}

static const char *
status(void)
{
	settle();
	return storing_status();
}

/* --- which one --- */

/* I1: no keyring answers here; a key decides. */
START_TEST(auto_is_resolved_once)
{
	bool with_key = _i == 1;

	storing_open(CONFIG_STORE_AUTO, with_key);
	ck_assert_str_eq(store_backend(store), "auto");
	has(storing_status(), "\"resolved\":\"not yet");
	ck_assert_int_eq(do_save(&key, "access").what, STORE_OK);	/* given before, done after */
	ck_assert_str_eq(store_backend(store), with_key ? "encrypted" : "file");
	has(storing_status(), with_key ? "there is no keyring, and a key is configured" :
	    "there is no keyring, and no key is configured");
	ck_assert_int_eq(entries_with(".sealed"), with_key);
	ck_assert_int_eq(entries_with(".json"), !with_key);
}
END_TEST

/* I1, I2: it fails and fails, and nothing is written elsewhere. */
START_TEST(pinned_whatever_fails)
{
	struct came c;

	if (_i == 0)
		storing_open(CONFIG_STORE_KEYRING, true);
	else
		storing_open(SEALED, true);
	if (_i == 1)
		ck_assert_int_eq(mkdir(entry_path(&key, ".sealed"), 0700), 0);
	for (int i = 0; i < 3; i++) {
		c = do_save(&key, "access");
		ck_assert_int_eq(c.what, STORE_FAILED);
		ck_assert_str_ne(c.why, "");
		ck_assert_int_ne(do_load(&key).what, STORE_OK);
	}
	ck_assert_int_eq(entries_with(".json"), 0);
	ck_assert_str_eq(store_backend(store), _i == 0 ? "keyring" : "encrypted");
}
END_TEST

/* --- elsewhere --- */

/* I5, C4: what another backend holds is no logout, is said, and is let be. */
START_TEST(entry_elsewhere_is_no_logout)
{
	struct came c;

	storing_open(PLAIN, false);
	ck_assert_int_eq(do_save(&key, "access").what, STORE_OK);
	has(status(), "\"drift\":[]");
	storing_open(SEALED, true);
	c = do_load(&key);
	ck_assert_int_eq(c.what, STORE_BAD);
	has(c.why, "is kept in the file store, which is not in use");
	has(status(), "\"in\":[\"file\"]");
	ck_assert_int_eq(do_load(&other).what, STORE_GONE);
	/* A login makes two of them. */
	ck_assert_int_eq(do_save(&key, "newer").what, STORE_OK);
	ck_assert_str_eq(do_load(&key).text, "newer");
	has(status(), "\"in\":[\"file\",\"encrypted\"]");
	has(storing_status(), "the one in the encrypted store is used");
	ck_assert_int_eq(entries_with(".json"), 1);
	/* It goes: the status follows. */
	ck_assert_int_eq(unlink(entry_path(&key, ".json")), 0);
	for (int i = 0; i < 100 && strstr(status(), "\"drift\":[]") == NULL; i++)
		;
	has(storing_status(), "\"drift\":[]");
}
END_TEST

/* --- moving --- */

static void
three(void)
{
	ck_assert_int_eq(do_save(&key, "one").what, STORE_OK);
	ck_assert_int_eq(do_save(&other, "two").what, STORE_OK);
	ck_assert_int_eq(do_save(&client, "three").what, STORE_OK);
}

static void
three_are_there(const char *suffix, const char *gone)
{
	ck_assert_str_eq(do_load(&key).text, "one");
	ck_assert_str_eq(do_load(&other).text, "two");
	ck_assert_str_eq(do_load(&client).text, "three");
	ck_assert_int_eq(entries_with(suffix), 3);
	ck_assert_int_eq(entries_with(gone), 0);
	ck_assert_int_eq(entries_with(".bad-"), 0);
}

START_TEST(there_and_back)
{
	struct came c;

	storing_open(PLAIN, true);
	three();
	c = do_migrate(SEALED);
	ck_assert_msg(c.what == STORE_OK, "%s", c.why);
	has(c.why, "3 credentials");
	has(c.why, "set store.backend to \"encrypted\"");
	ck_assert_str_eq(store_backend(store), "encrypted");
	three_are_there(".sealed", ".json");
	has(status(), "by store migrate");
	has(status(), "\"drift\":[]");
	storing_open(SEALED, true);
	three_are_there(".sealed", ".json");
	c = do_migrate(PLAIN);
	ck_assert_msg(c.what == STORE_OK, "%s", c.why);
	three_are_there(".json", ".sealed");
	c = do_migrate(PLAIN);		/* nothing to do */
	ck_assert_msg(c.what == STORE_OK, "%s", c.why);
	three_are_there(".json", ".sealed");
}
END_TEST

/* The config still names the old one: nothing passes for a logout, and the way out works. */
START_TEST(restarted_with_the_old_config)
{
	storing_open(PLAIN, true);
	three();
	ck_assert_int_eq(do_migrate(SEALED).what, STORE_OK);
	storing_open(PLAIN, false);
	has(do_load(&key).why, "set store.backend to \"encrypted\"");
	storing_open(PLAIN, true);
	ck_assert_int_eq(do_migrate(PLAIN).what, STORE_OK);
	three_are_there(".json", ".sealed");
}
END_TEST

/*
 * Died in the middle, before or behind the turning point: the same once more
 * ends it, under the old config and under the new one.
 */
START_TEST(half_done_is_done_again)
{
	bool behind = (_i & 1) != 0, new_config = (_i & 2) != 0;
	char copy[4096];
	struct came c;
	size_t n;

	storing_open(PLAIN, true);
	three();
	n = get_file(entry_path(&key, ".json"), copy, sizeof(copy));
	ck_assert_int_eq(do_migrate(SEALED).what, STORE_OK);
	put_file(entry_path(&key, ".json"), copy, n);
	if (!behind) {		/* two are still to be copied */
		storing_open(PLAIN, true);
		three();
		ck_assert_int_eq(unlink(entry_path(&other, ".sealed")), 0);
		ck_assert_int_eq(unlink(entry_path(&client, ".sealed")), 0);
	}
	storing_open(new_config ? SEALED : PLAIN, true);
	c = do_migrate(SEALED);
	ck_assert_msg(c.what == STORE_OK, "%s", c.why);
	three_are_there(".sealed", ".json");
}
END_TEST

/* What has been renewed since is not lost to an older copy, whichever one is in use. */
START_TEST(later_copy_ends_it)
{
	struct came c;

	storing_open(SEALED, true);
	ck_assert_int_eq(do_save_at(&key, "later", 2000).what, STORE_OK);
	storing_open(PLAIN, true);
	ck_assert_int_eq(do_save_at(&key, "older", 1000).what, STORE_OK);
	c = do_migrate(_i == 0 ? SEALED : PLAIN);
	ck_assert_int_eq(c.what, STORE_FAILED);
	has(c.why, "has a later token");
	ck_assert_str_eq(do_load(&key).text, "older");
	storing_open(SEALED, true);
	ck_assert_str_eq(do_load(&key).text, "later");
	/* The other way about the older one goes. */
	c = do_migrate(_i == 0 ? PLAIN : SEALED);
	ck_assert_msg(c.what == STORE_OK, "%s", c.why);
	ck_assert_str_eq(do_load(&key).text, "later");
	ck_assert_int_eq(entries_with(".sealed") + entries_with(".json"), 1);
}
END_TEST

/* It cannot be read, or cannot be written: nothing is in use that was not, nothing lies about. */
START_TEST(failure_leaves_all_as_it_was)
{
	struct came c;
	char text[64];

	storing_open(PLAIN, true);
	three();
	if (_i == 0)
		put_file(entry_path(&other, ".json"), "{\"v\":2}", 7);
	else
		ck_assert_int_eq(mkdir(entry_path(&other, ".sealed"), 0700), 0);
	c = do_migrate(SEALED);
	ck_assert_int_eq(c.what, STORE_FAILED);
	has(c.why, _i == 0 ? "newer" : "plain file");
	ck_assert_str_eq(store_backend(store), "file");
	ck_assert_str_eq(do_load(&key).text, "one");
	ck_assert_int_eq(entries_with(".json"), 3);
	if (_i == 0) {
		get_file(entry_path(&other, ".json"), text, sizeof(text));
		ck_assert_str_eq(text, "{\"v\":2}");
		ck_assert_int_eq(entries_with(".sealed"), 0);
	}
}
END_TEST

START_TEST(refusals)
{
	struct came a = { 0 }, b = { 0 };

	storing_open(PLAIN, false);
	three();
	has(do_migrate(SEALED).why, "needs a key");
	has(do_migrate(CONFIG_STORE_KEYRING).why, "no keyring answers");
	has(do_rekey("/x").why, "no key is configured");
	three_are_there(".json", ".sealed");
	storing_open(PLAIN, true);
	store_migrate(store, SEALED, came_set, &a);
	store_migrate(store, SEALED, came_set, &b);
	came_wait(&b);
	ck_assert_int_eq(b.what, STORE_FAILED);
	has(b.why, "already");
	came_wait(&a);
	ck_assert_int_eq(a.what, STORE_OK);
	three_are_there(".sealed", ".json");
}
END_TEST

/* H1, D: whoever has the lock is waited for, and keeps what he writes meanwhile. */
START_TEST(waits_for_a_lock)
{
	struct came lock = { 0 }, move = { 0 };

	storing_open(PLAIN, true);
	three();
	store_lock(store, &other, came_set, &lock);
	came_wait(&lock);
	store_migrate(store, SEALED, came_set, &move);
	ck_assert(!came_within(&move, 50));
	ck_assert_int_eq(do_save(&other, "rotated").what, STORE_OK);	/* not held yet */
	ck_assert(!move.done);
	store_unlock(lock.lock);
	came_wait(&move);
	ck_assert_msg(move.what == STORE_OK, "%s", move.why);
	ck_assert_str_eq(do_load(&other).text, "rotated");
	ck_assert_int_eq(entries_with(".json"), 0);
}
END_TEST

/* D: a lock that does not come ends it, and lets everybody go on. */
START_TEST(lock_that_does_not_come)
{
	struct came lock = { 0 }, c;

	storing_open(PLAIN, true);
	three();
	store_lock(store, &other, came_set, &lock);
	came_wait(&lock);
	store_set_lock_wait(store, 50);
	c = do_migrate(SEALED);
	ck_assert_int_eq(c.what, STORE_FAILED);
	has(c.why, "its lock was not to be had");
	store_unlock(lock.lock);
	three_are_there(".json", ".sealed");
	ck_assert_int_eq(do_migrate(SEALED).what, STORE_OK);
}
END_TEST

/* Whenever a call comes, it is done in the store that is in use then, and is not lost. */
START_TEST(calls_wait)
{
	struct came move = { 0 }, save = { 0 }, never = { 0 };
	struct record rec = {
		.name = (char *)(uintptr_t)key.name, .url = (char *)(uintptr_t)key.url,
		.access_token = (char *)(uintptr_t)"rotated", .expires_at = EXPIRES_UNKNOWN,
		.obtained_at = 3000
	};

	storing_open(PLAIN, true);
	three();
	store_migrate(store, SEALED, came_set, &move);
	came_within(&never, _i);
	store_save(store, &key, &rec, came_set, &save);
	came_wait(&save);
	ck_assert_int_eq(save.what, STORE_OK);
	came_wait(&move);
	ck_assert_msg(move.what == STORE_OK, "%s", move.why);
	ck_assert_str_eq(store_backend(store), "encrypted");
	ck_assert_str_eq(do_load(&key).text, "rotated");
	ck_assert_int_eq(entries_with(".json"), 0);
}
END_TEST

/* The store is closed at any point, and whoever asked has left: every entry is whole, somewhere. */
START_TEST(closed_in_the_middle)
{
	struct came move = { 0 }, c = { 0 };
	bool plain, sealed;

	storing_open(PLAIN, true);
	three();
	store_migrate(store, SEALED, came_set, &move);
	if (_i % 2 == 1)
		store_forget(store, &move);
	came_within(&c, _i / 2);
	storing_open(PLAIN, true);
	plain = strcmp(do_load(&key).text, "one") == 0;
	storing_open(SEALED, true);
	sealed = strcmp(do_load(&key).text, "one") == 0;
	ck_assert(plain || sealed);
	storing_open(PLAIN, true);
	ck_assert_int_eq(do_migrate(SEALED).what, STORE_OK);
	three_are_there(".sealed", ".json");
}
END_TEST

/* C4, I5: what was set aside in the old store is no logout in the new one, either. */
START_TEST(set_aside_is_no_logout_after_it)
{
	bool back = _i == 1;
	struct came c;

	storing_open(back ? SEALED : PLAIN, true);
	three();
	put_file(entry_path(&key, back ? ".sealed" : ".json"), "{", 1);
	has(do_load(&key).why, "set aside");
	c = do_migrate(back ? PLAIN : SEALED);
	ck_assert_msg(c.what == STORE_OK, "%s", c.why);
	c = do_load(&key);
	ck_assert_int_eq(c.what, STORE_BAD);
	has(c.why, "was set aside as");
	ck_assert_int_eq(entries_with(".bad-"), 1);
	/* Moving it later leaves that be; a logout ends it, as it would have before. */
	ck_assert_int_eq(do_save(&key, "anew").what, STORE_OK);
	ck_assert_int_eq(do_migrate(back ? SEALED : PLAIN).what, STORE_OK);
	ck_assert_int_eq(entries_with(".bad-"), 1);
	ck_assert_int_eq(do_delete(&key).what, STORE_OK);
	ck_assert_int_eq(do_load(&key).what, STORE_GONE);
}
END_TEST

/* Sealed entries that no key is configured for are not passed over in silence. */
START_TEST(sealed_without_a_key)
{
	struct came c;

	storing_open(SEALED, true);
	three();
	storing_open(PLAIN, false);
	c = do_migrate(PLAIN);
	ck_assert_int_eq(c.what, STORE_FAILED);
	has(c.why, "store.keyFile");
	storing_open(PLAIN, true);
	ck_assert_int_eq(do_migrate(PLAIN).what, STORE_OK);
	three_are_there(".json", ".sealed");
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("store_move");
	TCase *tc = tcase_create("move");
	SRunner *sr;
	int failed;

	tcase_set_timeout(tc, 60);
	tcase_add_checked_fixture(tc, storing_begin, storing_end);
	tcase_add_loop_test(tc, auto_is_resolved_once, 0, 2);
	tcase_add_loop_test(tc, pinned_whatever_fails, 1, 2);
	tcase_add_test(tc, entry_elsewhere_is_no_logout);
	tcase_add_test(tc, there_and_back);
	tcase_add_test(tc, restarted_with_the_old_config);
	tcase_add_loop_test(tc, half_done_is_done_again, 0, 4);
	tcase_add_loop_test(tc, later_copy_ends_it, 0, 2);
	tcase_add_loop_test(tc, failure_leaves_all_as_it_was, 0, 2);
	tcase_add_test(tc, refusals);
	tcase_add_loop_test(tc, set_aside_is_no_logout_after_it, 0, 2);
	tcase_add_test(tc, sealed_without_a_key);
	tcase_add_test(tc, waits_for_a_lock);
	tcase_add_test(tc, lock_that_does_not_come);
	tcase_add_loop_test(tc, calls_wait, 0, 20);
	tcase_add_loop_test(tc, closed_in_the_middle, 0, 20);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
