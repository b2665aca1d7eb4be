/*
 * The stores of a running daemon (issue 6; contract A1, C11, D, H4, I1, I5,
 * I7): sealed at rest, moved and sealed anew beside traffic, said in status,
 * and nothing of a deleted token in memory.
 */
#include <check.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "support.h"

static struct world *w;
static struct authd *a;
static struct ask ask;
static char key_file[PATH_SIZE + 8], new_key[PATH_SIZE + 16];

static void
put_key(const char *path, const char *text)
{
	file_write(path, text);
	ck_assert_int_eq(chmod(path, 0600), 0);
}

static void
configure(const char *store)
{
	char top[512];

	world_config_clear(w);
	world_upstream(w, "wall", NULL);
	world_upstream(w, "more", NULL);
	snprintf(top, sizeof(top), "\"store\": { %s\"keyFile\": \"%s\" }", store, key_file);
	world_top(w, top);
}

static void
start_daemon(void)
{
	a = authd_start(w, NULL);
	ask = (struct ask){ .socket = authd_socket(a, "wall"), .version = "2026-07-28" };
}

static void
begin(const char *store)
{
	w = world_new(0);
	snprintf(key_file, sizeof(key_file), "%s/key", w->dir);
	snprintf(new_key, sizeof(new_key), "%s.new", key_file);
	put_key(key_file, "kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk");
	put_key(new_key, "nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn");
	configure(store);
	start_daemon();
	world_login(w, a, "wall", NULL);
	world_login(w, a, "more", NULL);
}

static void
is_served(void)
{
	struct reply r = { 0 };

	ck_assert_int_eq(rpc(&ask, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/list\",\"params\":"
	    "{\"_meta\":{\"io.modelcontextprotocol/protocolVersion\":\"2026-07-28\"}}}", &r, 20000), 0);
	ck_assert_str_eq(reply_reason(&r), "");
	ck_assert_int_eq(r.status, 200);
	reply_free(&r);
}

/* mcp-authctl; its output has these words. */
static void
ctl_says(const char *const *args, int code, const char *words)
{
	struct ctl *c = ctl_start(a, args, NULL);

	ck_assert_int_eq(ctl_end(c, 30000), code);
	ck_assert_msg(strstr(ctl_out(c), words) != NULL || strstr(ctl_err(c), words) != NULL,
	    "\"%s\" is not in: %s%s", words, ctl_out(c), ctl_err(c));
	ctl_free(c);
}

/* Files of the store whose name ends so. */
static int
entries(const char *suffix)
{
	char dir[PATH_SIZE + 32];
	struct dirent *e;
	int n = 0;
	DIR *d;

	snprintf(dir, sizeof(dir), "%s/mcp-authd/credentials", w->state);
	d = opendir(dir);
	ck_assert_ptr_nonnull(d);
	while ((e = readdir(d)) != NULL) {
		size_t len = strlen(e->d_name), s = strlen(suffix);

		n += len > s && strcmp(e->d_name + len - s, suffix) == 0;
	}
	closedir(d);
	return n;
}

/* No secret that the wall ever issued stands in a file of the store. */
static void
nothing_is_readable(void)
{
	char command[PATH_SIZE * 6];

	snprintf(command, sizeof(command), "grep -v '^url ' %s | awk 'length >= 16' > %s/wanted && "
	    "test -s %s/wanted && ! grep -raqF -f %s/wanted %s/mcp-authd/credentials", w->secrets,
	    w->dir, w->dir, w->dir, w->state);
	ck_assert_int_eq(system(command), 0);
}

