/*
 * SIGKILL and errors at every system call of the store's worker, each in turn
 * (issue 6, must show 2 and 3; contract C11, D, I7): save, delete, migrate and
 * rekey leave the old or the new credential, whole, and exactly one; an error
 * is said, and the same once more succeeds.
 *
 * The work is done by this program itself in another process; strace(1)
 * attaches to its worker thread, first to see the calls, then to interfere.
 */
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <check.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "storing.h"

#define CALLS_MAX	400
#define PLAIN		CONFIG_STORE_FILE
#define SEALED		CONFIG_STORE_ENCRYPTED

/* What changes the disk: between two of them every moment is like another. */
#define CHANGES		"openat,write,pwrite64,fsync,renameat,renameat2,rename,unlinkat,unlink"
#define ALL		CHANGES ",read,pread64,fcntl,newfstatat,fstat,getdents64,statx"

enum op { OP_SAVE, OP_SAVE_SEALED, OP_DELETE, OP_DELETE_SEALED, OP_SEAL, OP_UNSEAL, OP_REKEY, OPS };

static const char *const op_names[OPS] = {
	"save", "save, sealed", "delete", "delete, sealed", "migrate encrypted", "migrate file", "rekey"
};

static char self[4096], new_key[128];

static bool
is_sealed(enum op op)
{
	return op == OP_SAVE_SEALED || op == OP_DELETE_SEALED || op == OP_UNSEAL || op == OP_REKEY;
}

static struct came
do_op(enum op op)
{
	switch (op) {
	case OP_SAVE:
	case OP_SAVE_SEALED:
		return do_save(&key, "new");
	case OP_DELETE:
	case OP_DELETE_SEALED:
		return do_delete(&key);
	case OP_SEAL:
		return do_migrate(SEALED);
	case OP_UNSEAL:
		return do_migrate(PLAIN);
	case OP_REKEY:
		return do_rekey(new_key);
	case OPS:
		break;
	}
	abort();
}

/* --- the process that works --- */

static void
tell_tid(_unused_ void *job)
{
	dprintf(STDOUT_FILENO, "%ld\n", (long)syscall(SYS_gettid));
}

static void
told(void *job)
{
	*(bool *)job = true;
	loop_stop(loop);
}

static void
where_things_are(const char *top)
{
	snprintf(store_top, sizeof(store_top), "%s", top);
	snprintf(store_dir, sizeof(store_dir), "%s/credentials", top);
	snprintf(store_key_file, sizeof(store_key_file), "%s/key", top);
	snprintf(new_key, sizeof(new_key), "%s/key.new", top);
}

static enum op work_op;
static const char *work_top;

/* Says its worker's number, waits for a byte, works; "0 words" or "1 words", then the same of a second try. */
START_TEST(work)
{
	struct came c;
	bool done = false;
	char go;

	where_things_are(work_top);
	loop = loop_new();
	storing_open(is_sealed(work_op) ? SEALED : PLAIN, true);
	do_load(&other);			/* what is looked at at the start is over */
	ck_assert_int_eq(worker_give(store_worker(store), tell_tid, told, &done), 0);
	while (!done)
		loop_run(loop);
	ck_assert_int_eq(read(STDIN_FILENO, &go, 1), 1);
	c = do_op(work_op);
	dprintf(STDOUT_FILENO, "%d %s\n", c.what != STORE_OK, c.why);
	if (c.what != STORE_OK) {
		c = do_op(work_op);
		dprintf(STDOUT_FILENO, "%d %s\n", c.what != STORE_OK, c.why);
	}
	_exit(0);
}
END_TEST

/* As a test without a fork, so that helpers may assert; does not come back. */
static int
work_alone(char **argv)
{
	TCase *tc = tcase_create("work");
	Suite *s = suite_create("work");
	SRunner *sr;

	prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY);
	work_op = (enum op)atoi(argv[2]);
	work_top = argv[3];
	tcase_add_test(tc, work);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_set_fork_status(sr, CK_NOFORK);
	srunner_run_all(sr, CK_SILENT);
	return 1;
}

