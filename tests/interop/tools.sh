#!/bin/bash
# curl and socat as clients:
#   tools.sh SOCKET SHARED MODERN
# One line for each check: "ok ..." or "FAIL ...".
set -u
socket=$1 shared=$2 modern=$3
tmp=$(mktemp -d) || exit 2
trap 'rm -rf "$tmp"' EXIT

check()
{
	local what=$1
	shift
	if "$@"; then
		echo "ok   $what"
	else
		echo "FAIL $what: $(tail -c 600 "$tmp/out" 2>/dev/null | tr -d '\r' | tr '\n' ' ')"
	fi
}

# Every call differs: the wall counts how often it sees each.
serial=100
post()
{
	body=${3/by hand/by hand $((++serial))}
	curl -sS -m 20 --noproxy '*' --unix-socket "$1" -H 'content-type: application/json' \
	    -H 'accept: application/json, text/event-stream' "${@:4}" -d "$body" "http://localhost$2" 2>&1
}

hello='{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{"name":"curl","version":"1"}}}'
ready='{"jsonrpc":"2.0","method":"notifications/initialized"}'
call='{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"echo","arguments":{"message":"by hand"}}}'

post "$socket" /mcp "$hello" -D "$tmp/head" >"$tmp/out"
check 'curl initializes' grep -q '"protocolVersion":"2025-06-18"' "$tmp/out"
session=$(tr -d '\r' <"$tmp/head" | sed -n 's/^mcp-session-id: //Ip')
check 'curl has a session' [ -n "$session" ]
with=(-H "mcp-session-id: $session" -H 'mcp-protocol-version: 2025-06-18')
post "$socket" /mcp "$ready" "${with[@]}" -w '%{http_code}' >"$tmp/out"
check 'curl: a notification is answered 202, bare' grep -qx 202 "$tmp/out"
post "$socket" /any/path "$call" "${with[@]}" >"$tmp/out"
check 'curl calls a tool, whatever the path' grep -q 'Echo: by hand' "$tmp/out"
post "$shared" /everything "$call" "${with[@]}" >"$tmp/out"
check 'curl calls a tool over the shared socket' grep -q 'Echo: by hand' "$tmp/out"
post "$socket" /mcp "$call" "${with[@]}" -H 'transfer-encoding: chunked' >"$tmp/out"
check 'curl: a chunked body' grep -q 'Echo: by hand' "$tmp/out"
post "$socket" /mcp "$call" "${with[@]}" -H 'expect: 100-continue' >"$tmp/out"
check 'curl: Expect: 100-continue' grep -q 'Echo: by hand' "$tmp/out"
post "$socket" /mcp "$call" "${with[@]}" -H 'origin: https://evil.example' -w '%{http_code}' >"$tmp/out"
check 'curl: a foreign Origin is refused' grep -q '403$' "$tmp/out"

fields="Host: localhost\r\nMCP-Session-Id: $session\r\nMCP-Protocol-Version: 2025-06-18\r\nAccept: application/json, text/event-stream\r\nContent-Type: application/json\r\n"
request="POST /mcp HTTP/1.1\r\n${fields}Content-Length: ${#call}\r\n"
printf '%b%s' "${request}Connection: close\r\n\r\n" "$call" | socat -t 20 - "UNIX-CONNECT:$socket" >"$tmp/out"
check 'socat calls a tool, half-closed' grep -q 'Echo: by hand' "$tmp/out"
{
	printf '%b%s' "$request\r\n" "${call/\"id\":2/\"id\":3}"
	printf '%b%s' "$request\r\n" "${call/\"id\":2/\"id\":4}"
	printf '%b%s' "${request}Connection: close\r\n\r\n" "${call/\"id\":2/\"id\":5}"
} | socat -t 20 - "UNIX-CONNECT:$socket" >"$tmp/out"
order()
{
	[ "$(grep -ao '"id":[345]' "$tmp/out" | tr -d '\n')" = '"id":3"id":4"id":5' ]
}
check 'socat: three pipelined calls, answered in order' order
printf 'GET /mcp HTTP/1.1\r\nHost : localhost\r\n\r\n' | socat -t 20 - "UNIX-CONNECT:$socket" >"$tmp/out"
check 'socat: a malformed request gets its 400' grep -q '^HTTP/1.1 400 ' "$tmp/out"

curl -sS -m 20 --noproxy '*' --unix-socket "$socket" -X DELETE "${with[@]}" -o /dev/null -w '%{http_code}' http://localhost/mcp >"$tmp/out" 2>&1
check 'curl ends the session' grep -qx 200 "$tmp/out"

meta='"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientInfo":{"name":"curl","version":"1"},"io.modelcontextprotocol/clientCapabilities":{}}'
post "$modern" /mcp "${call/\"arguments\"/$meta,\"arguments\"}" -H 'mcp-protocol-version: 2026-07-28' \
    -H 'mcp-method: tools/call' -H 'mcp-name: echo' >"$tmp/out"
check 'curl: a modern call' grep -q 'Echo: by hand' "$tmp/out"
post "$modern" /mcp "${call/\"arguments\"/$meta,\"arguments\"}" -H 'mcp-protocol-version: 2026-07-28' \
    -H 'mcp-method: tools/list' -H 'mcp-name: echo' -w ' %{http_code}' >"$tmp/out"
check 'curl: a modern header mismatch comes through as it is' grep -q -- '-32020.* 400$' "$tmp/out"
