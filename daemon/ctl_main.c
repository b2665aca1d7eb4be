/* mcp-authctl: the command line of mcp-authd. */
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "bounds.h"
#include "config_file.h"
#include "ctl.h"
#include "ctl_status.h"
#include "json.h"
#include "listen.h"

#ifndef VERSION
#define VERSION		"0.1.0"
#endif

#define OWN_OPTIONS	"jndSafckwK"	/* letters of options that belong to some commands only */

static const char usage_text[] =
    "usage: mcp-authctl [--user | --system | --control PATH] COMMAND\n"
    "\n"
    "  status [NAME] [--json]            what the daemon holds and does; exit 4: NAME needs a login\n"
    "  doctor NAME [--json]              what stands between NAME and an answer, and what to do\n"
    "  login NAME [--no-browser] [--device] [--scope SCOPE]\n"
    "                                    logs in: in a browser; by pasting where it ended up\n"
    "                                    (--no-browser); with a code on another device (--device)\n"
    "  logout NAME | --all               forgets the login here, then revokes it at the server\n"
    "  token import NAME [--file FILE]   hands the daemon a token: a JSON object on stdin or in FILE\n"
    "                                    (access_token, refresh_token, expires_at or expires_in,\n"
    "                                    token_endpoint, revocation_endpoint, issuer, client_id,\n"
    "                                    client_secret, resource, scope)\n"
    "  token remove NAME                 has the daemon forget it\n"
    "  store migrate BACKEND             moves every credential: file, encrypted or keyring\n"
    "  store rekey --new-key FILE        seals every credential of the encrypted store anew\n"
    "  reload                            has the daemon read its config anew; exit 1: why not, and where\n"
    "  check [--config FILE]             checks the config, without a daemon\n"
    "  client-config [CLIENT [NAME]]     what to paste into a client's config; without a word: which\n"
    "                                    clients (--config FILE: of that config's upstreams)\n"
    "  connect NAME [--socket PATH]      standard input and output become a connection to NAME, for\n"
    "                                    clients that can only spawn a command\n"
    "  import FILE [--write] [--config FILE]\n"
    "                                    takes the remote servers out of a client's own config: shows\n"
    "                                    what would be added to ours; --write adds it, with a backup\n"
    "  --help, --version\n"
    "\n"
    "Exit codes: 0 ok, 1 failed, 2 usage, 3 daemon not reachable, 4 login required\n";

