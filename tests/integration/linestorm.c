/*
 * The storm: the upstream drops streams between and inside events, loses
 * sessions, restarts, expires tokens every few requests, breaks answers off
 * (issue 5, contract E2, F4, G1, G2, WIRE L8, L10, L14).
 *   Every request is answered once.  Notifications bear the number of their
 * session and their own in it: they come without a gap, in order, once, for as
 * long as the session lives.  One refresh for each expiry; one new session for
 * each that was lost; a DELETE for each that was not.
 */
#include <check.h>
#include <stdio.h>

#include "linescene.h"
#include "linestorm.h"

#define OPEN_MAX	6	/* requests of one client at a time */
#define IDS_MAX		200000
#define LAG_MAX		60000	/* ms */

struct talker {
	struct liner	*l;
	int		 next;		/* id */
	int		 open;
	unsigned char	 answered[IDS_MAX];
	long		 serial;	/* of the session of the latest notification ... */
	long		 event;		/* ... and its number in it */
	bool		 last;		/* the last of all has come */
};

struct storm {
	struct linescene s;
	struct talker	*talkers;
	int		 n;
	int64_t		 due[8];	/* disturbances: the next of each */
	int64_t		 lost, expired, served;
	int64_t		 calm;			/* ms: until then nothing is lost and nothing expires */
	int		 fds;			/* the daemon's, before anybody came */
	long		 results, errors, strange, asked, heard, gaps, repeats, closed, unread;
	long		 lag[LAG_MAX + 1];	/* notifications by age at arrival */
};

static void
ask(struct talker *t)
{
	static const char *const tools[][2] = {
		{ "echo", "{\"text\":\"x\"}" }, { "sse", "{\"n\":3}" }, { "sleep", "{\"ms\":30}" },
		{ "resumable", "{\"n\":4,\"cut_after\":2}" }, { "ask", "{}" },
		{ "resumable", "{\"n\":3,\"cut_after\":1,\"how\":\"end\"}" },
		{ "big", "{\"bytes\":20000}" }, { "sse", "{\"n\":2,\"bytes\":3000}" },
	};
	size_t i = (size_t)rand() % nitems(tools);
	char text[256];

	if (t->next == IDS_MAX)
		return;
	snprintf(text, sizeof(text), "{\"jsonrpc\":\"2.0\",\"id\":%d,\"method\":\"tools/call\","
	    "\"params\":{\"name\":\"%s\",\"arguments\":%s}}", t->next, tools[i][0], tools[i][1]);
	if (!liner_try(t->l, text))
		return;
	t->next++;
	t->open++;
}

/* Closed by the daemon: what it had read was answered; what was still on its way is nobody's. */
static void
come_back(struct storm *m, struct talker *t)
{
	if (!liner_ended(t->l, 0) || liner_hear(t->l, "", 0) != NULL)
		return;
	liner_close(t->l);
	for (int id = 1; id < t->next; id++)
		if (t->answered[id] == 0) {
			t->answered[id] = 1;
			m->unread++;
		}
	t->l = liner_open(m->s.socket);
	liner_begin(t->l, NULL);
	t->open = 0;
	m->closed++;
}

/* "stamp":"SESSION-EVENT", and in the text when it was made. */
static void
take_notification(struct storm *m, struct talker *t, const char *line, const char *stamp)
{
	const char *made = strstr(line, "\"at-");
	long serial, event, age;

	if (sscanf(stamp, "\"stamp\":\"%ld-%ld\"", &serial, &event) != 2)
		return;
	m->heard++;
	if (serial < t->serial || (serial == t->serial && event <= t->event))
		m->repeats++;
	else if (serial == t->serial && event != t->event + 1)
		m->gaps++;
	t->serial = serial;
	t->event = event;
	age = made != NULL ? (long)now_ms() - atol(made + 4) : 0;
	m->lag[MIN(MAX(age, 0), LAG_MAX)]++;
	if (strstr(line, " last\"") != NULL)
		t->last = true;
}

