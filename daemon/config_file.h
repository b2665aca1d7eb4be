/*
 * The config from its files, and the paths that follow from it and the
 * environment; the daemon and `mcp-authctl check` share it.  Blocking: at the
 * start and on the worker only.
 */
#ifndef CONFIG_FILE_H
#define CONFIG_FILE_H

#include "config.h"

/*
 * `file`, or with NULL the first of $XDG_CONFIG_HOME/mcp-authd (~/.config) and
 * /etc/mcp-authd that has a config.json or a conf.d; then every *.json of conf.d beside
 * it in name order; then config_finish(); then the files of client secrets and private keys
 * (one that cannot be used is a warning, and its field stays NULL).  *ret is initialised here.  The main
 * file's path is left in ret_file (PATH_MAX bytes).  0; else -EINVAL (also
 * for unreadable and missing files) or -ENOMEM with *ret_error, and *ret is
 * freed.  line 0 in the error: it concerns the whole file.
 */
int	config_load(const char *file, const char *runtime_dir, struct config *ret, char *ret_file, config_warn, void *arg, struct config_error *ret_error);
/*
 * The same for a text that is to be the main file at `file`: no secrets are
 * read, and runtime_dir NULL leaves out what config_finish() would say.
 */
int	config_load_text(const char *file, struct slice text, const char *runtime_dir, struct config *ret, config_warn, void *arg, struct config_error *ret_error);
/* The main file that config_load() would read; if there is none, the one to be written (in the home, else in /etc).  0, -EINVAL. */
int	config_path(const char *file, char *ret_file, struct config_error *ret_error);
/* "FILE:LINE:COL: what", or less where there is less; `out` holds CONFIG_WORDS bytes. */
#define CONFIG_WORDS	900
const char *config_error_words(const struct config_error *, char *out);
/*
 * Where credentials are kept: store.path, else credentials/ in the state
 * directory (design, State).  Folders of ours on the way are made 0700, the
 * last one is not.  0; else words in why.
 */
int	config_store_path(const struct config *, char *out, size_t size, char *why, size_t why_size);

#endif
