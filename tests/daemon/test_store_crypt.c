/*
 * daemon/store_crypt: sealed entries (issue 6, must show 5; contract I1, I4,
 * I6, I7, C4): changed, swapped, cut, put back; another key; a new key.
 */
#include <sys/stat.h>

#include <check.h>
#include <stdio.h>
#include <unistd.h>

#include "storing.h"

#define SEALED	CONFIG_STORE_ENCRYPTED

static char file[4096];
static size_t size;

static void
setup(void)
{
	storing_begin();
	storing_open(SEALED, true);
	ck_assert_int_eq(do_save(&key, "access-one").what, STORE_OK);
	size = get_file(entry_path(&key, ".sealed"), file, sizeof(file));
}

static void
has(const char *text, const char *words)
{
	ck_assert_msg(strstr(text, words) != NULL, "\"%s\" lacks \"%s\"", text, words);
}

/* Where it is read as a text, what it is can be seen, and no more. */
START_TEST(says_whose_it_is_and_no_more)
{
	char name[512];

	ck_assert_ptr_null(memmem(file, size, "access-one", 10));
	has(file, "mcp-authd sealed 1\n{\"key\":\"");
	snprintf(name, sizeof(name), "\"name\":\"%s\",\"url\":\"%s\",\"issuer\":\"https://issuer.example\"}\n",
	    key.name, key.url);
	has(file, name);
	ck_assert_str_eq(do_load(&key).text, "access-one");
	/* No nonce comes twice. */
	ck_assert_int_eq(do_save(&key, "access-one").what, STORE_OK);
	get_file(entry_path(&key, ".sealed"), name, sizeof(name));
	ck_assert_int_ne(memcmp(strstr(name, "\"nonce\""), strstr(file, "\"nonce\""), 40), 0);
}
END_TEST

/* The key's name alone is no matter of a damaged file: then it is left where it is. */
START_TEST(every_byte_counts)
{
	const char *path = entry_path(&key, ".sealed");
	size_t id = (size_t)(strstr(file, "\"key\":\"") + 7 - file), i;
	struct came c;
	char changed[sizeof(file)];

	for (i = 0; i < size; i++) {
		memcpy(changed, file, size);
		changed[i] ^= 1;
		put_file(path, changed, size);
		c = do_load(&key);
		ck_assert_msg(c.what == STORE_BAD, "byte %zu: %d %s", i, c.what, c.text);
		if (i >= id && i < id + 16) {
			has(c.why, "another key");
			ck_assert_int_eq(access(path, F_OK), 0);
		} else {
			has(c.why, "set aside");	/* I7 */
			ck_assert_int_eq(access(path, F_OK), -1);
		}
	}
	put_file(path, file, size);
	ck_assert_str_eq(do_load(&key).text, "access-one");
}
END_TEST

/* What means the same, and what nothing else would give away: the header is authenticated as it stands. */
static const char *const forged[][2] = {
	{ "\"counter\":1,", "\"counter\":7," },
	{ "\"counter\":1,", "\"counter\":1 ," },
	{ "{\"key\"", "{ \"key\"" },
	{ "sealed 1\n", "sealed 01\n" },
};

START_TEST(header_cannot_be_forged)
{
	const char *from = forged[_i][0], *to = forged[_i][1];
	size_t at = (size_t)(strstr(file, from) - file), n = strlen(from), m = strlen(to);
	char changed[sizeof(file) + 8];
	struct came c;

	memcpy(changed, file, at);
	memcpy(changed + at, to, m);
	memcpy(changed + at + m, file + at + n, size - at - n);
	put_file(entry_path(&key, ".sealed"), changed, size - n + m);
	c = do_load(&key);
	ck_assert_int_eq(c.what, STORE_BAD);
	has(c.why, "was changed or is damaged");
}
END_TEST

START_TEST(every_cut_is_seen)
{
	const char *path = entry_path(&key, ".sealed");
	struct came c;
	size_t i;

	for (i = 0; i < size; i++) {
		put_file(path, file, i);
		c = do_load(&key);
		ck_assert_msg(c.what == STORE_BAD, "%zu bytes: %d %s", i, c.what, c.text);
		has(c.why, "set aside");
	}
}
END_TEST

/* I4: no entry passes for another's, not even of the same server. */
START_TEST(swapped_is_refused)
{
	struct came c;

	put_file(entry_path(&other, ".sealed"), file, size);
	c = do_load(&other);
	ck_assert_int_eq(c.what, STORE_BAD);
	has(c.why, "belongs to another upstream");
	ck_assert_str_eq(do_load(&key).text, "access-one");
}
END_TEST

