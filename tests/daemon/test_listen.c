/* Runtime directory, lock, sockets: in a directory of our own. */
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#include <check.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "listen.h"

#define DEADLINE	(10 * SEC)

static const struct listener_access ours = { 0600, (gid_t)-1 };
static const struct listener_access everybody = { 0666, (gid_t)-1 };

static char top[] = "/tmp/mcp-authd-listen.XXXXXX";
static char dir[64], why[512];
static struct loop *loop;
static struct timer tick;
static int64_t give_up;
static bool (*condition)(void);

static unsigned accepted_count;
static int accepted_fd = -1;
static int accepted_flags, accepted_cloexec;

static void
accepted(_unused_ void *arg, int fd)
{
	accepted_count++;
	accepted_flags = fcntl(fd, F_GETFL);
	accepted_cloexec = fcntl(fd, F_GETFD);
	if (accepted_fd != -1)
		close(accepted_fd);
	accepted_fd = fd;
}

static void
on_tick(_unused_ void *arg)
{
	if (condition() || loop_now(loop).boot > give_up)
		loop_stop(loop);
	else
		timer_set(&tick, 1);
}

static bool
until(bool (*cond)(void))
{
	condition = cond;
	give_up = loop_now(loop).boot + DEADLINE;
	timer_set(&tick, 0);
	loop_run(loop);
	return cond();
}

static int64_t pass_until;

static bool
time_passed(void)
{
	return loop_now(loop).boot >= pass_until;
}

static bool
one_accepted(void)
{
	return accepted_count >= 1;
}

static const char *
in_dir(const char *name)
{
	static char path[2 * PATH_MAX];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return path;
}

static unsigned
mode_of(const char *path)
{
	struct stat st;

	return lstat(path, &st) == 0 ? st.st_mode & 07777 : 0;
}

/* A connected descriptor, or -1 with errno. */
static int
dial(const char *path)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd;

	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (connect(fd, (struct sockaddr *)&addr, sizeof(addr)) == -1) {
		close(fd);
		return -1;
	}
	return fd;
}

/* A socket that nobody listens on any more. */
static void
leave_stale(const char *path)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", path);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	close(fd);
}

static struct listener *
open_at(struct runtime *r, const char *path, const struct listener_access *a)
{
	why[0] = '\0';
	return listener_open(loop, r, path, a, accepted, NULL, why, sizeof(why));
}

static struct runtime *
open_runtime(void)
{
	struct runtime *r = runtime_open(dir, why, sizeof(why));

	ck_assert_msg(r != NULL, "%s", why);
	return r;
}