static void
answer_server(struct storm *m, struct talker *t, const char *line)
{
	const char *id = strstr(line, "\"id\":\"srv-");
	char text[128];

	if (id == NULL)
		return;
	snprintf(text, sizeof(text), "{\"jsonrpc\":\"2.0\",%.*s\",\"result\":{}}",
	    (int)(6 + strcspn(id + 6, "\"")), id);
	(void)liner_try(t->l, text);
	m->asked++;
}

/* What broke off, or was refused with 503; a fault of tokens or sessions is none of the client's. */
static void
take_answer(struct storm *m, const char *line)
{
	if (strstr(line, "\"result\"") != NULL) {
		m->results++;
		return;
	}
	m->errors++;
	if (strstr(line, "\"upstream_unreachable\"") == NULL &&
	    strstr(line, "\"upstream_malformed\"") == NULL && m->strange++ == 0)
		printf("strange: %.300s\n", line);
}

static void
take(struct storm *m, struct talker *t, const char *line)
{
	const char *at = strstr(line, "\"id\":"), *stamp = strstr(line, "\"stamp\":");
	int id = at != NULL ? atoi(at + 5) : -1;

	if (stamp != NULL) {
		take_notification(m, t, line, stamp);
	} else if (strstr(line, "\"method\"") != NULL) {
		answer_server(m, t, line);
	} else if (id > 0 && id < t->next) {
		t->answered[id]++;
		t->open--;
		take_answer(m, line);
	}
}

static void
listen_all(struct storm *m, int ms)
{
	const char *line;

	for (int i = 0; i < m->n; i++)
		while ((line = liner_hear(m->talkers[i].l, "", i == 0 ? ms : 0)) != NULL)
			take(m, &m->talkers[i], line);
	for (int i = 0; i < m->n; i++)
		come_back(m, &m->talkers[i]);
}

static void
emit(struct storm *m, const char *more)
{
	char json[96];

	snprintf(json, sizeof(json), "{\"text\":\"at-%lld%s\",\"stamp\":true}",
	    (long long)now_ms(), more);
	wall_do(m->s.w, "emit", json);
}

static void
drop(struct storm *m, const char *how)
{
	char json[64];

	snprintf(json, sizeof(json), "{\"how\":\"%s\",\"one\":%d}", how, rand() % 1000);
	wall_do(m->s.w, "drop", json);
}

/*
 * Some hear of it late, when a new session is there already (G1:
 * SESSION_LOST_BEFORE).  Who is that slow shall not meet two losses or two
 * expiries, of which the second would be final (E3, G2).
 */
static void
lose(struct storm *m, bool all)
{
	char json[64];
	cJSON *j;

	if (now_ms() < m->calm)
		return;
	if (all || rand() % 6 == 0) {
		wall_fault(m->s.w, "{\"mcp\":{\"delay_ms\":200},"
		    "\"match\":{\"rpc\":\"tools/call\"},\"times\":20}");
		m->calm = now_ms() + 900;
	}
	snprintf(json, sizeof(json), "{\"requests\":true,\"one\":%d}", rand() % 1000);
	j = wall_post(m->s.w, "lose-sessions", all ? "{\"requests\":true}" : json);
	m->lost += (int64_t)cJSON_GetNumberValue(cJSON_GetObjectItemCaseSensitive(j, "sessions"));
	cJSON_Delete(j);
}

/* It has forgotten everything, and for a while begins no session. */
static void
restart(struct storm *m)
{
	char json[128];

	if (now_ms() < m->calm)
		return;
	snprintf(json, sizeof(json), "{\"mcp\":{\"status\":503,\"body\":\"\"},"
	    "\"match\":{\"rpc\":\"initialize\"},\"times\":%d}", m->n / 2);
	wall_fault(m->s.w, json);
	lose(m, true);
}