enum { RUNNING, RESTARTED, DELETED, DELETED_RESTARTED, PUT_BACKS };

/* While it runs even the whole directory cannot be put back; later an entry alone. */
START_TEST(put_back_is_refused)
{
	char lock[64] = "";
	struct came c;
	size_t n = 0;

	n = get_file(entry_path(&key, ".lock"), lock, sizeof(lock));
	if (_i == RUNNING || _i == RESTARTED)
		ck_assert_int_eq(do_save(&key, "access-two").what, STORE_OK);
	else
		ck_assert_int_eq(do_delete(&key).what, STORE_OK);
	put_file(entry_path(&key, ".sealed"), file, size);
	if (_i == RUNNING || _i == DELETED)
		put_file(entry_path(&key, ".lock"), lock, n);
	else
		storing_open(SEALED, true);
	c = do_load(&key);
	ck_assert_int_eq(c.what, STORE_BAD);
	has(c.why, "older than what was stored last");
	ck_assert_int_eq(entries_with(".sealed.bad-"), 1);
	/* A login is not in its way. */
	ck_assert_int_eq(do_save(&key, "access-three").what, STORE_OK);
	ck_assert_str_eq(do_load(&key).text, "access-three");
	storing_open(SEALED, true);
	ck_assert_str_eq(do_load(&key).text, "access-three");
}
END_TEST

/* What the documentation says cannot be told: a whole directory from a backup, while nobody ran. */
START_TEST(whole_backup_is_accepted)
{
	char lock[64];
	size_t n = get_file(entry_path(&key, ".lock"), lock, sizeof(lock));

	ck_assert_int_eq(do_save(&key, "access-two").what, STORE_OK);
	put_file(entry_path(&key, ".sealed"), file, size);
	put_file(entry_path(&key, ".lock"), lock, n);
	storing_open(SEALED, true);
	ck_assert_str_eq(do_load(&key).text, "access-one");
}
END_TEST

/* A crash between the rename and the counter leaves an entry that is ahead: it is good. */
START_TEST(ahead_of_its_counter_is_good)
{
	put_file(entry_path(&key, ".lock"), "", 0);
	storing_open(SEALED, true);
	ck_assert_str_eq(do_load(&key).text, "access-one");
}
END_TEST

/* It is told from a damaged one, kept, and good again with its key. */
START_TEST(wrong_key_is_told)
{
	struct came c;
	char now[sizeof(file)];

	put_file(store_key_file, "another key of thirty-two bytes.", 32);
	storing_open(SEALED, true);
	c = do_load(&key);
	ck_assert_int_eq(c.what, STORE_BAD);
	has(c.why, "sealed with another key");
	c = do_save(&key, "access-two");
	ck_assert_int_eq(c.what, STORE_FAILED);
	ck_assert_uint_eq(get_file(entry_path(&key, ".sealed"), now, sizeof(now)), size);
	ck_assert_int_eq(memcmp(now, file, size), 0);
	ck_assert_int_eq(entries_with(".bad-"), 0);
	put_file(store_key_file, "kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk", 32);
	ck_assert_str_eq(do_load(&key).text, "access-one");	/* at once: the file is read again */
	put_file(store_key_file, "another key of thirty-two bytes.", 32);
	storing_open(SEALED, true);
	ck_assert_int_eq(do_delete(&key).what, STORE_OK);	/* a logout needs no key */
	ck_assert_int_eq(do_load(&key).what, STORE_GONE);
	ck_assert_int_eq(do_save(&key, "access-two").what, STORE_OK);
}
END_TEST

/* "k" times 32 */
static const char *const same_keys[] = {
	"kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk",
	"6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b",
	"6B6B6B6B6B6B6B6B6B6B6B6B6B6B6B6B6B6B6B6B6B6B6B6B6B6B6B6B6B6B6B6B\n",
	"a2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2s=\n",
	"a2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2s \r\n",
};

START_TEST(key_in_any_form)
{
	put_file(store_key_file, same_keys[_i], strlen(same_keys[_i]));
	storing_open(SEALED, true);
	ck_assert_str_eq(do_load(&key).text, "access-one");
}
END_TEST

static const char *const no_keys[] = {
	"", "\n", "kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk", "kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk",
	"6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6",
	"a2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2tr",
	"0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789"
	"0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789"
	"0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789",
};

START_TEST(no_key_is_said)
{
	store_close(store);
	store = NULL;
	put_file(store_key_file, no_keys[_i], strlen(no_keys[_i]));
	has(storing_fails(SEALED, store_key_file, false), "openssl rand -out FILE 32");
}
END_TEST

enum { ABSENT, GROUP, LINK, FOLDER, FOREIGN, UNUSABLE };