static void
setup(void)
{
	strcpy(top, "/tmp/mcp-authd-listen.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(top));
	snprintf(dir, sizeof(dir), "%s/run", top);
	loop = loop_new();
	ck_assert_ptr_nonnull(loop);
	timer_init(&tick, loop, on_tick, NULL);
}

static void
teardown(void)
{
	char command[128];

	if (accepted_fd != -1)
		close(accepted_fd);
	loop_free(loop);
	snprintf(command, sizeof(command), "rm -rf %s", top);
	ck_assert_int_eq(system(command), 0);
}

START_TEST(path_by_environment)
{
	char out[PATH_MAX], tiny[8];

	unsetenv("RUNTIME_DIRECTORY");
	unsetenv("XDG_RUNTIME_DIR");
	ck_assert_int_eq(runtime_path(out, sizeof(out)), 0);
	ck_assert_str_eq(out, "/run/mcp-authd");
	setenv("XDG_RUNTIME_DIR", "/run/user/7", 1);
	ck_assert_int_eq(runtime_path(out, sizeof(out)), 0);
	ck_assert_str_eq(out, "/run/user/7/mcp-authd");
	setenv("RUNTIME_DIRECTORY", "/run/a:/run/b", 1);
	ck_assert_int_eq(runtime_path(out, sizeof(out)), 0);
	ck_assert_str_eq(out, "/run/a");
	ck_assert_int_eq(runtime_path(tiny, 6), -ENAMETOOLONG);
	setenv("RUNTIME_DIRECTORY", "relative", 1);
	setenv("XDG_RUNTIME_DIR", "", 1);
	ck_assert_int_eq(runtime_path(out, sizeof(out)), 0);
	ck_assert_str_eq(out, "/run/mcp-authd");
}
END_TEST

START_TEST(directory_and_lock_file)
{
	struct runtime *r = open_runtime();
	char text[16] = "", pid[16];
	int fd;

	ck_assert_uint_eq(mode_of(dir), 0700);
	ck_assert_uint_eq(mode_of(in_dir("lock")), 0600);
	fd = open(in_dir("lock"), O_RDONLY);
	ck_assert_int_gt(read(fd, text, sizeof(text) - 1), 0);
	close(fd);
	snprintf(pid, sizeof(pid), "%d\n", getpid());
	ck_assert_str_eq(text, pid);
	runtime_close(r);
	ck_assert_uint_eq(mode_of(in_dir("lock")), 0600);
	runtime_close(open_runtime());
}
END_TEST

START_TEST(second_daemon_is_told_the_pid)
{
	struct runtime *r = open_runtime();
	struct listener *l = open_at(r, "a.sock", &ours);
	char pid[32];

	/* OFD locks stand between two descriptors of one process, too. */
	ck_assert_ptr_nonnull(l);
	ck_assert_ptr_null(runtime_open(dir, why, sizeof(why)));
	snprintf(pid, sizeof(pid), "pid %d", getpid());
	ck_assert_ptr_nonnull(strstr(why, pid));
	ck_assert_ptr_nonnull(strstr(why, dir));
	ck_assert_uint_eq(mode_of(in_dir("a.sock")), 0600);
	runtime_close(r);
}
END_TEST

START_TEST(lock_dies_with_its_holder)
{
	struct runtime *r;
	int status, ready[2];
	pid_t pid;
	char c;

	ck_assert_int_eq(pipe(ready), 0);
	pid = fork();
	if (pid == 0) {
		r = runtime_open(dir, why, sizeof(why));
		if (r == NULL || write(ready[1], "x", 1) != 1)
			_exit(1);
		pause();
	}
	ck_assert_int_eq(read(ready[0], &c, 1), 1);
	ck_assert_ptr_null(runtime_open(dir, why, sizeof(why)));
	kill(pid, SIGKILL);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	runtime_close(open_runtime());
	close(ready[0]);
	close(ready[1]);
}
END_TEST

START_TEST(bad_directories_are_refused)
{
	char other[128];

	ck_assert_int_eq(mkdir(dir, 0700), 0);
	ck_assert_int_eq(chmod(dir, 0770), 0);
	ck_assert_ptr_null(runtime_open(dir, why, sizeof(why)));
	ck_assert_ptr_nonnull(strstr(why, "writable for others"));
	ck_assert_int_eq(chmod(dir, 0700), 0);
	snprintf(other, sizeof(other), "%s/link", top);
	ck_assert_int_eq(symlink(dir, other), 0);
	ck_assert_ptr_null(runtime_open(other, why, sizeof(why)));
	snprintf(other, sizeof(other), "%s/missing/run", top);
	ck_assert_ptr_null(runtime_open(other, why, sizeof(why)));
	if (geteuid() == 0) {
		ck_assert_int_eq(chown(dir, 12345, -1), 0);
		ck_assert_ptr_null(runtime_open(dir, why, sizeof(why)));
		ck_assert_ptr_nonnull(strstr(why, "12345"));
	}
}
END_TEST

START_TEST(accepts_and_unlinks)
{
	struct runtime *r = open_runtime();
	struct listener *l = open_at(r, "up/mcp.sock", &ours);
	int fd;

	ck_assert_msg(l != NULL, "%s", why);
	ck_assert_uint_eq(mode_of(in_dir("up")), 0700);
	ck_assert_uint_eq(mode_of(in_dir("up/mcp.sock")), 0600);
	fd = dial(in_dir("up/mcp.sock"));
	ck_assert_int_ne(fd, -1);
	ck_assert(until(one_accepted));
	ck_assert(accepted_flags & O_NONBLOCK);
	ck_assert(accepted_cloexec & FD_CLOEXEC);
	close(fd);
	listener_close(l);
	ck_assert_uint_eq(mode_of(in_dir("up/mcp.sock")), 0);
	/* The folder stays: it may be mounted somewhere. */
	ck_assert_uint_eq(mode_of(in_dir("up")), 0700);
	ck_assert_ptr_nonnull(open_at(r, "up/mcp.sock", &ours));
	runtime_close(r);
	ck_assert_uint_eq(mode_of(in_dir("up/mcp.sock")), 0);
}
END_TEST

START_TEST(shared_modes)
{
	static const struct listener_access group = { 0660, (gid_t)-1 };
	struct runtime *r = open_runtime();

	ck_assert_ptr_nonnull(open_at(r, "g/mcp.sock", &group));
	ck_assert_uint_eq(mode_of(in_dir("g")), 0710);
	ck_assert_uint_eq(mode_of(in_dir("g/mcp.sock")), 0660);
	ck_assert_uint_eq(mode_of(dir), 0710);
	ck_assert_ptr_nonnull(open_at(r, "e/mcp.sock", &everybody));
	ck_assert_uint_eq(mode_of(in_dir("e")), 0711);
	ck_assert_uint_eq(mode_of(in_dir("e/mcp.sock")), 0666);
	ck_assert_ptr_nonnull(open_at(r, "control.sock", &ours));
	ck_assert_uint_eq(mode_of(in_dir("control.sock")), 0600);
	runtime_close(r);
}
END_TEST

START_TEST(group_of_the_socket)
{
	struct listener_access a = { 0660, 12345 };
	struct runtime *r = open_runtime();
	struct listener *l = open_at(r, "g/mcp.sock", &a);
	struct stat st;

	if (geteuid() == 0) {
		ck_assert_msg(l != NULL, "%s", why);
		ck_assert_int_eq(lstat(in_dir("g/mcp.sock"), &st), 0);
		ck_assert_uint_eq(st.st_gid, 12345);
		ck_assert_int_eq(lstat(in_dir("g"), &st), 0);
		ck_assert_uint_eq(st.st_gid, 12345);
	} else {
		ck_assert_ptr_null(l);
	}
	runtime_close(r);
}
END_TEST

START_TEST(stale_socket_is_replaced)
{
	struct runtime *r = open_runtime();
	int fd;

	leave_stale(in_dir("a.sock"));
	ck_assert_msg(open_at(r, "a.sock", &ours) != NULL, "%s", why);
	fd = dial(in_dir("a.sock"));
	ck_assert_int_ne(fd, -1);
	close(fd);
	runtime_close(r);
}
END_TEST

START_TEST(foreign_things_are_not_removed)
{
	struct runtime *r = open_runtime();
	int fd;

	fd = open(in_dir("a.sock"), O_CREAT | O_WRONLY, 0600);
	close(fd);
	ck_assert_ptr_null(open_at(r, "a.sock", &ours));
	ck_assert_ptr_nonnull(strstr(why, "not a socket of ours"));
	ck_assert_uint_eq(mode_of(in_dir("a.sock")), 0600);
	ck_assert_int_eq(symlink("/nowhere", in_dir("l.sock")), 0);
	ck_assert_ptr_null(open_at(r, "l.sock", &ours));
	if (geteuid() == 0) {
		leave_stale(in_dir("f.sock"));
		ck_assert_int_eq(chown(in_dir("f.sock"), 12345, -1), 0);
		ck_assert_ptr_null(open_at(r, "f.sock", &ours));
		ck_assert_uint_ne(mode_of(in_dir("f.sock")), 0);
	}
	runtime_close(r);
}
END_TEST

/* Outside the runtime directory the lock says nothing: a live socket is left alone. */
START_TEST(elsewhere)
{
	struct runtime *r = open_runtime();
	char path[128];
	struct listener *l;
	int fd;

	snprintf(path, sizeof(path), "%s/other.sock", top);
	leave_stale(path);
	l = open_at(r, path, &everybody);
	ck_assert_msg(l != NULL, "%s", why);
	ck_assert_uint_eq(mode_of(path), 0666);
	ck_assert_uint_eq(mode_of(top), 0700);
	ck_assert_ptr_null(open_at(r, path, &ours));
	ck_assert_ptr_nonnull(strstr(why, "in use"));
	fd = dial(path);
	ck_assert_int_ne(fd, -1);
	ck_assert(until(one_accepted));
	close(fd);
	/* What took our place is not ours to remove. */
	ck_assert_int_eq(unlink(path), 0);
	leave_stale(path);
	listener_close(l);
	ck_assert_uint_ne(mode_of(path), 0);
	runtime_close(r);
}
END_TEST

START_TEST(bad_paths)
{
	struct runtime *r = open_runtime();
	char name[200];

	memset(name, 'n', sizeof(name));
	name[sizeof(name) - 1] = '\0';
	ck_assert_ptr_null(open_at(r, name, &ours));
	ck_assert_ptr_nonnull(strstr(why, "too long"));
	ck_assert_ptr_null(open_at(r, "a/b/c.sock", &ours));
	ck_assert_ptr_nonnull(strstr(why, "sub-folder"));
	ck_assert_ptr_null(open_at(r, "/nowhere/at/all.sock", &ours));
	ck_assert_ptr_nonnull(strstr(why, "/nowhere/at/all.sock"));
	runtime_close(r);
}
END_TEST

START_TEST(pause_leaves_them_waiting)
{
	struct runtime *r = open_runtime();
	struct listener *l = open_at(r, "a.sock", &ours);
	int fd;

	listener_pause(l, true);
	fd = dial(in_dir("a.sock"));
	ck_assert_int_ne(fd, -1);
	pass_until = loop_now(loop).boot + 50;
	ck_assert(until(time_passed));
	ck_assert_uint_eq(accepted_count, 0);
	listener_pause(l, false);
	ck_assert(until(one_accepted));
	close(fd);
	runtime_close(r);
}
END_TEST

/* Out of descriptors: stops for a second instead of spinning, then goes on. */
START_TEST(emfile_backs_off)
{
	struct runtime *r = open_runtime();
	struct rlimit lim, none;
	struct rusage before, after;
	int64_t start, spent;
	int fd;

	ck_assert_ptr_nonnull(open_at(r, "a.sock", &ours));
	fd = dial(in_dir("a.sock"));
	ck_assert_int_ne(fd, -1);
	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &lim), 0);
	none = lim;
	none.rlim_cur = 3;
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
	start = loop_now(loop).boot;
	getrusage(RUSAGE_SELF, &before);
	pass_until = start + 300;
	ck_assert(until(time_passed));
	getrusage(RUSAGE_SELF, &after);
	ck_assert_uint_eq(accepted_count, 0);
	spent = (after.ru_utime.tv_usec - before.ru_utime.tv_usec +
	    after.ru_stime.tv_usec - before.ru_stime.tv_usec) / 1000 +
	    (after.ru_utime.tv_sec - before.ru_utime.tv_sec +
	    after.ru_stime.tv_sec - before.ru_stime.tv_sec) * SEC;
	ck_assert_int_lt(spent, 200);
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &lim), 0);
	ck_assert(until(one_accepted));
	ck_assert_int_ge(loop_now(loop).boot - start, 900);
	close(fd);
	runtime_close(r);
}
END_TEST

static Suite *
suite(void)
{
	Suite *s = suite_create("listen");
	TCase *t = tcase_create("listen");

	tcase_set_timeout(t, 30);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, path_by_environment);
	tcase_add_test(t, directory_and_lock_file);
	tcase_add_test(t, second_daemon_is_told_the_pid);
	tcase_add_test(t, lock_dies_with_its_holder);
	tcase_add_test(t, bad_directories_are_refused);
	tcase_add_test(t, accepts_and_unlinks);
	tcase_add_test(t, shared_modes);
	tcase_add_test(t, group_of_the_socket);
	tcase_add_test(t, stale_socket_is_replaced);
	tcase_add_test(t, foreign_things_are_not_removed);
	tcase_add_test(t, elsewhere);
	tcase_add_test(t, bad_paths);
	tcase_add_test(t, pause_leaves_them_waiting);
	tcase_add_test(t, emfile_backs_off);
	suite_add_tcase(s, t);
	return s;
}

int
main(void)
{
	SRunner *r = srunner_create(suite());
	int failed;

	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
