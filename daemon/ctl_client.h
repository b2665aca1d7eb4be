/*
 * A small blocking HTTP/1.1 client over a Unix socket, for the command line.
 * One connection for each request.
 */
#ifndef CTL_CLIENT_H
#define CTL_CLIENT_H

#include "buf.h"

/* Exit codes of mcp-authctl (design, Command line). */
enum ctl_exit {
	CTL_OK = 0,
	CTL_FAILED = 1,
	CTL_USAGE = 2,
	CTL_UNREACHABLE = 3,
	CTL_LOGIN = 4
};

struct ctl_reply {
	int		 status;
	struct buf	 body;		/* buf_free() it */
};

#define CTL_WHY		512

/*
 * Sends one request (body {NULL, 0}: none) to the socket at `path`.  CTL_OK
 * with *ret; CTL_UNREACHABLE: nobody listens there; CTL_FAILED: no complete
 * answer.  Words in `why` (CTL_WHY bytes) with both.
 */
enum ctl_exit ctl_call(const char *path, const char *method, const char *target, struct slice body, struct ctl_reply *ret, char *why);

/* An answer that comes line by line. */
struct ctl_stream;

/* Sends the request; errors as above.  Nothing is read yet. */
enum ctl_exit ctl_stream_open(const char *path, const char *method, const char *target, struct slice body, struct ctl_stream **ret, char *why);
int	ctl_stream_fd(const struct ctl_stream *);	/* for poll() */
int	ctl_stream_status(const struct ctl_stream *);	/* 0 before the head has come */
typedef void (*ctl_line)(void *arg, const char *line, size_t n);	/* without its newline, but NUL-terminated */
/* Once it is readable: hands on every line that is whole.  1: more may come; 0: that was the end; -EPROTO: it broke off. */
int	ctl_stream_read(struct ctl_stream *, ctl_line, void *arg);
/* Closes the connection; NULL is fine. */
void	ctl_stream_close(struct ctl_stream *);

#endif