/* I6, for the key; and there is no falling back to files (I1), not of auto either. */
START_TEST(key_file_is_refused)
{
	static const char *const words[UNUSABLE] = {
		"No such file", "chmod 0600", "symbolic link", "plain file", "chown"
	};
	enum config_backend backend = SEALED;
	char target[128];

	store_close(store);
	store = NULL;
	snprintf(target, sizeof(target), "%s.target", store_key_file);
	if (_i == ABSENT || _i == FOLDER)
		ck_assert_int_eq(unlink(store_key_file), 0);
	if (_i == GROUP)
		ck_assert_int_eq(chmod(store_key_file, 0640), 0);
	if (_i == LINK)
		ck_assert(rename(store_key_file, target) == 0 && symlink(target, store_key_file) == 0);
	if (_i == FOLDER)
		ck_assert_int_eq(mkdir(store_key_file, 0700), 0);
	if (_i == FOREIGN && (geteuid() != 0 || chown(store_key_file, 65534, 0) == -1))
		return;
	has(storing_fails(backend, store_key_file, false), words[_i]);
	has(storing_fails(CONFIG_STORE_AUTO, store_key_file, false), words[_i]);
	has(storing_fails(SEALED, NULL, false), "set store.keyFile or store.keyCredential");
	if (_i == GROUP) {		/* systemd's own business */
		struct store_options o = { .backend = SEALED, .path = store_dir,
		    .key_file = store_key_file, .key_is_credential = true };
		char why[200];

		store = store_open(loop, &o, why, sizeof(why));
		ck_assert_msg(store != NULL, "%s", why);
		ck_assert_str_eq(do_load(&key).text, "access-one");
	}
}
END_TEST

/* --- a new key --- */

static char new_key[128];

static void
make_new_key(void)
{
	snprintf(new_key, sizeof(new_key), "%s.new", store_key_file);
	put_file(new_key, "nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn", 32);
	ck_assert_int_eq(do_save(&other, "access-other").what, STORE_OK);
}

static void
both_are_there(void)
{
	ck_assert_str_eq(do_load(&key).text, "access-one");
	ck_assert_str_eq(do_load(&other).text, "access-other");
	ck_assert_int_eq(entries_with(".bad-"), 0);
}

START_TEST(rekey_seals_anew)
{
	struct came c;
	char now[64];

	make_new_key();
	c = do_rekey(new_key);
	ck_assert_msg(c.what == STORE_OK, "%s", c.why);
	has(c.why, "2 credentials");
	both_are_there();
	ck_assert_uint_eq(get_file(store_key_file, now, sizeof(now)), 32);
	ck_assert_int_eq(memcmp(now, "nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn", 32), 0);
	ck_assert_int_eq(entries_with("next-key.path"), 0);
	ck_assert_int_eq(unlink(new_key), 0);
	storing_open(SEALED, true);
	both_are_there();
	/* The old key opens nothing any more. */
	put_file(store_key_file, "kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk", 32);
	storing_open(SEALED, true);
	has(do_load(&key).why, "another key");
}
END_TEST

/* Died in the middle: one sealed anew, one not; the note says where the new key is. */
START_TEST(rekey_goes_on)
{
	char note[200], sealed[sizeof(file)];
	struct came c;
	size_t n;

	make_new_key();
	n = get_file(entry_path(&other, ".sealed"), sealed, sizeof(sealed));
	snprintf(note, sizeof(note), "%s/next-key.path", store_dir);
	ck_assert_int_eq(do_rekey(new_key).what, STORE_OK);
	put_file(store_key_file, "kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk", 32);
	snprintf(sealed + n, sizeof(sealed) - n, "%s\n", new_key);
	put_file(note, sealed + n, strlen(sealed + n));
	put_file(entry_path(&other, ".lock"), "", 0);
	put_file(entry_path(&other, ".sealed"), sealed, n);	/* by the old key */
	storing_open(SEALED, true);
	both_are_there();
	c = do_rekey(new_key);
	ck_assert_msg(c.what == STORE_OK, "%s", c.why);
	ck_assert_int_eq(access(note, F_OK), -1);
	storing_open(SEALED, true);
	both_are_there();
}
END_TEST

/* The turn was made, the note not yet removed. */
START_TEST(rekey_note_is_removed)
{
	char note[200], text[200];

	make_new_key();
	ck_assert_int_eq(do_rekey(new_key).what, STORE_OK);
	snprintf(note, sizeof(note), "%s/next-key.path", store_dir);
	snprintf(text, sizeof(text), "%s\n", new_key);
	put_file(note, text, strlen(text));
	storing_open(SEALED, true);
	ck_assert_int_eq(access(note, F_OK), -1);
	both_are_there();
}
END_TEST

