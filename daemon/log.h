/* Log lines with fields, to the journal or stderr; never blocks (design 8). */
#ifndef LOG_H
#define LOG_H

#include <syslog.h>

#include "util.h"

/* Level is LOG_ERR .. LOG_DEBUG.  Decides journal or stderr once. */
void	log_open(int level);
void	log_set_level(int level);
bool	log_enabled(int level);
/*
 * One line.  `upstream` may be NULL.  `event` is a short constant word
 * (EVENT= field), e.g. "refresh".  Remote text must have gone through
 * text_escape().
 */
void	log_msg(int level, const char *upstream, const char *event, const char *fmt, ...) _printf_(4, 5);
#define log_err(...)	log_msg(LOG_ERR, __VA_ARGS__)
#define log_warn(...)	log_msg(LOG_WARNING, __VA_ARGS__)
#define log_info(...)	log_msg(LOG_INFO, __VA_ARGS__)
#define log_debug(...)	do { if (log_enabled(LOG_DEBUG)) log_msg(LOG_DEBUG, __VA_ARGS__); } while (0)
/* Lines dropped because nobody took them. */
uint64_t log_dropped(void);

#endif