START_TEST(i1_sealed_at_rest)
{
	begin("\"backend\": \"encrypted\", ");
	is_served();
	wall_do(w, "expire", NULL);
	is_served();				/* refreshed, and stored */
	ck_assert_int_eq(entries(".sealed"), 2);
	ck_assert_int_eq(entries(".json"), 0);
	nothing_is_readable();
	ctl_says((const char *[]){ "status", NULL }, 0, "store: encrypted (as configured)");
	ck_assert_int_eq(authd_stop(a), 0);
	start_daemon();
	is_served();
	ck_assert_int_eq(wall_count(w, "token.requests"), 1);
	ck_assert_int_eq(wall_count(w, "token.replays"), 0);
	/* auto: no keyring here, and a key. */
	configure("");
	ck_assert_int_eq(authd_stop(a), 0);
	start_daemon();
	is_served();
	ctl_says((const char *[]){ "status", NULL }, 0, "store: encrypted (auto: there is no keyring");
	world_free(w);
}
END_TEST

START_TEST(i5_moved_beside_traffic)
{
	const char *const there[] = { "store", "migrate", "encrypted", NULL };
	const char *const back[] = { "store", "migrate", "file", NULL };
	char sed[PATH_SIZE + 64];

	begin("\"backend\": \"file\", ");
	for (int i = 0; i < 3; i++) {
		wall_do(w, "expire", NULL);
		is_served();
		ctl_says(there, 0, "set store.backend to \"encrypted\"");
		ck_assert_int_eq(entries(".sealed"), 2);
		ck_assert_int_eq(entries(".json"), 0);
		nothing_is_readable();
		wall_do(w, "expire", NULL);
		is_served();
		if (i < 2)
			ctl_says(back, 0, "set store.backend to \"file\"");
	}
	ck_assert_int_eq(wall_count(w, "token.replays"), 0);
	ck_assert_int_eq(wall_count(w, "token.requests"), 6);
	/* The old config after a restart: not logged out, and told what to do. */
	ck_assert_int_eq(authd_stop(a), 0);
	start_daemon();
	ctl_says((const char *[]){ "status", NULL }, 0, "which is not in use: set store.backend");
	ctl_says(there, 0, "2 credentials");
	is_served();
	/* A reload with what is in use is no other store. */
	snprintf(sed, sizeof(sed), "sed -i 's/\"file\"/\"encrypted\"/' %s", w->config);
	ck_assert_int_eq(system(sed), 0);
	ctl_says((const char *[]){ "reload", NULL }, 0, "reloaded");
	snprintf(sed, sizeof(sed), "sed -i 's/\"encrypted\"/\"keyring\"/' %s", w->config);
	ck_assert_int_eq(system(sed), 0);
	ctl_says((const char *[]){ "reload", NULL }, 1, "needs a restart");
	is_served();
	world_free(w);
}
END_TEST

START_TEST(rekeyed_beside_traffic)
{
	const char *const rekey[] = { "store", "rekey", "--new-key", new_key, NULL };

	begin("\"backend\": \"encrypted\", ");
	is_served();
	ctl_says(rekey, 0, "2 credentials are sealed with the new key");
	wall_do(w, "expire", NULL);
	is_served();
	ck_assert_int_eq(unlink(new_key), 0);
	ck_assert_int_eq(authd_stop(a), 0);
	start_daemon();
	is_served();
	ck_assert_int_eq(wall_count(w, "token.replays"), 0);
	ctl_says(rekey, 1, "No such file");
	/* The wrong key is told from a damaged file, and is no logout. */
	ck_assert_int_eq(authd_stop(a), 0);
	put_key(key_file, "kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk");
	start_daemon();
	ctl_says((const char *[]){ "status", "wall", NULL }, 0, "another key");
	ck_assert_int_eq(entries(".sealed"), 2);
	put_key(key_file, "nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn");
	ck_assert_int_eq(authd_stop(a), 0);
	start_daemon();
	is_served();
	world_free(w);
}
END_TEST

