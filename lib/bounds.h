/*
 * Every ceiling and every figure of the contract, with its reason.  What an
 * administrator may need to change is a config key instead; its default
 * stands here too, marked (key).
 */
#ifndef BOUNDS_H
#define BOUNDS_H

#define SEC		1000LL			/* all times are in ms */
#define MIN_MS		(60 * SEC)
#define HOUR_MS		(3600 * SEC)
#define KIB		1024L
#define MIB		(1024L * KIB)

/* Refresh (contract B to E) */
#define DUE_BEFORE	(30 * SEC)	/* B2: a request sent now should still find the token live upstream */
#define DUE_FRACTION	10		/* B2: short-lived tokens: never more than a tenth of the lifetime */
#define LOCK_WAIT	(60 * SEC)	/* C2: longer than one token request of a sibling */
#define VERIFY_WAIT	(5 * SEC)	/* C7: metadata is a courtesy check, not a reason to stall */
#define TOKEN_WAIT	(45 * SEC)	/* C9: below `recovery`, above the slowest providers */
#define TOKEN_BODY	(1 * MIB)	/* C9: no real token response comes near */
#define BACKOFF_MIN	(1 * SEC)	/* D: nothing was done, so be quick */
#define BACKOFF_MAX	(60 * SEC)
#define CONFIG_BACKOFF	(15 * MIN_MS)	/* D: only a person can mend it */
#define UNKNOWN_FIRST	(2 * SEC)	/* D: one careful retry of an unknown outcome ... */
#define UNKNOWN_NEXT	(60 * SEC)	/* ... then 60 s doubling ... */
#define UNKNOWN_MAX	(1 * HOUR_MS)	/* ... to 1 h */
#define STRIKES		3		/* D: other definitive 4xx in a row before the token counts as dead */
#define REJECT_MIN	(30 * SEC)	/* E3: refreshes asked for by 401s that helped no waiter */
#define REJECT_MAX	(10 * MIN_MS)
#define BREAKER_MIN	(30 * SEC)	/* E5 */
#define BREAKER_MAX	(10 * MIN_MS)
#define WAIT_WORTH	(5 * SEC)	/* a back-off this short is waited out rather than answered with an error */

/* Exchanges (contract F, G; design) */
#define RECOVERY	(50 * SEC)	/* (key) F1: below the 60 s at which clients give up */
#define RESPONSE	(1800 * SEC)	/* (key) F1: tools may think for half an hour */
#define CONNECT		(10 * SEC)	/* (key) connection and TLS handshake together */
#define SENDS_MAX	4		/* G2: 401, session and header recovery, once each */
#define DRAIN		(10 * SEC)	/* K */
#define REDIRECTS_MAX	3		/* same-origin 307/308: nobody honest needs more */
#define USER_TIMEOUT	(30 * SEC)	/* F1: unacknowledged data to a dead peer */

/* Login (contract H, WIRE A) */
#define LOGIN_LIMIT	(300 * SEC)	/* one flow, from the wish to the saved token: people fetch their phone */
#define LOGIN_RETRY	(30 * SEC)	/* H3: no second automatic flow before, doubling ... */
#define LOGIN_RETRY_MAX	(1 * HOUR_MS)	/* ... to this: a browser window every half minute is an attack */
#define STEP_UPS	3		/* H3, A11: authorizations for one challenged scope */
#define LOGIN_HELD	64		/* H6: exchanges held for one upstream's login */
#define DISCOVERY_WAIT	(30 * SEC)	/* all metadata of one login */
#define METADATA_BODY	(256 * KIB)	/* one metadata document, or a registration's answer */
#define METADATA_LIST	32		/* authorization servers, or methods, that one document names */
#define DISCOVERY_HOPS	3		/* redirects of one metadata document */
#define REVOKE_WAIT	(10 * SEC)	/* H4: best effort; the local logout is done already */
#define DEVICE_LIFETIME	(300 * SEC)	/* of a device code whose server says nothing usable */
#define DEVICE_INTERVAL	(5 * SEC)	/* RFC 8628 section 3.2: between polls, unless said otherwise ... */
#define DEVICE_INTERVAL_MIN (1 * SEC)	/* ... but nobody makes us poll in a tight loop */
#define USER_CODE_BYTES	64		/* a person types it */
#define ASSERTION_LIFE	(60 * SEC)	/* a client assertion is used at once */