/* --- the harness --- */

static pid_t
start(const char *const *argv, int *ret_in, int *ret_out, int out_fd)
{
	int in[2], out[2];
	pid_t pid;

	ck_assert(pipe2(in, O_CLOEXEC) == 0 && pipe2(out, O_CLOEXEC) == 0);
	pid = fork();
	if (pid == 0) {
		dup2(in[0], STDIN_FILENO);
		dup2(out[1], out_fd);
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		setenv("ASAN_OPTIONS", "detect_leaks=0", 1);
		execvp(argv[0], (char *const *)(uintptr_t)argv);
		_exit(127);
	}
	close(in[0]);
	close(out[1]);
	*ret_in = in[1];
	*ret_out = out[0];
	return pid;
}

/* Reads until that text has come, or the end. */
static void
hear(int fd, const char *until, char *out, size_t size)
{
	size_t n = 0;
	ssize_t r;

	out[0] = '\0';
	while (n + 1 < size && (until == NULL || strstr(out, until) == NULL) &&
	    (r = read(fd, out + n, size - n - 1)) > 0) {
		n += (size_t)r;
		out[n] = '\0';
	}
}

/* One run; what it said goes to `said`.  true: it was killed. */
static bool
run(enum op op, const char *what, const char *inject, const char *log, char *said, size_t size)
{
	char tid[32], number[16], words[512];
	const char *const driver[] = { self, "--work", number, store_top, NULL };
	const char *strace[] = { "strace", "-o", log, "-p", tid, "-e", what, "-e", inject, NULL };
	int in, out, sin, serr, status;
	pid_t pid, tracer;

	snprintf(number, sizeof(number), "%d", op);
	pid = start(driver, &in, &out, STDOUT_FILENO);
	hear(out, "\n", tid, sizeof(tid));
	tid[strcspn(tid, "\n")] = '\0';
	ck_assert_msg(tid[0] != '\0', "%s: the worker did not start", op_names[op]);
	if (inject == NULL)
		strace[7] = NULL;
	tracer = start(strace, &sin, &serr, STDERR_FILENO);
	hear(serr, "attached", words, sizeof(words));
	ck_assert_msg(strstr(words, "attached") != NULL, "strace: %s", words);
	ck_assert_int_eq(write(in, "g", 1), 1);
	hear(out, NULL, said, size);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	close(in);
	close(out);
	hear(serr, NULL, words, sizeof(words));
	waitpid(tracer, NULL, 0);
	close(sin);
	close(serr);
	ck_assert_msg(WIFSIGNALED(status) ? WTERMSIG(status) == SIGKILL : WEXITSTATUS(status) == 0,
	    "%s, %s: status %x, %s", op_names[op], inject != NULL ? inject : "", status, said);
	return WIFSIGNALED(status);
}

/* --- what it finds, and what must be there afterwards --- */

static void
prepare(enum op op)
{
	char clean[128];

	storing_open(PLAIN, true);
	store_close(store);		/* makes the directory */
	store = NULL;
	snprintf(clean, sizeof(clean), "rm -rf %s/*", store_dir);
	ck_assert_int_eq(system(clean), 0);
	snprintf(new_key, sizeof(new_key), "%s/key.new", store_top);
	put_file(store_key_file, "kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk", 32);
	put_file(new_key, "nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn", 32);
	storing_open(is_sealed(op) ? SEALED : PLAIN, true);
	ck_assert_int_eq(do_save(&key, "old").what, STORE_OK);
	ck_assert_int_eq(do_save(&other, "bystander").what, STORE_OK);
	store_close(store);
	store = NULL;
}

