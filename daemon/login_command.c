/* login.command: brings a login that requests need to a person (contract H5). */
#include "log.h"
#include "login_impl.h"

#define COMMAND_OUT	(64 * KIB)	/* what it may print; nobody reads it */

/* A15: what a browser may be sent to. */
bool
login_may_open(const char *text)
{
	struct url url;
	bool ok;

	if (url_parse(text, strlen(text), &url) < 0)
		return false;
	ok = url.https || url_is_loopback(&url);
	url_free(&url);
	return ok;
}

static void
on_command(void *arg, struct spawn_reply *reply)
{
	struct login *l = arg;
	struct login_run *r = l->run;

	l->command = NULL;
	if (reply->why[0] == '\0')
		return;
	log_warn(l->config->name, "login", "login.command: %s", reply->why);
	if (r != NULL && r->commanded && r->step == STEP_PERSON && l->policy.watchers == 0)
		login_fail(r, "command", NULL, "login.command: %s", reply->why);
}

/* "{url}" anywhere within a word of argv. */
static char *
fill_word(const char *word, const char *url)
{
	static const char mark[] = "{url}";
	struct buf b = BUF_SECRET(0);
	const char *at;
	int e = 0;
	char *s;

	while ((at = strstr(word, mark)) != NULL) {
		e |= buf_add(&b, word, at - word);
		e |= buf_adds(&b, url);
		word = at + strlen(mark);
	}
	e |= buf_adds(&b, word);
	s = e == 0 ? buf_steal(&b) : NULL;
	buf_free(&b);
	if (s == NULL)
		abort();
	return s;
}

static char **
fill_words(char **argv, const char *url)
{
	char **words;
	size_t n = 0;

	while (argv[n] != NULL)
		n++;
	words = calloc(n + 1, sizeof(*words));
	for (size_t i = 0; words != NULL && i < n; i++)
		words[i] = fill_word(argv[i], url);
	return words;
}

void
login_command(struct login_run *r, const char *url)
{
	struct login *l = r->login;
	char **words;

	if (l->policy.by != FLOW_NEED || l->whole->login.command == NULL || r->commanded ||
	    !login_may_open(url))
		return;
	words = fill_words(l->whole->login.command, url);
	if (words == NULL)
		abort();
	spawn_cancel(l->command);
	l->command = spawn_start(l->loop, words, COMMAND_OUT, LOGIN_LIMIT, on_command, l);
	for (char **w = words; *w != NULL; w++)
		secret_free(*w);
	free(words);
	r->commanded = true;
	log_info(l->config->name, "login", "login.command was run, as requests need a login");
}
