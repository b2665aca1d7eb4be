#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "bounds.h"
#include "log.h"

#define JOURNAL		"/run/systemd/journal/socket"
#define IDENTIFIER	"mcp-authd"
#define MESSAGE_BYTES	(LOG_LINE - 512)	/* room for the fields before it */

static int max_level = LOG_INFO;
static int journal = -1;
static uint64_t dropped;

/*
 * Is stderr the stream that the service manager connected to the journal?
 * systemd.exec(5), $JOURNAL_STREAM.
 */
static bool
stderr_is_journal(void)
{
	const char *stream;
	unsigned long long dev, ino;
	struct stat st;

	stream = getenv("JOURNAL_STREAM");
	if (stream == NULL || sscanf(stream, "%llu:%llu", &dev, &ino) != 2)
		return false;
	return fstat(STDERR_FILENO, &st) == 0 &&
	    (unsigned long long)st.st_dev == dev &&
	    (unsigned long long)st.st_ino == ino;
}

void
log_open(int level)
{
	log_set_level(level);
	if (journal == -1 && stderr_is_journal())
		journal = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
}

void
log_set_level(int level)
{
	max_level = level;
}

bool
log_enabled(int level)
{
	return level <= max_level;
}

uint64_t
log_dropped(void)
{
	return dropped;
}

static const char *
level_name(int level)
{
	if (level <= LOG_ERR)
		return "error";
	if (level == LOG_WARNING)
		return "warning";
	return level == LOG_DEBUG ? "debug" : "info";
}

/*
 * The last gate: one line stays one line and one field one field, whatever
 * was in the text.  Escapes controls in place of being trusted; cuts at size.
 */
static size_t
escape(char *out, size_t size, const char *s)
{
	static const char hex[] = "0123456789abcdef";
	size_t n = 0;

	for (; *s != '\0'; s++) {
		unsigned char c = *s;

		if (n + 5 > size)
			break;
		if (c >= 0x20 && c != 0x7f) {
			out[n++] = c;
			continue;
		}
		out[n++] = '\\';
		out[n++] = 'x';
		out[n++] = hex[c >> 4];
		out[n++] = hex[c & 15];
	}
	out[n] = '\0';
	return n;
}

/* The native protocol: fields by line, as no value holds a newline. */
static void
to_journal(int level, const char *upstream, const char *event, const char *text)
{
	static const struct sockaddr_un to = { .sun_family = AF_UNIX, .sun_path = JOURNAL };
	char out[LOG_LINE];
	int n;

	n = snprintf(out, sizeof(out),
	    "PRIORITY=%d\nSYSLOG_IDENTIFIER=" IDENTIFIER "\nEVENT=%s\n%s%s%sMESSAGE=%s\n",
	    level, event, upstream != NULL ? "UPSTREAM=" : "",
	    upstream != NULL ? upstream : "", upstream != NULL ? "\n" : "", text);
	if (n < 0 || (size_t)n >= sizeof(out) || sendto(journal, out, n,
	    MSG_DONTWAIT | MSG_NOSIGNAL, (const struct sockaddr *)&to, sizeof(to)) != n)
		dropped++;
}

/* POLLOUT of a pipe means PIPE_BUF bytes of room, and a line is no longer. */
static void
to_stderr(int level, const char *upstream, const char *event, const char *text)
{
	struct pollfd pfd = { .fd = STDERR_FILENO, .events = POLLOUT };
	char out[LOG_LINE];
	int n;

	n = snprintf(out, sizeof(out), IDENTIFIER ": %s%s%s event=%s %s\n",
	    level_name(level), upstream != NULL ? " upstream=" : "",
	    upstream != NULL ? upstream : "", event, text);
	if (n < 0 || (size_t)n >= sizeof(out) || poll(&pfd, 1, 0) != 1 ||
	    (pfd.revents & POLLOUT) == 0 || write(STDERR_FILENO, out, n) != n)
		dropped++;
}

void
log_msg(int level, const char *upstream, const char *event, const char *fmt, ...)
{
	char raw[MESSAGE_BYTES], text[MESSAGE_BYTES], name[64], word[64];
	int saved = errno;
	va_list ap;

	if (!log_enabled(level))
		return;
	va_start(ap, fmt);
	if (vsnprintf(raw, sizeof(raw), fmt, ap) < 0)
		raw[0] = '\0';
	va_end(ap);
	escape(text, sizeof(text), raw);
	escape(word, sizeof(word), event);
	if (upstream != NULL) {
		escape(name, sizeof(name), upstream);
		upstream = name;
	}
	if (journal != -1)
		to_journal(level, upstream, word, text);
	else
		to_stderr(level, upstream, word, text);
	errno = saved;
}
