#include <sys/prctl.h>
#include <sys/resource.h>

#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cjson/cJSON.h>
#include <curl/curl.h>
#include <openssl/crypto.h>

#include "harden.h"
#include "util.h"

/* The libraries leave copies of tokens in what they free (FACTS): wipe it. */
static void
wiping_free(void *p)
{
	if (p == NULL)
		return;
	explicit_bzero(p, malloc_usable_size(p));
	free(p);
}

/* Never realloc(): what it moves away from stays readable. */
static void *
wiping_realloc(void *p, size_t n)
{
	void *grown;
	size_t old;

	if (p == NULL)
		return malloc(n);
	if (n == 0) {
		wiping_free(p);
		return NULL;
	}
	old = malloc_usable_size(p);
	if (n <= old && n >= old / 2)
		return p;
	grown = malloc(n);
	if (grown == NULL)
		return NULL;
	memcpy(grown, p, MIN(old, n));
	wiping_free(p);
	return grown;
}

static void *
crypto_malloc(size_t n, _unused_ const char *file, _unused_ int line)
{
	return malloc(n);
}

static void *
crypto_realloc(void *p, size_t n, _unused_ const char *file, _unused_ int line)
{
	return wiping_realloc(p, n);
}

static void
crypto_free(void *p, _unused_ const char *file, _unused_ int line)
{
	wiping_free(p);
}

static void
fatal(const char *what)
{
	fprintf(stderr, "mcp-authd: %s\n", what);
	exit(1);
}

static void
wipe_what_libraries_free(void)
{
	cJSON_Hooks hooks = { .malloc_fn = malloc, .free_fn = wiping_free };

	if (CRYPTO_set_mem_functions(crypto_malloc, crypto_realloc, crypto_free) != 1)
		fatal("OpenSSL was used before its allocator was set");
	if (curl_global_init_mem(CURL_GLOBAL_DEFAULT, malloc, wiping_free,
	    wiping_realloc, strdup, calloc) != CURLE_OK)
		fatal("libcurl cannot be initialised");
	cJSON_InitHooks(&hooks);
}

static void
no_core(void)
{
	struct rlimit none = { 0, 0 };

	if (prctl(PR_SET_DUMPABLE, 0) == -1 || setrlimit(RLIMIT_CORE, &none) == -1)
		fatal("core dumps cannot be switched off");
}

static unsigned long
raise_descriptors(void)
{
	struct rlimit lim;

	if (getrlimit(RLIMIT_NOFILE, &lim) == -1)
		fatal("the descriptor limit cannot be read");
	if (lim.rlim_cur < lim.rlim_max) {
		rlim_t soft = lim.rlim_cur;

		lim.rlim_cur = lim.rlim_max;
		if (setrlimit(RLIMIT_NOFILE, &lim) == -1)
			lim.rlim_cur = soft;
	}
	return lim.rlim_cur;
}

unsigned long
harden(void)
{
	struct sigaction ignore = { .sa_handler = SIG_IGN };

	no_core();
	wipe_what_libraries_free();
	if (sigaction(SIGPIPE, &ignore, NULL) == -1)
		fatal("SIGPIPE cannot be ignored");
	return raise_descriptors();
}