/* The note's key is away: nothing is opened, so that nothing is sealed with the old one. */
START_TEST(rekey_without_its_key)
{
	char note[200], text[200];

	make_new_key();
	snprintf(note, sizeof(note), "%s/next-key.path", store_dir);
	snprintf(text, sizeof(text), "%s\n", new_key);
	put_file(note, text, strlen(text));
	unlink(new_key);
	store_close(store);
	store = NULL;
	has(storing_fails(SEALED, store_key_file, false), "entries are being sealed anew");
}
END_TEST

/* A credential of systemd is not ours to replace: that is said, and both keys are taken. */
START_TEST(rekey_of_a_credential)
{
	struct store_options o = { .backend = SEALED, .path = store_dir, .key_file = store_key_file,
	    .key_is_credential = true };
	char why[200];
	struct came c;

	make_new_key();
	for (int i = 0; i < 2; i++) {
		store_close(store);
		store = store_open(loop, &o, why, sizeof(why));
		ck_assert_msg(store != NULL, "%s", why);
		both_are_there();
		c = do_rekey(new_key);
		ck_assert_msg(c.what == STORE_OK, "%s", c.why);
		has(c.why, "make it the systemd credential");
		both_are_there();
	}
	put_file(store_key_file, "nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn", 32);
	unlink(new_key);
	put_file(new_key, "nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn", 32);
	storing_open(SEALED, true);
	both_are_there();
	ck_assert_int_eq(entries_with("next-key.path"), 0);
}
END_TEST

START_TEST(rekey_refuses)
{
	struct came c;

	make_new_key();
	has(do_rekey("relative").why, "absolute");
	has(do_rekey("/nonexistent/key").why, "No such file");
	has(do_rekey(store_key_file).why, "in use already");
	chmod(new_key, 0644);
	has(do_rekey(new_key).why, "chmod 0600");
	chmod(new_key, 0600);
	ck_assert_int_eq(entries_with("next-key.path"), 0);
	/* An unreadable entry ends it, named; nothing is lost. */
	put_file(entry_path(&other, ".sealed"), "mcp-authd sealed 1\n", 19);
	c = do_rekey(new_key);
	ck_assert_int_eq(c.what, STORE_FAILED);
	has(c.why, "cannot be listed");
	ck_assert_str_eq(do_load(&key).text, "access-one");
}
END_TEST

/* Another process that holds the old key in memory reads what was sealed anew, and goes over to it. */
START_TEST(rekey_beside_another)
{
	struct store_options o = { .backend = SEALED, .path = store_dir, .key_file = store_key_file };
	struct store *first = NULL, *second;
	char why[200];

	make_new_key();
	second = store_open(loop, &o, why, sizeof(why));
	ck_assert_ptr_nonnull(second);
	ck_assert_int_eq(do_rekey(new_key).what, STORE_OK);
	first = store;
	store = second;
	both_are_there();
	ck_assert_int_eq(do_save(&key, "access-two").what, STORE_OK);
	store = first;
	ck_assert_str_eq(do_load(&key).text, "access-two");
	store_close(second);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("store_crypt");
	TCase *tc = tcase_create("sealed");
	SRunner *sr;
	int failed;

	tcase_set_timeout(tc, 60);
	tcase_add_checked_fixture(tc, setup, storing_end);
	tcase_add_test(tc, says_whose_it_is_and_no_more);
	tcase_add_test(tc, every_byte_counts);
	tcase_add_loop_test(tc, header_cannot_be_forged, 0, nitems(forged));
	tcase_add_test(tc, every_cut_is_seen);
	tcase_add_test(tc, swapped_is_refused);
	tcase_add_loop_test(tc, put_back_is_refused, 0, PUT_BACKS);
	tcase_add_test(tc, whole_backup_is_accepted);
	tcase_add_test(tc, ahead_of_its_counter_is_good);
	tcase_add_test(tc, wrong_key_is_told);
	tcase_add_loop_test(tc, key_in_any_form, 0, nitems(same_keys));
	tcase_add_loop_test(tc, no_key_is_said, 0, nitems(no_keys));
	tcase_add_loop_test(tc, key_file_is_refused, 0, UNUSABLE);
	tcase_add_test(tc, rekey_seals_anew);
	tcase_add_test(tc, rekey_goes_on);
	tcase_add_test(tc, rekey_note_is_removed);
	tcase_add_test(tc, rekey_without_its_key);
	tcase_add_test(tc, rekey_of_a_credential);
	tcase_add_test(tc, rekey_refuses);
	tcase_add_test(tc, rekey_beside_another);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
