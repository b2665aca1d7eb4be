/* lib/client_file (with lib/toml): every text is read or refused with a place; what is taken may stand in a config. */
#include "client_file.h"
#include "url.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct json_error error = { 0 };
	struct client_file f = { 0 };
	const struct client_entry *e;
	struct url url;

	if (client_file_read((const char *)data, size, &f, &error) < 0 &&
	    (error.line == 0 || error.column == 0 || error.what == NULL))
		abort();
	for (e = f.entries; e < f.entries + f.n; e++) {
		if (e->name[0] == '\0' || (e->kind == CLIENT_REMOTE) != (e->url != NULL &&
		    e->kind != CLIENT_DISABLED) || (e->kind == CLIENT_UNFIT) != (e->why != NULL))
			abort();
		if (e->kind == CLIENT_REMOTE && url_parse(e->url, strlen(e->url), &url) < 0)
			abort();
		if (e->kind == CLIENT_REMOTE)
			url_free(&url);
	}
	client_file_free(&f);
	return 0;
}