/* A token that was not even tried would open the breaker (E5). */
static void
expire(struct storm *m)
{
	int64_t ok;

	if (now_ms() < m->calm || wall_count(m->s.w, "token.granted") != m->expired)
		return;
	ok = wall_count(m->s.w, "auth.ok");
	if (m->served != 0 && ok >= m->served + 20) {
		wall_do(m->s.w, "expire", NULL);
		m->expired++;
		m->served = 0;
	} else if (m->served == 0) {
		m->served = ok;
	}
}

static bool
is_due(struct storm *m, int which, int every)
{
	int64_t now = now_ms();

	if (m->due[which] == 0)
		m->due[which] = now + rand() % every;
	if (now < m->due[which])
		return false;
	m->due[which] = now + every / 2 + rand() % every;
	return true;
}

static void
disturb(struct storm *m)
{
	static const char *const rude[] = { "cut", "torn", "reset" };
	static const char *const faults[] = {
		"\"close_after_read\":true", "\"reset_after_read\":true", "\"half_head\":true",
		"\"half_body\":true", "\"half_chunked\":true", "\"status\":503,\"body\":\"\"",
	};
	char json[160];

	if (is_due(m, 0, 20))
		emit(m, "");
	if (is_due(m, 1, 40))
		drop(m, "end");
	if (is_due(m, 2, 1000))
		drop(m, rude[(size_t)rand() % nitems(rude)]);
	if (is_due(m, 3, 250))
		lose(m, false);
	if (is_due(m, 4, 12000))
		restart(m);
	if (is_due(m, 5, 100))
		expire(m);
	if (is_due(m, 6, 200)) {
		snprintf(json, sizeof(json), "{\"mcp\":{%s},\"match\":{\"rpc\":\"tools/call\"},\"times\":1}",
		    faults[(size_t)rand() % nitems(faults)]);
		wall_fault(m->s.w, json);
	}
	if (is_due(m, 7, 3000))
		wall_fault(m->s.w, "{\"mcp\":{\"status\":503,\"body\":\"\"},"
		    "\"match\":{\"method\":\"GET\"},\"times\":1}");
}

static bool
anything_open(const struct storm *m)
{
	for (int i = 0; i < m->n; i++)
		if (m->talkers[i].open > 0)
			return true;
	return false;
}

static bool
all_heard_last(const struct storm *m)
{
	for (int i = 0; i < m->n; i++)
		if (!m->talkers[i].last)
			return false;
	return true;
}

/* The age that so many per cent of the notifications did not exceed. */
static int
age_of(const struct storm *m, int percent)
{
	long n = 0;
	int ms = 0;

	while (ms < LAG_MAX && (n += m->lag[ms]) * 100 < m->heard * percent)
		ms++;
	return ms;
}

static void
report(struct storm *m)
{
	struct world *w = m->s.w;

	printf("%ld results, %ld errors (%ld strange), %ld server requests answered; "
	    "%ld connections closed (%ld requests unread)\n", m->results, m->errors, m->strange,
	    m->asked, m->closed, m->unread);
	printf("%ld notifications heard, %lld of them made while the stream was down (%lld drops): "
	    "half within %d ms, 99 %% within %d, all within %d; %ld missing, %ld twice or out of order\n",
	    m->heard, (long long)wall_count(w, "streams.replayed"),
	    (long long)wall_count(w, "streams.dropped"), age_of(m, 50), age_of(m, 99),
	    age_of(m, 100), m->gaps, m->repeats);
	printf("%lld sessions, %lld lost; %lld expiries, %lld refreshes\n",
	    (long long)wall_count(w, "sessions.opened"), (long long)m->lost,
	    (long long)m->expired, (long long)wall_count(w, "token.requests"));
}

