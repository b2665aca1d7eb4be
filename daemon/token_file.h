/* Reads a file that holds a token, whole. */
#ifndef TOKEN_FILE_H
#define TOKEN_FILE_H

#include "buf.h"

/*
 * Into `text` (empty, BUF_SECRET(TOKEN_BYTES)).  Blocks: for the worker.  0,
 * or an errno: EINVAL: not a regular file, EFBIG: beyond TOKEN_BYTES.
 */
int	token_file_read(const char *path, struct buf *text);

#endif
