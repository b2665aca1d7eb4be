/*
 * What `mcp-authctl doctor` shows: the way of a login and of a request, walked
 * without changing anything, and at each step ok or what to do.
 *
 *   dns -> connect -> tls -> challenge -> metadata -> issuer -> client ->
 *   scopes -> token -> request -> clock
 *
 * The request is the one exchange that brings the token, through the relay
 * like any other (contract A2); what it causes (a renewal, say) is what any
 * client's would.  No login begins, and nothing is registered.
 */
#ifndef DOCTOR_H
#define DOCTOR_H

#include "relay.h"

struct doctor;

struct doctor_ops {
	/*
	 * One JSON object, one line, no secret in it, all text escaped:
	 *   {"step":WORD,"result":"ok"|"warn"|"fail"|"skip","message":TEXT,"hint":TEXT|null}
	 *   {"event":"done","ok":BOOL,"login_required":BOOL,"failed":N,"warned":N}
	 * Each step once, in that order, then done.
	 */
	void	(*event)(void *arg, const char *json, size_t n);
	/* Last call, after done; the doctor is gone. */
	void	(*ended)(void *arg);
};

/* Begins; never calls back inside.  0; -EBUSY: the upstream is being examined; -ENOMEM. */
int	doctor_start(struct upstream *, uid_t, const struct doctor_ops *, void *arg, struct doctor **ret);
/* The asker has left: no more calls. */
void	doctor_cancel(struct doctor *);
/* The config changes, or the daemon stops: whoever examines this upstream is told why, and has ended. */
void	doctor_end(struct upstream *, const char *why);

#endif
