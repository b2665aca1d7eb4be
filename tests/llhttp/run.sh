#!/bin/sh
# Compares lib/http1 with llhttp in strict mode.  llhttp's C sources come from
# Debian's node-llhttp (npm's llhttp has none); LLHTTP=DIR names a directory
# with llhttp.c, api.c, http.c and llhttp.h instead.
set -u
cd "$(dirname "$0")/../.." || exit 1

give_up()
{
	echo "$1" >&2
	echo '0 passed, 1 failed'
	exit 1
}

if [ -n "${LLHTTP:-}" ]; then
	source=$LLHTTP include=$LLHTTP
else
	source=/usr/share/llhttp include=/usr/share/include/llhttp
	[ -f $source/llhttp.c ] ||
	    apt-get install -y --no-install-recommends node-llhttp >/dev/null 2>&1
fi
[ -f "$source/llhttp.c" ] || give_up "no llhttp sources in $source: apt-get install node-llhttp"

out=$(mktemp -d) || exit 1
trap 'rm -rf "$out"' EXIT
trap 'exit 1' INT TERM

for name in llhttp api http; do
	${CC:-cc} -std=gnu11 -O1 -w -DLLHTTP_STRICT_MODE=1 -I "$include" \
	    -c -o "$out/$name.o" "$source/$name.c" || give_up "$name.c does not build"
done
${CC:-cc} -std=gnu11 -O2 -g -Wall -Wextra -Werror -fsanitize=address,undefined \
    -fno-sanitize-recover=all -D_GNU_SOURCE -iquote lib -idirafter "$include" \
    -o "$out/compare" tests/llhttp/compare.c lib/http1.c "$out"/*.o ||
    give_up 'compare.c does not build'
"$out/compare" "$@"