enum ctl_exit
ctl_fail(enum ctl_exit code, const char *fmt, ...)
{
	va_list ap;

	fputs("mcp-authctl: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	return code;
}

enum ctl_exit
ctl_usage(const char *what)
{
	fprintf(stderr, "mcp-authctl: %s\n%s", what, usage_text);
	return CTL_USAGE;
}

/* The daemon */

static void
user_socket(char *out)
{
	const char *dir = getenv("XDG_RUNTIME_DIR");

	if (dir != NULL && dir[0] == '/')
		snprintf(out, PATH_MAX, "%s/mcp-authd/control.sock", dir);
	else
		snprintf(out, PATH_MAX, "/run/user/%u/mcp-authd/control.sock", (unsigned)geteuid());
}

/*
 * The daemon's own rule, then the system's.  Many clients spawn commands
 * without XDG_RUNTIME_DIR; the user's daemon is where it would have pointed.
 */
int
ctl_control_paths(const struct ctl *c, char out[2][PATH_MAX])
{
	char dir[PATH_MAX - 16];

	if (c->control != NULL) {
		snprintf(out[0], PATH_MAX, "%s", c->control);
		return 1;
	}
	snprintf(out[0], PATH_MAX, "/run/mcp-authd/control.sock");
	if (c->system)
		return 1;
	if (c->user) {
		user_socket(out[0]);
		return 1;
	}
	memcpy(out[1], out[0], PATH_MAX);
	if (getenv("RUNTIME_DIRECTORY") == NULL)
		user_socket(out[0]);
	else if (runtime_path(dir, sizeof(dir)) == 0)
		snprintf(out[0], PATH_MAX, "%s/control.sock", dir);
	return strcmp(out[0], out[1]) == 0 ? 1 : 2;
}

/* Asks the first daemon that is there. */
enum ctl_exit
ctl_reach(const struct ctl *c, enum ctl_exit (*call)(void *, const char *, char *), void *arg)
{
	char paths[2][PATH_MAX], why[2][CTL_WHY];
	enum ctl_exit rc = CTL_UNREACHABLE;
	int i, n;

	n = ctl_control_paths(c, paths);
	for (i = 0; i < n && rc == CTL_UNREACHABLE; i++)
		rc = call(arg, paths[i], why[i]);
	if (rc == CTL_FAILED)
		return ctl_fail(rc, "%s", why[i - 1]);
	if (rc != CTL_UNREACHABLE)
		return rc;
	for (i = 0; i < n; i++)
		ctl_fail(rc, "%s", why[i]);
	return ctl_fail(rc, "no daemon answers; start it (systemctl --user start mcp-authd, or "
	    "mcp-authd), or name its socket with --control PATH");
}

struct question {
	const char	*method, *target;
	struct slice	 body;
	struct ctl_reply *reply;
};

static enum ctl_exit
call_one(void *arg, const char *path, char *why)
{
	struct question *q = arg;

	return ctl_call(path, q->method, q->target, q->body, q->reply, why);
}

enum ctl_exit
ctl_ask(const struct ctl *c, const char *method, const char *target, struct slice body,
    struct ctl_reply *ret)
{
	struct question q = { method, target, body, ret };

	return ctl_reach(c, call_one, &q);
}

enum ctl_exit
ctl_refused(int status, struct slice body)
{
	char shown[1024];
	const char *message;
	cJSON *doc;

	doc = body.n > 0 ? json_parse(body.p, body.n, NULL) : NULL;
	message = json_string(doc, "message");
	if (message != NULL)
		ctl_fail(CTL_FAILED, "%s", text_escape(shown, sizeof(shown), message, strlen(message)));
	else
		ctl_fail(CTL_FAILED, "the daemon answered with status %d", status);
	if (status == 404)
		ctl_fail(CTL_FAILED, "`mcp-authctl status` lists the names");
	cJSON_Delete(doc);
	return CTL_FAILED;
}

static enum ctl_exit
refused(const struct ctl_reply *r)
{
	return ctl_refused(r->status, (struct slice){ r->body.p, r->body.len });
}

/* Commands */

/* Checked here so that it can stand in a request line. */
static bool
is_name(const char *s)
{
	return s[0] != '\0' && strlen(s) <= 48 && s[strspn(s, "abcdefghijklmnopqrstuvwxyz"
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-")] == '\0';
}

static enum ctl_exit
cmd_status(const struct ctl *c)
{
	const char *name = c->nargs > 0 ? c->args[0] : NULL;
	struct ctl_reply r;
	char target[80];
	enum ctl_exit rc;

	if (c->nargs > 1)
		return ctl_usage("status takes one name at most");
	if (name != NULL && !is_name(name))
		return ctl_fail(CTL_USAGE, "a name consists of letters, digits, _ and -");
	snprintf(target, sizeof(target), "/v1/status%s%s", name != NULL ? "/" : "",
	    name != NULL ? name : "");
	rc = ctl_ask(c, "GET", target, (struct slice){ NULL, 0 }, &r);
	if (rc != CTL_OK)
		return rc;
	if (r.status == 200) {
		if (c->json)
			fwrite(r.body.p, 1, r.body.len, stdout);
		rc = ctl_status_print(c->json ? NULL : stdout, r.body.p, r.body.len, name, time(NULL));
		if (rc == CTL_FAILED)
			ctl_fail(rc, "the daemon's answer is not understood; are both of one version?");
	} else
		rc = refused(&r);
	buf_free(&r.body);
	return rc;
}

static enum ctl_exit
read_token(const struct ctl *c, struct buf *out)
{
	char chunk[4096];
	ssize_t n;
	int fd = STDIN_FILENO;

	if (c->file != NULL)
		fd = open(c->file, O_RDONLY | O_CLOEXEC);
	if (fd == -1)
		return ctl_fail(CTL_FAILED, "%s: %s", c->file, strerror(errno));
	if (c->file == NULL && isatty(fd))
		fputs("Paste the token's JSON object, then Ctrl-D:\n", stderr);
	while ((n = read(fd, chunk, sizeof(chunk))) > 0)
		if (buf_add(out, chunk, n) < 0)
			break;
	explicit_bzero(chunk, sizeof(chunk));
	if (fd != STDIN_FILENO)
		close(fd);
	if (n > 0)
		return ctl_fail(CTL_FAILED, "the token is larger than %ld bytes", RECORD_BYTES);
	if (n == -1)
		return ctl_fail(CTL_FAILED, "the token cannot be read: %s", strerror(errno));
	return out->len > 0 ? CTL_OK : ctl_fail(CTL_FAILED,
	    "there was no token: give a JSON object on stdin or with --file");
}

static enum ctl_exit
token_call(const struct ctl *c, const char *method, struct slice body, const char *done)
{
	struct ctl_reply r;
	char target[80];
	enum ctl_exit rc;

	snprintf(target, sizeof(target), "/v1/token/%s", c->args[0]);
	rc = ctl_ask(c, method, target, body, &r);
	if (rc != CTL_OK)
		return rc;
	if (r.status == 200)
		printf("%s: %s\n", c->args[0], done);
	else
		rc = refused(&r);
	buf_free(&r.body);
	return rc;
}

bool
ctl_one_name(const struct ctl *c)
{
	return c->nargs == 1 && is_name(c->args[0]);
}

static enum ctl_exit
cmd_token_import(const struct ctl *c)
{
	struct buf token = BUF_SECRET(RECORD_BYTES);
	enum ctl_exit rc;

	if (!ctl_one_name(c))
		return ctl_usage("token import takes one name");
	rc = read_token(c, &token);
	if (rc == CTL_OK)
		rc = token_call(c, "POST", (struct slice){ token.p, token.len }, "token imported");
	buf_free(&token);
	return rc;
}

static enum ctl_exit
cmd_token_remove(const struct ctl *c)
{
	if (!ctl_one_name(c))
		return ctl_usage("token remove takes one name");
	return token_call(c, "DELETE", (struct slice){ NULL, 0 }, "token removed");
}

static enum ctl_exit
cmd_reload(const struct ctl *c)
{
	struct ctl_reply r;
	enum ctl_exit rc;

	if (c->nargs > 0)
		return ctl_usage("reload takes no name");
	rc = ctl_ask(c, "POST", "/v1/reload", (struct slice){ NULL, 0 }, &r);
	if (rc != CTL_OK)
		return rc;
	if (r.status == 200)
		puts("reloaded");
	else
		rc = refused(&r);
	buf_free(&r.body);
	return rc;
}

static void
warned(_unused_ void *arg, const struct config_error *e)
{
	char words[CONFIG_WORDS];

	fprintf(stderr, "%s (warning)\n", config_error_words(e, words));
}

static enum ctl_exit
cmd_check(const struct ctl *c)
{
	char dir[PATH_MAX], file[PATH_MAX], words[CONFIG_WORDS];
	struct config_error e;
	struct config config;

	if (c->nargs > 0)
		return ctl_usage("check takes no name; the file goes after --config");
	if (runtime_path(dir, sizeof(dir)) < 0)
		return ctl_fail(CTL_FAILED, "the runtime directory's path is too long");
	if (config_load(c->config, dir, &config, file, warned, NULL, &e) < 0) {
		fprintf(stderr, "%s\n", config_error_words(&e, words));
		return CTL_FAILED;
	}
	printf("%s: ok: %zu upstream%s\n", file, config.nupstreams, config.nupstreams == 1 ? "" : "s");
	config_free(&config);
	return CTL_OK;
}

static const struct command {
	const char	*word, *second;
	const char	*options;	/* letters of its own options, see parse() */
	enum ctl_exit	(*run)(const struct ctl *);
} commands[] = {
	{ "status", NULL, "j", cmd_status },
	{ "doctor", NULL, "j", ctl_doctor },
	{ "login", NULL, "ndS", ctl_login },
	{ "logout", NULL, "a", ctl_logout },
	{ "token", "import", "f", cmd_token_import },
	{ "token", "remove", "", cmd_token_remove },
	{ "store", "migrate", "", ctl_store_migrate },
	{ "store", "rekey", "K", ctl_store_rekey },
	{ "reload", NULL, "", cmd_reload },
	{ "check", NULL, "c", cmd_check },
	{ "client-config", NULL, "c", ctl_client_config },
	{ "connect", NULL, "k", ctl_connect },
	{ "import", NULL, "cw", ctl_import },
};

/* Start */

/* -1: go on; else the exit code.  `used` collects the letters of commands' own options. */
static int
parse(struct ctl *c, int argc, char **argv, char *used)
{
	static const struct option longs[] = {
		{ "user", no_argument, NULL, 'u' },
		{ "system", no_argument, NULL, 's' },
		{ "control", required_argument, NULL, 'C' },
		{ "json", no_argument, NULL, 'j' },
		{ "no-browser", no_argument, NULL, 'n' },
		{ "device", no_argument, NULL, 'd' },
		{ "scope", required_argument, NULL, 'S' },
		{ "all", no_argument, NULL, 'a' },
		{ "file", required_argument, NULL, 'f' },
		{ "config", required_argument, NULL, 'c' },
		{ "socket", required_argument, NULL, 'k' },
		{ "write", no_argument, NULL, 'w' },
		{ "new-key", required_argument, NULL, 'K' },
		{ "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, 'V' },
		{ NULL, 0, NULL, 0 },
	};
	int opt;

	while ((opt = getopt_long(argc, argv, "hV", longs, NULL)) != -1) {
		switch (opt) {
		case 'u':
			c->user = true;
			break;
		case 's':
			c->system = true;
			break;
		case 'C':
			c->control = optarg;
			break;
		case 'j':
			c->json = true;
			break;
		case 'n':
			c->no_browser = true;
			break;
		case 'd':
			c->device = true;
			break;
		case 'S':
			c->scope = optarg;
			break;
		case 'a':
			c->all = true;
			break;
		case 'f':
			c->file = optarg;
			break;
		case 'c':
			c->config = optarg;
			break;
		case 'k':
			c->socket = optarg;
			break;
		case 'w':
			c->write = true;
			break;
		case 'K':
			c->new_key = optarg;
			break;
		case 'h':
			fputs(usage_text, stdout);
			return CTL_OK;
		case 'V':
			puts("mcp-authctl " VERSION);
			return CTL_OK;
		default:
			fputs(usage_text, stderr);
			return CTL_USAGE;
		}
		if (strchr(OWN_OPTIONS, opt) != NULL && strchr(used, opt) == NULL)
			used[strlen(used)] = (char)opt;
	}
	c->args = argv + optind;
	c->nargs = argc - optind;
	return -1;
}

static enum ctl_exit
dispatch(struct ctl *c, const char *used)
{
	const struct command *cmd;
	size_t i;

	if (c->user + c->system + (c->control != NULL) > 1)
		return ctl_usage("--user, --system and --control exclude one another");
	for (i = 0; i < nitems(commands); i++) {
		cmd = &commands[i];
		if (c->nargs < 1 || strcmp(c->args[0], cmd->word) != 0)
			continue;
		if (cmd->second != NULL && (c->nargs < 2 || strcmp(c->args[1], cmd->second) != 0))
			continue;
		if (used[strspn(used, cmd->options)] != '\0')
			return ctl_usage("this option does not belong to this command");
		c->args += cmd->second != NULL ? 2 : 1;
		c->nargs -= cmd->second != NULL ? 2 : 1;
		return cmd->run(c);
	}
	return ctl_usage(c->nargs < 1 ? "a command is missing" : "no such command");
}

int
main(int argc, char **argv)
{
	struct ctl c = { 0 };
	char used[sizeof(OWN_OPTIONS)] = "";
	int rc;

	/* A reader that leaves (`| head`) shows as a failed write, not as a death. */
	signal(SIGPIPE, SIG_IGN);
	rc = parse(&c, argc, argv, used);
	if (rc == -1)
		rc = dispatch(&c, used);
	if (fflush(stdout) != 0 && errno != EPIPE && rc == CTL_OK)
		rc = ctl_fail(CTL_FAILED, "standard output: %s", strerror(errno));
	return rc;
}
