#include <stdio.h>

#include "log.h"
#include "pool.h"
#include "sessions.h"

#define CLIENT_BUCKETS	64	/* queued clients are few, or 4,096 at worst */

/* The queued places of one client. */
struct client_queue {
	TAILQ_ENTRY(client_queue) turn;		/* who was served goes last */
	LIST_ENTRY(client_queue) bucket;
	uint64_t	 client;
	TAILQ_HEAD(, place) places;
};

struct upstream_pool {
	struct upstream	*upstream;
	struct link_target target;	/* strings belong to the config */
	TAILQ_HEAD(conns, conn) idle;	/* last used first */
	struct timer	 idle_timer;	/* set while there are idle ones */
	TAILQ_HEAD(, place) held;
	TAILQ_HEAD(, place) reserved;	/* queued places of LANE_RESERVED */
	TAILQ_HEAD(, client_queue) turns;
	LIST_HEAD(, client_queue) buckets[CLIENT_BUCKETS];
	uint64_t	 used[LANE_STREAM + 1];	/* held places by lane */
	unsigned	 nlinks, nidle, nqueued;
	uint64_t	 opened, reused;
};

static void
conn_free(struct conn *conn)
{
	conn->pool->nlinks--;
	link_free(conn->link);
	free(conn);
}

static void
idle_remove(struct conn *conn)
{
	TAILQ_REMOVE(&conn->pool->idle, conn, entry);
	conn->pool->nidle--;
}

static void
idle_drop(struct conn *conn)
{
	idle_remove(conn);
	conn_free(conn);
}

/* An idle link that says anything has nothing to say to us. */
static void
idle_data(void *arg, _unused_ const char *p, _unused_ size_t n)
{
	idle_drop(arg);
}

static void
idle_down(void *arg, _unused_ enum link_error why, _unused_ const char *words)
{
	idle_drop(arg);
}

static const struct link_ops idle_ops = {
	.data = idle_data,
	.down = idle_down,
};

/* Closes what has been idle for its time. */
static void
idle_expire(void *arg)
{
	struct upstream_pool *pool = arg;
	struct conn *conn, *next;
	int64_t now = loop_now(pool->upstream->loop).boot, first = INT64_MAX;

	for (conn = TAILQ_FIRST(&pool->idle); conn != NULL; conn = next) {
		next = TAILQ_NEXT(conn, entry);
		if (conn->idle_until <= now)
			idle_drop(conn);
		else
			first = MIN(first, conn->idle_until);
	}
	if (first != INT64_MAX)
		timer_set(&pool->idle_timer, first - now);
}

static void
idle_put(struct conn *conn)
{
	struct upstream_pool *pool = conn->pool;
	int64_t left = conn->idle_until - loop_now(pool->upstream->loop).boot;

	if (left <= 0 || !link_quiet(conn->link)) {
		conn_free(conn);
		return;
	}
	link_own(conn->link, &idle_ops, conn);
	TAILQ_INSERT_HEAD(&pool->idle, conn, entry);
	pool->nidle++;
	if (pool->idle_timer.at == 0 ||
	    pool->idle_timer.at > conn->idle_until)
		timer_set(&pool->idle_timer, left);
}

/* FACTS: only within its time, and only if it is not readable. */
static struct conn *
idle_take(struct upstream_pool *pool)
{
	int64_t now = loop_now(pool->upstream->loop).boot;
	struct conn *conn;

	while ((conn = TAILQ_FIRST(&pool->idle)) != NULL) {
		idle_remove(conn);
		if (conn->idle_until > now && link_quiet(conn->link)) {
			conn->reused = true;
			return conn;
		}
		conn_free(conn);
	}
	return NULL;
}

static struct conn *
conn_open(struct place *place)
{
	struct upstream_pool *pool = place->pool;
	struct conn *conn;

	conn = calloc(1, sizeof(*conn));
	if (conn == NULL)
		return NULL;
	conn->pool = pool;
	conn->link = link_open(pool->upstream->connector, &pool->target, place->link_ops,
	    place->link_arg);
	if (conn->link == NULL) {
		free(conn);
		return NULL;
	}
	pool->nlinks++;
	pool->opened++;
	return conn;
}

/*
 * Requests have limits.links.  The reserved lane has LINKS_RESERVED more and
 * whatever of `links` is free; what it uses of them counts as theirs.
 */