static void
expect_one(const struct store_key *k, const char *token)
{
	struct came c = do_load(k);

	ck_assert_msg(c.what == STORE_OK && strcmp(c.text, token) == 0, "%s: %d, \"%s\", %s", k->name,
	    c.what, c.text, c.why);
}

/* One file for each entry, no more; nothing set aside, no temp file. */
static void
expect_tidy(int entries)
{
	ck_assert_int_eq(entries_with(".json") + entries_with(".sealed"), entries);
	ck_assert_int_eq(entries_with(".tmp."), 0);
	ck_assert_int_eq(entries_with(".bad-"), 0);
}

static void
after_save(enum op op, bool finished)
{
	struct came c;

	storing_open(is_sealed(op) ? SEALED : PLAIN, true);
	c = do_load(&key);
	ck_assert_msg(c.what == STORE_OK && (strcmp(c.text, "new") == 0 ||
	    (!finished && strcmp(c.text, "old") == 0)), "%d \"%s\" %s", c.what, c.text, c.why);
	expect_one(&other, "bystander");
	expect_tidy(2);
}

static void
after_delete(enum op op, bool finished)
{
	struct came c;

	storing_open(is_sealed(op) ? SEALED : PLAIN, true);
	c = do_load(&key);
	ck_assert_msg(c.what == STORE_GONE || (!finished && strcmp(c.text, "old") == 0),
	    "%d \"%s\" %s", c.what, c.text, c.why);
	expect_one(&other, "bystander");
	expect_tidy(c.what == STORE_GONE ? 1 : 2);
}

/* Before the second try every entry can be read in one of the two stores. */
static void
after_migrate(enum op op)
{
	enum config_backend from = op == OP_SEAL ? PLAIN : SEALED, to = op == OP_SEAL ? SEALED : PLAIN;
	struct came a[2], b[2], c;

	storing_open(from, true);
	a[0] = do_load(&key);
	a[1] = do_load(&other);
	storing_open(to, true);
	b[0] = do_load(&key);
	b[1] = do_load(&other);
	ck_assert(strcmp(a[0].text, "old") == 0 || strcmp(b[0].text, "old") == 0);
	ck_assert(strcmp(a[1].text, "bystander") == 0 || strcmp(b[1].text, "bystander") == 0);
	ck_assert_int_eq(entries_with(".bad-"), 0);
	storing_open(from, true);
	c = do_migrate(to);
	ck_assert_msg(c.what == STORE_OK, "%s", c.why);
	expect_one(&key, "old");
	expect_one(&other, "bystander");
	expect_tidy(2);
}

static void
after_rekey(void)
{
	struct came c;
	char now[64];

	storing_open(SEALED, true);
	expect_one(&key, "old");
	expect_one(&other, "bystander");
	c = do_rekey(new_key);
	ck_assert_msg(c.what == STORE_OK || strstr(c.why, "in use already") != NULL, "%s", c.why);
	get_file(store_key_file, now, sizeof(now));
	ck_assert_str_eq(now, "nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn");
	unlink(new_key);
	storing_open(SEALED, true);
	expect_one(&key, "old");
	expect_one(&other, "bystander");
	expect_tidy(2);
	ck_assert_int_eq(entries_with("next-key.path"), 0);
}

static void
afterwards(enum op op, bool finished)
{
	if (op == OP_SAVE || op == OP_SAVE_SEALED)
		after_save(op, finished);
	else if (op == OP_DELETE || op == OP_DELETE_SEALED)
		after_delete(op, finished);
	else if (op == OP_REKEY)
		after_rekey();
	else
		after_migrate(op);
	store_close(store);
	store = NULL;
}

/* --- calls --- */

struct call {
	char	 name[16];
	int	 nth;		/* of that name: so strace counts */
	char	 line[200];
};