/* HTTP */
#define HEADER_BYTES	(64 * KIB)	/* (key) request heads; also every upstream response head */
#define HEADER_FIELDS	128		/* fields of one head: three times what proxies add */
#define CHUNK_LINE	256		/* chunk-size line with extensions; nobody uses extensions */
#define TRAILER_BYTES	(8 * KIB)	/* discarded, but read */
#define READ_BUFFER	(64 * KIB)	/* the loop's one shared read buffer */
#define WINDOW		(256 * KIB)	/* unsent bytes of a body that cannot be held, then back-pressure */
#define BODY_BYTES	(64 * MIB)	/* (key) then 413 */
#define HELD_EACH	(4 * MIB)	/* design 3: copy kept for the one retry */
#define HELD_BYTES	(64 * MIB)	/* (key) of all exchanges together */
#define IDLE_LINK	(4 * SEC)	/* FACTS: Node and uvicorn close after 5 s */
#define LINKS		512		/* (key) upstream links for requests, each upstream */
#define LINKS_RESERVED	16		/* beyond `links`: responses, notifications, DELETE never queue */
#define STREAMS		1024		/* (key) GET streams and subscriptions/listen, each upstream */
#define CLIENTS		4096		/* (key) local connections */
#define CLIENTS_PER_USER 2048		/* (key) */
#define CLIENT_IDLE	(600 * SEC)	/* (key) a local connection that says nothing */
#define FD_RESERVE	64		/* descriptors kept for links, the store and logs */

/* Lines of JSON: the daemon is the MCP client (WIRE, column N) */
#define EVENT_ID_BYTES	(4 * KIB)	/* an SSE event id that is worth sending back */
#define STREAM_RETRY_MIN (1 * SEC)	/* L10: between two tries of a stream, if the server says nothing ... */
#define STREAM_RETRY_FLOOR 50		/* ... and whatever it says: faster is a loop, not a poll */
#define STREAM_RETRY_MAX (1 * HOUR_MS)	/* a longer `retry:` would be a stream that never comes back */
#define STREAM_STABLE	(10 * SEC)	/* L12: a stream that lived so long resets the back-off */
#define STREAM_NONE_MIN	(60 * SEC)	/* L12: a server that refuses GET is asked again after this, doubling ... */
#define STREAM_NONE_MAX	(1 * HOUR_MS)	/* ... to this */
#define ANSWERED_LINGER	(2 * SEC)	/* for a server to end a stream whose answer it gave: the link can then be used again */
#define DELETE_WAIT	(5 * SEC)	/* L8: nobody waits for its answer, but a drain does */
#define PEEK_BYTES	(64 * KIB)	/* of an answer with an error status: what is longer is no JSON-RPC error */
#define LINE_FREE	(64 * KIB)	/* of a line or an answer that is gathered: not charged to held_bytes */
#define ASKED_MAX	256		/* requests of a server that one client has not answered */
#define SESSION_RETRY_MIN (1 * SEC)	/* G1: a lost session that could not be begun anew is tried again after this, doubling ... */
#define SESSION_RETRY_MAX (30 * SEC)	/* ... to this: a person waits */
#define REPEATS_MAX	256		/* G1: setLevel and subscriptions that are repeated on a new session ... */
#define REPEAT_BYTES	(256 * KIB)	/* ... of one client, all together */
#define TOOLS_BYTES	(4 * MIB)	/* M11: a tools/list answer that is looked at; also the schemas kept */
#define TOOLS_PAGES	128		/* M4: of one tools/list of our own */
#define TOOL_PARAMS	64		/* M4: marked parameters of one tool; a request head must hold them */
#define TOOL_DEPTH	32		/* M4: properties within properties */

/* The desktop's keyring */
#define KEYRING_WAIT	(25 * SEC)	/* a whole call: what D-Bus programs wait for one answer */
#define KEYRING_PROMPT_WAIT (120 * SEC)	/* a person finds the password */
#define KEYRING_QUIET	(30 * SEC)	/* after a prompt that was refused: no other one, as H3 for logins */
#define KEYRING_ITEMS	1024		/* of ours: more upstreams than anybody has */
#define KEYRING_ROUNDS	64		/* D-Bus messages in one turn: a chatty bus must not hold up the loop */

/* JSON and text */
#define JSON_DEPTH	256		/* nesting: cJSON's own limit is 1000 */
#define ID_BYTES	1024		/* one JSON-RPC id, raw */
#define IDS_BYTES	(16 * KIB)	/* all ids of one batch */
#define METHOD_BYTES	128		/* a JSON-RPC method name worth remembering */
#define RECORD_BYTES	(1 * MIB)	/* one stored credential */
#define CONFIG_BYTES	(1 * MIB)	/* one config file */
#define URL_BYTES	8192		/* any URL we hold */
#define TOKEN_BYTES	(64 * KIB)	/* one token; JWTs with many groups reach 16 KiB */
#define CHALLENGE_BYTES	(16 * KIB)	/* one WWW-Authenticate value */
#define LOG_LINE	4096		/* design 8: one atomic pipe write */

#endif