static bool
has_room(const struct upstream_pool *pool, enum lane lane)
{
	const struct config *limits = pool->upstream->limits;
	uint64_t reserved = pool->used[LANE_RESERVED], shared;

	shared = pool->used[LANE_REQUEST] +
	    (reserved > LINKS_RESERVED ? reserved - LINKS_RESERVED : 0);
	switch (lane) {
	case LANE_REQUEST:
		return shared < limits->limits.links;
	case LANE_RESERVED:
		return reserved < LINKS_RESERVED || shared < limits->limits.links;
	case LANE_STREAM:
		return pool->used[LANE_STREAM] < limits->limits.streams;
	}
	return false;
}

/* Gives the place a link, an idle one first. */
static int
hold(struct place *place)
{
	struct upstream_pool *pool = place->pool;

	place->conn = idle_take(pool);
	if (place->conn != NULL) {
		pool->reused++;
		link_own(place->conn->link, place->link_ops, place->link_arg);
	} else {
		place->conn = conn_open(place);
		if (place->conn == NULL)
			return -ENOMEM;
	}
	place->state = PLACE_HELD;
	pool->used[place->lane]++;
	TAILQ_INSERT_TAIL(&pool->held, place, entry);
	return 0;
}

static struct client_queue *
queue_of(struct upstream_pool *pool, uint64_t client)
{
	struct client_queue *q;

	LIST_FOREACH(q, &pool->buckets[client % CLIENT_BUCKETS], bucket)
		if (q->client == client)
			return q;
	q = calloc(1, sizeof(*q));
	if (q == NULL)
		return NULL;
	q->client = client;
	TAILQ_INIT(&q->places);
	TAILQ_INSERT_TAIL(&pool->turns, q, turn);
	LIST_INSERT_HEAD(&pool->buckets[client % CLIENT_BUCKETS], q, bucket);
	return q;
}

static int
enqueue(struct place *place)
{
	struct upstream_pool *pool = place->pool;

	if (place->lane == LANE_RESERVED) {
		TAILQ_INSERT_TAIL(&pool->reserved, place, entry);
	} else {
		place->queue = queue_of(pool, place->client);
		if (place->queue == NULL)
			return -ENOMEM;
		TAILQ_INSERT_TAIL(&place->queue->places, place, entry);
	}
	place->state = PLACE_QUEUED;
	pool->nqueued++;
	return 0;
}

static void
dequeue(struct place *place)
{
	struct upstream_pool *pool = place->pool;
	struct client_queue *q = place->queue;

	place->state = PLACE_NONE;
	place->queue = NULL;
	pool->nqueued--;
	if (q == NULL) {
		TAILQ_REMOVE(&pool->reserved, place, entry);
		return;
	}
	TAILQ_REMOVE(&q->places, place, entry);
	if (!TAILQ_EMPTY(&q->places))
		return;
	TAILQ_REMOVE(&pool->turns, q, turn);
	LIST_REMOVE(q, bucket);
	free(q);
}

/* Who comes next: the reserved lane, then the clients in turn, one place each. */
static struct place *
next_place(struct upstream_pool *pool)
{
	struct client_queue *q;

	if (!TAILQ_EMPTY(&pool->reserved) && has_room(pool, LANE_RESERVED))
		return TAILQ_FIRST(&pool->reserved);
	q = TAILQ_FIRST(&pool->turns);
	if (q == NULL || !has_room(pool, LANE_REQUEST))
		return NULL;
	TAILQ_REMOVE(&pool->turns, q, turn);
	TAILQ_INSERT_TAIL(&pool->turns, q, turn);
	return TAILQ_FIRST(&q->places);
}

static void
serve_queues(struct upstream_pool *pool)
{
	struct place *place;

	while (pool->nqueued > 0 && (place = next_place(pool)) != NULL) {
		dequeue(place);
		(void)hold(place);
		place->ops->granted(place);
	}
}

int
pool_ask(struct place *place)
{
	struct upstream_pool *pool = place->pool;
	int e;

	if (place->lane == LANE_STREAM) {
		if (!has_room(pool, LANE_STREAM))
			return -EBUSY;
	} else if (!has_room(pool, place->lane) || (place->lane == LANE_RESERVED ?
	    !TAILQ_EMPTY(&pool->reserved) : !TAILQ_EMPTY(&pool->turns)))
		return enqueue(place);
	e = hold(place);
	return e < 0 ? e : 1;
}

