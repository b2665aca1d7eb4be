#include <sys/stat.h>

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "way.h"

#define LINE_MAX_BYTES	1024	/* user and password: a proxy takes no more than a header's worth */

struct way
way_of(const struct config_upstream *u)
{
	return (struct way){
		.ca_file = u->tls.ca_file,
		.cert_file = u->tls.cert_file,
		.key_file = u->tls.key_file,
		.proxy = u->proxy,
		.proxy_credentials_file = u->proxy_credentials_file,
	};
}

/* The first of the names that is set to something, else "". */
static const char *
env(const char *first, const char *second, const char *third)
{
	const char *names[] = { first, second, third }, *value;
	size_t i;

	for (i = 0; i < nitems(names); i++)
		if (names[i] != NULL && (value = getenv(names[i])) != NULL && *value != '\0')
			return value;
	return "";
}

/*
 * As curl reads it.  HTTP_PROXY in capitals is not looked at: to a CGI it
 * comes from whoever asks.  Our TLS is on the proxy's own connection, so a
 * proxy that wants TLS itself is not possible.
 */
static int
from_environment(bool https, struct way_proxy *ret)
{
	const char *url;

	if (https)
		url = env("https_proxy", "HTTPS_PROXY", NULL);
	else
		url = env("http_proxy", NULL, NULL);
	if (*url == '\0')
		url = env("all_proxy", "ALL_PROXY", NULL);
	if (strstr(url, "://") != NULL && strncasecmp(url, "http://", 7) != 0)
		return -EPROTONOSUPPORT;
	ret->url = url;
	ret->except = env("no_proxy", "NO_PROXY", NULL);
	return 0;
}

/* A file of ordinary size, and nothing that lets us wait. */
static int
open_regular(const char *path)
{
	struct stat st;
	int fd, e = 0;

	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd == -1)
		return -errno;
	if (fstat(fd, &st) == -1)
		e = -errno;
	else if (!S_ISREG(st.st_mode))
		e = -EINVAL;
	else if (st.st_size > LINE_MAX_BYTES)
		e = -EFBIG;
	if (e == 0)
		return fd;
	close(fd);
	return e;
}

static int
read_credentials(const char *path, struct buf *ret)
{
	int fd, e;
	ssize_t n;

	if ((e = buf_reserve(ret, LINE_MAX_BYTES)) < 0)
		return -ENOMEM;
	if ((fd = open_regular(path)) < 0)
		return fd;
	n = read(fd, ret->p, LINE_MAX_BYTES);
	e = -errno;
	close(fd);
	if (n == -1)
		return e;
	ret->len = (size_t)n;
	while (ret->len > 0 && (ret->p[ret->len - 1] == '\n' || ret->p[ret->len - 1] == '\r'))
		ret->len--;
	ret->p[ret->len] = '\0';
	if (ret->p[strcspn(ret->p, "\r\n")] != '\0' || strlen(ret->p) != ret->len ||
	    ret->p[0] == ':' || strchr(ret->p, ':') == NULL)
		return -EINVAL;
	return 0;
}

int
way_proxy(const struct way *way, bool https, struct way_proxy *ret)
{
	*ret = (struct way_proxy){ .url = "", .except = "",
	    .credentials = BUF_SECRET(LINE_MAX_BYTES + 1) };
	if (way->proxy == NULL)
		return 0;
	if (strcmp(way->proxy, "env") == 0)
		return from_environment(https, ret);
	ret->url = way->proxy;
	if (way->proxy_credentials_file == NULL)
		return 0;
	return read_credentials(way->proxy_credentials_file, &ret->credentials);
}

void
way_proxy_done(struct way_proxy *p)
{
	buf_free(&p->credentials);
}

const char *
way_strerror(int e)
{
	switch (e) {
	case -ENOMEM:
		return "out of memory";
	case -EPROTONOSUPPORT:
		return "the proxy of the environment is not an http:// one";
	case -EINVAL:
	case -EFBIG:
		return "proxyCredentialsFile must be a file with one line, user:password";
	default:
		return "proxyCredentialsFile cannot be read";
	}
}

char *
way_credential(const char *name)
{
	const char *dir = getenv("CREDENTIALS_DIRECTORY");
	char *path;

	if (asprintf(&path, "%s/%s", dir != NULL ? dir : "/run/credentials/mcp-authd.service",
	    name) < 0)
		return NULL;
	return path;
}
