#include <sys/mman.h>

#include <check.h>
#include <string.h>

#include "guarded.h"

#define ROOM	(64 * 1024)

const char *
guarded(const char *p, size_t n)
{
	static char	*room;

	if (room == NULL) {
		room = mmap(NULL, ROOM + 4096, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		ck_assert(room != MAP_FAILED);
		ck_assert_int_eq(mprotect(room + ROOM, 4096, PROT_NONE), 0);
	}
	ck_assert(n <= ROOM);
	if (n > 0)
		memcpy(room + ROOM - n, p, n);
	return room + ROOM - n;
}
