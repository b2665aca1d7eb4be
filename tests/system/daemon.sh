# For scripts that start the real daemon in front of the bench's upstream.
# Sets TMP, PORT, RUN (runtime directory), and counts with `is`.
# shellcheck shell=bash
cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit 2
PATH=$PATH:/usr/sbin:/sbin
B=$(cd "${BUILD:-build}" && pwd) || exit 2
TMP=$(mktemp -d "${TMPDIR:-/tmp}/mcp-authd-test.XXXXXX") || exit 2
RUN=$TMP/run/mcp-authd
passed=0 failed=0 pids=() DAEMON=
unset RUNTIME_DIRECTORY STATE_DIRECTORY NOTIFY_SOCKET LISTEN_FDS LISTEN_PID

cleanup()
{
	[ -z "$DAEMON" ] || kill -KILL "$DAEMON" 2>/dev/null
	[ ${#pids[@]} = 0 ] || kill "${pids[@]}" 2>/dev/null
	wait 2>/dev/null
	rm -rf "$TMP"
}
trap cleanup EXIT
trap 'exit 1' INT TERM

# is WHAT COMMAND...: one test.
is()
{
	local what=$1
	shift
	if "$@"; then
		passed=$((passed + 1))
		echo "ok: $what"
	else
		failed=$((failed + 1))
		echo "NOT OK: $what ($*)"
	fi
}

# wait_for COMMAND...: up to 10 s.
wait_for()
{
	local i
	for ((i = 0; i < 200; i++)); do
		! "$@" >/dev/null 2>&1 || return 0
		sleep 0.05
	done
	return 1
}

finish()
{
	if [ "$failed" != 0 ] && [ -s "$TMP/log" ]; then
		echo "the daemon's log:"
		tail -n 40 "$TMP/log"
	fi
	echo "$passed passed, $failed failed"
	[ "$failed" = 0 ]
	exit
}

# As nobody if we are root, so that the daemon has no more rights than it needs
# (unless the tree stands where nobody else can read it).
AS_USER=()
if [ "$(id -u)" = 0 ]; then
	AS_USER=(setpriv --reuid=65534 --regid=65534 --clear-groups)
	if ! "${AS_USER[@]}" test -x "$B/mcp-authd"; then
		AS_USER=()
		echo 'skipped: running as an ordinary user (it cannot read this tree); running as root'
	fi
fi

start_upstream()
{
	"$B/tests/bench/upstream" >"$TMP/port" &
	pids+=($!)
	wait_for test -s "$TMP/port" && read -r PORT <"$TMP/port"
}

# prepare: directories and a config with one upstream, "bench".
prepare()
{
	mkdir -m 700 "$TMP/run" "$TMP/state"
	echo "{\"mcpServers\":{\"bench\":{\"url\":\"http://127.0.0.1:$PORT/mcp\"}}}" >"$TMP/config.json"
	chmod 644 "$TMP/config.json"
	if [ ${#AS_USER[@]} != 0 ]; then
		chown -R 65534:65534 "$TMP"
	fi
}

# In a subshell: becomes the command.
surroundings()
{
	export HOME=$TMP XDG_RUNTIME_DIR=$TMP/run XDG_STATE_HOME=$TMP/state
	exec "${AS_USER[@]}" "$@"
}

start_daemon()
{
	surroundings "$B/mcp-authd" --config "$TMP/config.json" 2>>"$TMP/log" &
	DAEMON=$!
	wait_for test -S "$RUN/control.sock" -a -S "$RUN/bench/mcp.sock" &&
	    wait_for control /healthz
}

# control PATH [CURL ARGUMENT...]
control()
{
	local path=$1
	shift
	curl -fsS --max-time 10 --unix-socket "$RUN/control.sock" "$@" "http://localhost$path"
}

# call SOCKET PATH: the HTTP status of one request.
call()
{
	curl -sS --max-time 10 -o "$TMP/answer" -w '%{http_code}' --unix-socket "$1" \
	    -H 'Content-Type: application/json' -H 'Accept: application/json, text/event-stream' \
	    -d '{"jsonrpc":"2.0","id":1,"method":"ping"}' "http://localhost$2"
}