/* Calm: what is due is answered, every client has a session, and hears the last of all. */
static void
settle(struct storm *m)
{
	int64_t patience = now_ms() + 60000;

	wall_do(m->s.w, "clear", NULL);
	for (int round = 0; round < 2; round++) {
		while (anything_open(m) && now_ms() < patience)
			listen_all(m, 20);
		for (int i = 0; i < m->n && round == 0; i++)
			ask(&m->talkers[i]);		/* finds out that its session is gone */
	}
	while (wall_count(m->s.w, "streams.open") < m->n && now_ms() < patience)
		listen_all(m, 20);
	emit(m, " last");
	patience = now_ms() + PATIENCE;
	while (!all_heard_last(m) && now_ms() < patience)
		listen_all(m, 20);
}

/* Requests that have not exactly one answer. */
static long
wrong_answers(const struct storm *m)
{
	long wrong = 0;

	for (int i = 0; i < m->n; i++) {
		for (int id = 1; id < m->talkers[i].next; id++) {
			if (m->talkers[i].answered[id] == 1)
				continue;
			printf("client %d, id %d: %d answers\n", i, id, m->talkers[i].answered[id]);
			wrong++;
		}
	}
	return wrong;
}

static void
judge(struct storm *m)
{
	struct world *w = m->s.w;
	int64_t opened = wall_count(w, "sessions.opened"), deadline;

	ck_assert_int_eq(wrong_answers(m), 0);				/* F4 */
	ck_assert_int_gt(m->results, m->errors);
	ck_assert_int_eq(m->strange, 0);				/* E2, G1 */
	ck_assert_int_eq(m->gaps, 0);					/* L10 */
	ck_assert_int_eq(m->repeats, 0);
	ck_assert_int_gt(wall_count(w, "streams.replayed"), 0);
	ck_assert_int_le(wall_count(w, "max_sends"), 4);		/* G2 */
	ck_assert_int_eq(wall_count(w, "token.requests"), m->expired);	/* E2 */
	ck_assert_int_eq(wall_count(w, "token.replays"), 0);
	ck_assert_int_ge(opened, m->n + m->lost);			/* G1: one for each; a client that */
	ck_assert_int_le(opened, m->n + m->lost + m->closed);		/* was closed brings its own */
	for (int i = 0; i < m->n; i++) {
		ck_assert(!liner_ended(m->talkers[i].l, 0));
		liner_close(m->talkers[i].l);
	}
	ck_assert_msg(wall_wait_is(w, "sessions.open", 0, PATIENCE), "sessions are left");
	ck_assert_int_eq(wall_count(w, "sessions.deleted"), opened - m->lost);	/* L8 */
	for (deadline = now_ms() + PATIENCE; authd_fds(m->s.a) > m->fds && now_ms() < deadline;)
		pause_ms(50);						/* idle links close by and by */
	ck_assert_int_le(authd_fds(m->s.a), m->fds);
}

void
linestorm(int seconds, int clients, unsigned seed)
{
	struct storm *m = calloc(1, sizeof(*m));
	int64_t end;

	printf("%d s, %d clients, seed %u\n", seconds, clients, seed);
	srand(seed);
	m->n = clients;
	m->talkers = calloc((size_t)clients, sizeof(*m->talkers));
	m->s = linescene_begin(NULL, "\"log\": {\"level\": \"info\"}");
	m->fds = authd_fds(m->s.a);
	wall_do(m->s.w, "set", "{\"record\":false,\"retry_ms\":60,\"post_retry_ms\":60}");
	for (int i = 0; i < clients; i++)
		m->talkers[i] = (struct talker){ .l = liner_ready(&m->s), .next = 1 };
	end = now_ms() + seconds * 1000LL;
	while (now_ms() < end) {
		for (int i = 0; i < clients; i++)
			if (m->talkers[i].open < OPEN_MAX)
				ask(&m->talkers[i]);
		disturb(m);
		listen_all(m, 5);
	}
	settle(m);
	report(m);
	ck_assert_msg(all_heard_last(m), "the last notification did not come to everybody");
	judge(m);
	linescene_end(&m->s);
	free(m->talkers);
	free(m);
}