/* What an undisturbed run calls. */
static size_t
record_calls(enum op op, const char *set, struct call *calls)
{
	char what[256], log[128], said[512], line[1024];
	size_t n = 0, i;
	FILE *f;

	prepare(op);
	snprintf(what, sizeof(what), "trace=%s", set);
	snprintf(log, sizeof(log), "%s/trace", store_top);
	ck_assert(!run(op, what, NULL, log, said, sizeof(said)));
	ck_assert_msg(said[0] == '0', "%s: %s", op_names[op], said);
	afterwards(op, true);
	f = fopen(log, "r");
	ck_assert_ptr_nonnull(f);
	while (fgets(line, sizeof(line), f) != NULL) {
		const char *text = line;
		size_t len = strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789_");

		if (len == 0 || len >= sizeof(calls->name) || text[len] != '(')
			continue;
		ck_assert_uint_lt(n, CALLS_MAX);
		snprintf(calls[n].name, sizeof(calls->name), "%.*s", (int)len, text);
		snprintf(calls[n].line, sizeof(calls->line), "%.190s", text);
		calls[n].nth = 1;
		for (i = 0; i < n; i++)
			calls[n].nth += strcmp(calls[i].name, calls[n].name) == 0;
		n++;
	}
	fclose(f);
	return n;
}

/* C11: a file is written, synced, renamed, and its directory synced; what is unlinked is followed by a sync. */
static void
order_is_right(enum op op, const struct call *calls, size_t n)
{
	char shape[CALLS_MAX + 1] = "";
	size_t i, len = 0;
	int renames = 0;
	char *p;

	for (i = 0; i < n; i++)
		if (strcmp(calls[i].name, "write") == 0 && strncmp(calls[i].line, "write(1,", 8) != 0 &&
		    strstr(calls[i].line, "\"\\1\\0\\0\\0") == NULL)	/* eventfd */
			shape[len++] = 'w';
		else if (strcmp(calls[i].name, "fsync") == 0)
			shape[len++] = 'f';
		else if (strncmp(calls[i].name, "rename", 6) == 0)
			shape[len++] = 'r';
		else if (strncmp(calls[i].name, "unlink", 6) == 0)
			shape[len++] = 'u';
	shape[len] = '\0';
	for (p = shape; (p = strchr(p, 'r')) != NULL; p++) {
		ck_assert_msg(p - shape >= 2 && p[-2] == 'w' && p[-1] == 'f' && p[1] == 'f',
		    "%s: %s", op_names[op], shape);
		renames++;
	}
	for (p = shape; (p = strchr(p, 'u')) != NULL; p++)
		ck_assert_msg(p[1] == 'f' || p[1] == 'u', "%s: %s", op_names[op], shape);
	printf("%s: %s\n", op_names[op], shape);
	ck_assert_int_eq(renames, op <= OP_SAVE_SEALED ? 1 : op <= OP_DELETE_SEALED ? 0 :
	    op == OP_REKEY ? 4 : 2);
}

static struct call calls[CALLS_MAX];

START_TEST(killed_at_every_call)
{
	char what[256], inject[64], said[512];
	enum op op = (enum op)_i;
	size_t n, i;

	n = record_calls(op, CHANGES, calls);
	ck_assert_uint_gt(n, 0);
	order_is_right(op, calls, n);
	snprintf(what, sizeof(what), "trace=%s", CHANGES);
	for (i = 0; i < n; i++) {
		/* Opened only to be read, or the loop woken: nothing changes. */
		if ((strcmp(calls[i].name, "openat") == 0 && strstr(calls[i].line, "O_CREAT") == NULL) ||
		    (strcmp(calls[i].name, "write") == 0 && strstr(calls[i].line, "\"\\1\\0\\0\\0") != NULL))
			continue;
		prepare(op);
		snprintf(inject, sizeof(inject), "inject=%s:signal=KILL:when=%d", calls[i].name,
		    calls[i].nth);
		ck_assert_msg(run(op, what, inject, "/dev/null", said, sizeof(said)),
		    "%s: not killed at %s", op_names[op], calls[i].line);
		afterwards(op, false);
	}
	printf("%s: killed at %zu calls\n", op_names[op], n);
}
END_TEST