START_TEST(ctl_refuses)
{
	begin("\"backend\": \"file\", ");
	ctl_says((const char *[]){ "store", "migrate", NULL }, 2, "store migrate takes one of");
	ctl_says((const char *[]){ "store", "migrate", "auto", NULL }, 2, "store migrate takes one of");
	ctl_says((const char *[]){ "store", "rekey", NULL }, 2, "--new-key FILE");
	ctl_says((const char *[]){ "store", "migrate", "keyring", NULL }, 1, "no keyring answers");
	is_served();
	ck_assert_int_eq(authd_stop(a), 0);
	ctl_says((const char *[]){ "store", "migrate", "file", NULL }, 3, "start it");
	world_free(w);
}
END_TEST

/* --- memory --- */

/* Every byte of the process that can be read; the caller frees it. */
static char *
memory_of(pid_t pid, size_t *ret_n)
{
	char path[64], line[512];
	unsigned long from, to;
	size_t n = 0;
	char *all = NULL;
	ssize_t r;
	FILE *maps;
	int mem;

	snprintf(path, sizeof(path), "/proc/%ld/mem", (long)pid);
	mem = open(path, O_RDONLY);
	snprintf(path, sizeof(path), "/proc/%ld/maps", (long)pid);
	maps = fopen(path, "r");
	ck_assert(mem != -1 && maps != NULL);
	while (fgets(line, sizeof(line), maps) != NULL) {
		if (sscanf(line, "%lx-%lx rw", &from, &to) != 2 || strstr(line, " rw") == NULL)
			continue;
		all = realloc(all, n + (to - from));
		ck_assert_ptr_nonnull(all);
		r = pread(mem, all + n, to - from, (off_t)from);
		if (r > 0)
			n += (size_t)r;
	}
	fclose(maps);
	close(mem);
	*ret_n = n;
	return all;
}

/* How many of the secrets stand in it; the first one is shown in part. */
static int
found_in(const char *all, size_t n, const char *secrets)
{
	const char *line, *end;
	int found = 0;

	for (line = secrets; *line != '\0'; line = *end != '\0' ? end + 1 : end) {
		end = line + strcspn(line, "\n");
		if (end - line < 16 || strncmp(line, "url ", 4) == 0)
			continue;
		if (memmem(all, n, line, (size_t)(end - line)) != NULL && found++ == 0)
			printf("found: %.12s...\n", line);
	}
	return found;
}

/* H4: after a logout no token is left in the daemon's whole memory, freed or not. */
START_TEST(h4_nothing_left_in_memory)
{
	char *all, *secrets;
	struct ask line;
	size_t n;

	if (geteuid() != 0)
		return;
#ifdef __SANITIZE_ADDRESS__
	return;				/* its allocator keeps what is freed from us */
#endif
	begin(_i == 0 ? "\"backend\": \"encrypted\", " : "\"backend\": \"file\", ");
	for (int i = 0; i < 5; i++) {
		wall_do(w, "expire", NULL);
		is_served();
	}
	line = (struct ask){ .socket = authd_socket(a, "more"), .version = "2026-07-28" };
	ask = line;
	is_served();
	if (_i == 1)
		ctl_says((const char *[]){ "store", "migrate", "encrypted", NULL }, 0, "2 credentials");
	secrets = file_read(w->secrets, NULL);
	all = memory_of(a->pid, &n);
	ck_assert_int_gt(found_in(all, n, secrets), 0);	/* the scan finds what is there */
	free(all);
	free(secrets);
	ctl_says((const char *[]){ "logout", "--all", NULL }, 0, "");
	secrets = file_read(w->secrets, NULL);
	all = memory_of(a->pid, &n);
	ck_assert_int_eq(found_in(all, n, secrets), 0);
	free(all);
	free(secrets);
	world_free(w);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("store");
	TCase *tc = tcase_create("store");
	SRunner *sr;
	int failed;

	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, i1_sealed_at_rest);
	tcase_add_test(tc, i5_moved_beside_traffic);
	tcase_add_test(tc, rekeyed_beside_traffic);
	tcase_add_test(tc, ctl_refuses);
	tcase_add_loop_test(tc, h4_nothing_left_in_memory, 0, 2);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