/* The place has nothing any more; its link, if it had one, is returned. */
static struct conn *
release(struct place *place)
{
	struct upstream_pool *pool = place->pool;
	struct conn *conn = place->conn;

	if (place->state != PLACE_HELD)
		return NULL;
	place->state = PLACE_NONE;
	place->conn = NULL;
	pool->used[place->lane]--;
	TAILQ_REMOVE(&pool->held, place, entry);
	return conn;
}

void
pool_leave(struct place *place)
{
	struct conn *conn;

	if (place->state == PLACE_QUEUED) {
		dequeue(place);
		return;
	}
	conn = release(place);
	if (conn == NULL)
		return;
	conn_free(conn);
	serve_queues(place->pool);
}

void
pool_return(struct place *place, int64_t keep_ms)
{
	struct conn *conn = release(place);
	int64_t now;

	if (conn == NULL)
		return;
	now = loop_now(place->pool->upstream->loop).boot;
	if (keep_ms >= 0)
		conn->idle_until = now + MIN(keep_ms, IDLE_LINK);
	else if (conn->idle_until == 0)
		conn->idle_until = now + IDLE_LINK;
	idle_put(conn);
	serve_queues(place->pool);
}

/* Contract F1: nobody knows what the other side did meanwhile. */
static void
resumed(void *arg)
{
	struct upstream_pool *pool = arg;
	struct place *place;
	struct conn *conn;

	while ((conn = TAILQ_FIRST(&pool->idle)) != NULL)
		idle_drop(conn);
	TAILQ_FOREACH(place, &pool->held, entry)
		place->ops->suspended(place);
}

/* Whereto, in the words of the config, which must live on. */
static void
aim(struct upstream_pool *pool, const struct config_upstream *config)
{
	pool->target.url = config->url;
	pool->target.way = way_of(config);
	pool->target.connect_ms = config->connect;
}

static struct upstream_pool *
pool_new(struct upstream *u)
{
	struct upstream_pool *pool;
	size_t i;

	pool = calloc(1, sizeof(*pool));
	if (pool == NULL)
		return NULL;
	pool->upstream = u;
	aim(pool, u->config);
	TAILQ_INIT(&pool->idle);
	TAILQ_INIT(&pool->held);
	TAILQ_INIT(&pool->reserved);
	TAILQ_INIT(&pool->turns);
	for (i = 0; i < CLIENT_BUCKETS; i++)
		LIST_INIT(&pool->buckets[i]);
	timer_init(&pool->idle_timer, u->loop, idle_expire, pool);
	loop_on_resume(u->loop, resumed, pool);
	return pool;
}

struct upstream *
upstream_new(struct loop *loop, struct connector *connector, const struct config *limits,
    const struct config_upstream *config)
{
	struct upstream *u;

	u = calloc(1, sizeof(*u));
	if (u == NULL)
		return NULL;
	u->config = config;
	u->limits = limits;
	u->loop = loop;
	u->connector = connector;
	u->sessions = sessions_new();
	u->pool = u->sessions != NULL ? pool_new(u) : NULL;
	if (u->pool == NULL) {
		sessions_free(u->sessions);
		free(u);
		return NULL;
	}
	return u;
}

void
upstream_free(struct upstream *u)
{
	struct conn *conn;

	if (u == NULL)
		return;
	while ((conn = TAILQ_FIRST(&u->pool->idle)) != NULL)
		idle_drop(conn);
	timer_clear(&u->pool->idle_timer);
	loop_off_resume(u->loop, u->pool);
	free(u->pool);
	sessions_free(u->sessions);
	mcp_tools_clear(&u->tools);
	free(u);
}

void
upstream_configure(struct upstream *u, const struct config *limits,
    const struct config_upstream *config)
{
	u->limits = limits;
	u->config = config;
	aim(u->pool, config);
}

void
upstream_stats(const struct upstream *u, struct upstream_stats *ret)
{
	const struct upstream_pool *pool = u->pool;

	*ret = (struct upstream_stats){
		.links = pool->nlinks,
		.idle = pool->nidle,
		.queued = pool->nqueued,
		.streams = (unsigned)pool->used[LANE_STREAM],
		.opened = pool->opened,
		.reused = pool->reused,
	};
}
