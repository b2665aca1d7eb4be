/* What a process that holds secrets does at its start. */
#ifndef HARDEN_H
#define HARDEN_H

/*
 * Before any library allocates: wiping allocators for OpenSSL, libcurl and
 * cJSON; not dumpable, no core; SIGPIPE ignored; soft descriptor limit raised
 * to the hard one; curl_global_init.  Exits with words on stderr on failure.
 * Returns the descriptor limit.
 */
unsigned long harden(void);

#endif
