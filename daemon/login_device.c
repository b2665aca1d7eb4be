/*
 * Device authorization, RFC 8628 (WIRE A21): a code that a person types in
 * elsewhere, and polls until they have.
 */
#include "log.h"
#include "login_impl.h"

#define SLOWER		(5 * SEC)	/* RFC 8628 section 3.5, slow_down */

static void on_poll(void *);

void
login_device_init(struct login_run *r)
{
	timer_init(&r->poll, r->login->loop, on_poll, r);
}

static struct grant *
start(struct login_run *r, enum grant_kind kind, grant_done done)
{
	struct grant_request req = {
		.kind = kind,
		.config = r->login->config,
		.rec = r->draft,
		.device_endpoint = r->found.device_authorization_endpoint,
		.device_code = r->device.device_code,
		.refuse_private = kind == GRANT_DEVICE ? login_refuses_private(r) :
		    r->found.refuse_private,
		.memory = &r->memory,
		.timeout_ms = login_left(r, TOKEN_WAIT),
	};

	return grant_start(r->login->connector, &req, done, r);
}

static void
on_answer(void *arg, struct grant_reply *reply)
{
	struct login_run *r = arg;
	struct now now = loop_now(r->login->loop);

	r->grant = NULL;
	if (reply->class == TOKEN_OK) {
		login_save(r, &reply->answer);
		return;
	}
	switch (device_poll_error(reply->answer.error)) {
	case DEVICE_PENDING:
		break;
	case DEVICE_SLOW_DOWN:
		r->interval += SLOWER;
		break;
	case DEVICE_DENIED:
		login_fail(r, "denied", LOGIN_DENIED, "the login was refused at the other device");
		return;
	case DEVICE_EXPIRED:
		login_fail(r, "timeout", NULL, "nobody has entered the code in time");
		return;
	case DEVICE_FAILED:
		/* Nothing was decided: ask again, ever more rarely (section 3.5). */
		if (reply->class == TOKEN_TRANSIENT || reply->class == TOKEN_UNKNOWN) {
			r->interval *= 2;
			break;
		}
		if (!login_client_unknown(r, reply->answer.error))
			login_fail(r, "token", LOGIN_THEIRS, "%s", reply->why);
		return;
	}
	if (login_stopped(r))
		return;
	if (now.boot + r->interval >= r->expires_at)
		timer_set(&r->poll, MAX(r->expires_at - now.boot, 0));
	else
		timer_set(&r->poll, r->interval);
}

static void
on_poll(void *arg)
{
	struct login_run *r = arg;

	if (loop_now(r->login->loop).boot >= r->expires_at) {
		login_fail(r, "timeout", NULL, "nobody has entered the code in time");
		return;
	}
	r->grant = start(r, GRANT_DEVICE, on_answer);
	if (r->grant == NULL)
		login_fail(r, "memory", NULL, "out of memory");
}

static void
show(struct login_run *r)
{
	struct buf event = BUF_SECRET(0);
	const char *complete = r->device.verification_uri_complete;

	r->step = STEP_PERSON;
	flow_authorizes(&r->login->policy, r->challenged);
	if (login_event_link(r, &event))
		login_tell(r->login, NULL, &event);
	buf_free(&event);
	login_progress(r, "waiting for the code to be entered");
	timer_set(&r->poll, r->interval);
	login_command(r, complete != NULL ? complete : r->device.verification_uri);
}

static void
on_started(void *arg, struct grant_reply *reply)
{
	struct login_run *r = arg;

	r->grant = NULL;
	if (reply->class == TOKEN_OK) {
		r->device = reply->device;
		memset(&reply->device, 0, sizeof(reply->device));
		r->interval = r->device.interval;
		r->expires_at = loop_now(r->login->loop).boot + r->device.lifetime;
		show(r);
	} else if (!login_client_unknown(r, reply->answer.error)) {
		login_fail(r, "device", LOGIN_THEIRS, "%s", reply->why);
	}
}

void
login_device_begin(struct login_run *r)
{
	login_progress(r, "asking for a code");
	r->grant = start(r, GRANT_DEVICE_START, on_started);
	if (r->grant == NULL)
		login_fail(r, "memory", NULL, "out of memory");
}