static const char *const errors[] = { "EIO", "ENOSPC", "EROFS", "EACCES", "EINTR" };

/* Is it said, and is the second try good? */
static void
judge(enum op op, const struct call *call, const char *error, const char *said)
{
	const char *second = strchr(said, '\n');

	ck_assert_msg(said[0] == '0' || said[0] == '1', "%s, %s at %s: \"%s\"", op_names[op], error,
	    call->line, said);
	if (said[0] == '0')
		return;
	ck_assert_msg(strlen(said) > 12, "%s, %s at %s: no words", op_names[op], error, call->line);
	ck_assert_msg(strcmp(error, "EINTR") != 0, "%s, EINTR at %s: %s", op_names[op], call->line, said);
	ck_assert_msg(second != NULL && (second[1] == '0' || strstr(second, "in use already") != NULL),
	    "%s, %s at %s: %s", op_names[op], error, call->line, said);
}

/*
 * Of the long ones a part, or this takes minutes ($STORE_FAULTS_ALL: three
 * times as many of them, and every one for EIO); EINTR only where the kernel
 * gives it: reading, writing, syncing, locking.
 */
static bool
is_worth(const struct call *call, const char *error, size_t turn)
{
	static const char *const interrupted[] = { "write", "pwrite64", "fsync", "read", "fcntl" };
	size_t i, part = getenv("STORE_FAULTS_ALL") != NULL ? 1 : 8;

	if (strcmp(call->name, "write") == 0 && strstr(call->line, "\"\\1\\0\\0\\0") != NULL)
		return false;		/* the eventfd */
	if (strcmp(error, "EIO") == 0)
		return turn % part == 0;
	if (strcmp(error, "EINTR") != 0)
		return strstr(CHANGES, call->name) != NULL && turn % (3 * part) == 0;
	if (strcmp(call->name, "fcntl") == 0 && strstr(call->line, "F_OFD_SETLK") == NULL)
		return false;
	for (i = 0; i < nitems(interrupted); i++)
		if (strcmp(call->name, interrupted[i]) == 0)
			return turn % (3 * part) == 0;
	return false;
}

/* D: no crash, the right words, nothing lost; the second try is good. */
START_TEST(errors_at_every_call)
{
	char what[256], inject[64], said[512];
	enum op op = (enum op)_i;
	size_t n, i, e;

	n = record_calls(op, ALL, calls);
	snprintf(what, sizeof(what), "trace=%s", ALL);
	for (e = 0; e < nitems(errors); e++) {
		for (i = 0; i < n; i++) {
			if (!is_worth(&calls[i], errors[e], op <= OP_DELETE_SEALED ? 0 : i))
				continue;
			prepare(op);
			snprintf(inject, sizeof(inject), "inject=%s:error=%s:when=%d", calls[i].name,
			    errors[e], calls[i].nth);
			ck_assert(!run(op, what, inject, "/dev/null", said, sizeof(said)));
			judge(op, &calls[i], errors[e], said);
			afterwards(op, true);
		}
	}
	printf("%s: errors at %zu calls\n", op_names[op], n);
}
END_TEST

int
main(int argc, char **argv)
{
	Suite *s = suite_create("store_crash");
	TCase *tc = tcase_create("crash");
	SRunner *sr;
	int failed;

	if (argc == 4 && strcmp(argv[1], "--work") == 0)
		return work_alone(argv);
	if (readlink("/proc/self/exe", self, sizeof(self) - 1) <= 0)
		return 1;
	tcase_set_timeout(tc, 90);
	tcase_add_checked_fixture(tc, storing_begin, storing_end);
	tcase_add_loop_test(tc, killed_at_every_call, 0, OPS);
	tcase_add_loop_test(tc, errors_at_every_call, 0, OPS);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
