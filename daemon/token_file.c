#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bounds.h"
#include "token_file.h"

static int
read_all(int fd, struct buf *text)
{
	struct stat st;
	ssize_t n;

	if (fstat(fd, &st) < 0)
		return errno;
	if (!S_ISREG(st.st_mode))
		return EINVAL;
	if (st.st_size > TOKEN_BYTES)
		return EFBIG;
	if (buf_reserve(text, TOKEN_BYTES) < 0)
		return ENOMEM;
	while (text->len < (size_t)TOKEN_BYTES &&
	    (n = read(fd, text->p + text->len, TOKEN_BYTES - text->len)) != 0) {
		if (n > 0)
			text->len += (size_t)n;
		else if (errno != EINTR)
			return errno;
	}
	return 0;
}

int
token_file_read(const char *path, struct buf *text)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY), e;

	if (fd < 0)
		return errno;
	e = read_all(fd, text);
	close(fd);
	return e;
}
