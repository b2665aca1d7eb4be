/* GET /v1/doctor/NAME: what the doctor tells, as it comes. */
#include "control_impl.h"

static void
on_event(void *arg, const char *json, size_t n)
{
	struct control_client *c = arg;

	serve_write(c->serve, json, n);
	serve_turn(c->serve);
}

static void
on_ended(void *arg)
{
	struct control_client *c = arg;

	c->doctor = NULL;
	serve_end(c->serve);
}

static const struct doctor_ops ops = {
	.event = on_event,
	.ended = on_ended,
};

static void
begin(struct control_client *c, struct upstream *u)
{
	switch (doctor_start(u, serve_peer(c->serve)->uid, &ops, c, &c->doctor)) {
	case 0:
		control_begin_lines(c);
		break;
	case -EBUSY:
		control_error(c, 409, "busy", "this upstream is being examined already: wait for "
		    "that");
		break;
	default:
		control_error(c, 503, "memory", "out of memory");
	}
}

void
control_route_doctor(struct control_client *c, const struct http1_head *h, struct slice rest)
{
	struct upstream *u = control_find(c->control, rest);

	if (!slice_eq(h->method, "GET"))
		control_error(c, 405, "method", "GET examines an upstream");
	else if (u == NULL)
		control_error(c, 404, "unknown_upstream", "no upstream of that name is configured");
	else if (c->control->front->draining)
		control_error(c, 503, "draining", "the daemon is stopping");
	else
		begin(c, u);
}

void
control_doctor_gone(struct control_client *c)
{
	if (c->doctor != NULL)
		doctor_cancel(c->doctor);
	c->doctor = NULL;
}
