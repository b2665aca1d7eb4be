
#include "http1.h"
#include "json.h"
#include "mcp_tools.h"

static const char marked[] = "x-mcp-header";

struct param {
	char	*header;
	char	*path[TOOL_DEPTH];	/* property names, NULL behind the last */
};

struct mcp_tool {
	struct mcp_tool	*next;
	char		*name;
	size_t		 nparams, bytes;
	struct param	 params[];
};

/* One tool being looked at. */
struct look {
	const char	*why;		/* it is invalid; NULL: so far it is not */
	const char	*path[TOOL_DEPTH];
	size_t		 depth, nparams, bytes;
	bool		 nomem;
	struct param	 params[TOOL_PARAMS];
};

/* --- schemas --- */

static void
free_param(struct param *p)
{
	free(p->header);
	for (size_t i = 0; i < nitems(p->path) && p->path[i] != NULL; i++)
		free(p->path[i]);
}

static void
look_free(struct look *l)
{
	for (size_t i = 0; i < l->nparams; i++)
		free_param(&l->params[i]);
	l->nparams = 0;
}

static bool
is_primitive(const cJSON *schema)
{
	const char *type = json_string(schema, "type");

	return type != NULL && (strcmp(type, "string") == 0 || strcmp(type, "integer") == 0 ||
	    strcmp(type, "boolean") == 0);
}

static const char *
fault_of(const struct look *l, const cJSON *schema, const char *name)
{
	if (name == NULL || !http1_is_token(name, strlen(name)))
		return "its x-mcp-header is no header name";
	if (!is_primitive(schema))
		return "its x-mcp-header stands on what is no string, integer or boolean";
	for (size_t i = 0; i < l->nparams; i++)
		if (strcasecmp(l->params[i].header, name) == 0)
			return "its x-mcp-header occurs twice";
	return l->nparams == TOOL_PARAMS ? "it has too many x-mcp-header" : NULL;
}

/* The property at l->path is marked. */
static void
add_param(struct look *l, const cJSON *schema)
{
	const char *name = json_string(schema, marked);
	struct param *p = &l->params[l->nparams];

	if (l->nomem || (l->why = fault_of(l, schema, name)) != NULL)
		return;
	*p = (struct param){ .header = strdup(name) };
	l->nomem |= p->header == NULL;
	l->bytes += sizeof(*p) + strlen(name);
	for (size_t i = 0; i < l->depth; i++) {
		p->path[i] = strdup(l->path[i]);
		l->nomem |= p->path[i] == NULL;
		l->bytes += strlen(l->path[i]);
	}
	l->nparams++;
}

/* What holds no schema: its members are data, whatever they are called. */
static bool
is_data(const char *keyword)
{
	static const char *const data[] = { "const", "default", "enum", "example", "examples" };

	for (size_t i = 0; i < nitems(data); i++)
		if (strcmp(keyword, data[i]) == 0)
			return true;
	return false;
}

/* What holds schemas by names of their own: a name there is no keyword. */
static bool
is_named(const char *keyword)
{
	static const char *const named[] = { "properties", "patternProperties",
	    "dependentSchemas", "$defs", "definitions" };

	for (size_t i = 0; i < nitems(named); i++)
		if (strcmp(keyword, named[i]) == 0)
			return true;
	return false;
}

/* Is anything marked in there?  JSON_DEPTH bounds the recursion. */
static bool
is_marked_below(const cJSON *json, bool names)
{
	const cJSON *item;

	cJSON_ArrayForEach(item, json) {
		if (cJSON_IsObject(json) && !names) {
			if (strcmp(item->string, marked) == 0)
				return true;
			if (is_data(item->string))
				continue;
		}
		if (is_marked_below(item, cJSON_IsObject(json) && !names && is_named(item->string)))
			return true;
	}
	return false;
}

static void look_properties(struct look *, const cJSON *schema);

static void
look_property(struct look *l, const cJSON *schema)
{
	if (json_member(schema, marked) != NULL)
		add_param(l, schema);
	if (l->why == NULL)
		look_properties(l, schema);
}

/* Only `properties` chains lead to a parameter (M4); a mark anywhere else is a fault (M5). */
static void
look_properties(struct look *l, const cJSON *schema)
{
	const cJSON *keyword, *property;

	cJSON_ArrayForEach(keyword, schema) {
		if (!cJSON_IsObject(schema) || strcmp(keyword->string, marked) == 0 ||
		    is_data(keyword->string))
			continue;
		if (strcmp(keyword->string, "properties") != 0 || !cJSON_IsObject(keyword) ||
		    l->depth + 1 == TOOL_DEPTH) {
			if (is_marked_below(keyword, is_named(keyword->string)))
				l->why = "its x-mcp-header is not reached by properties alone";
			continue;
		}
		cJSON_ArrayForEach(property, keyword) {
			l->path[l->depth++] = property->string;
			if (l->why == NULL)
				look_property(l, property);
			l->depth--;
		}
	}
}

/* --- learning --- */

static void
free_tool(struct mcp_tool *t)
{
	for (size_t i = 0; i < t->nparams; i++)
		free_param(&t->params[i]);
	free(t->name);
	free(t);
}

static struct mcp_tool **
find(const struct mcp_tools *all, const char *name)
{
	struct mcp_tool *const *at = &all->first;

	while (*at != NULL && strcmp((*at)->name, name) != 0)
		at = &(*at)->next;
	return (struct mcp_tool **)(uintptr_t)at;
}

static void
forget(struct mcp_tools *all, const char *name)
{
	struct mcp_tool **at = find(all, name), *t = *at;

	if (t == NULL)
		return;
	*at = t->next;
	all->bytes -= t->bytes;
	free_tool(t);
}

/* Takes the parameters over. */
static int
keep(struct mcp_tools *all, const char *name, struct look *l)
{
	struct mcp_tool *t;

	forget(all, name);
	if (l->nparams == 0)
		return 0;
	l->bytes += sizeof(*t) + strlen(name);
	if (all->bytes + l->bytes > (size_t)TOOLS_BYTES)
		return -EMSGSIZE;
	t = malloc(sizeof(*t) + l->nparams * sizeof(t->params[0]));
	if (t == NULL || l->nomem || (t->name = strdup(name)) == NULL) {
		free(t);
		return -ENOMEM;
	}
	memcpy(t->params, l->params, l->nparams * sizeof(t->params[0]));
	t->nparams = l->nparams;
	t->bytes = l->bytes;
	l->nparams = 0;
	t->next = all->first;
	all->first = t;
	all->bytes += t->bytes;
	return 0;
}

/* One tool: is it left out?  What cJSON would not read is the client's to judge. */
static int
learn_tool(struct mcp_tools *all, struct slice raw, mcp_tools_warn warn, void *arg, bool *ret_out)
{
	struct look *l = calloc(1, sizeof(*l));
	struct json_error error = { .line = 1 };
	cJSON *tool = json_parse(raw.p, raw.n, &error);
	const char *name = json_string(tool, "name");
	const cJSON *schema = json_member(tool, "inputSchema");
	int e = l == NULL || error.line == 0 ? -ENOMEM : 0;

	*ret_out = false;
	if (e == 0 && name != NULL && cJSON_IsObject(schema)) {
		if (json_member(schema, marked) != NULL)
			l->why = "its x-mcp-header stands on no parameter";
		else
			look_properties(l, schema);
		if (l->why == NULL) {
			e = keep(all, name, l);
		} else {
			forget(all, name);
			*ret_out = true;
			warn(arg, name, strlen(name), l->why);
		}
	}
	if (l != NULL)
		look_free(l);
	free(l);
	cJSON_Delete(tool);
	return e;
}

/*
 * The answer but for some elements: one that goes takes the comma before it
 * along, or the one behind it if none stays before.
 */
struct cut {
	const char	*done;		/* copied, or left out, up to here */
	const char	*end;		/* of the element before */
	bool		 kept;		/* one stayed */
	int		 out;
};

static int
cut_element(struct cut *c, struct slice element, bool out, struct buf *to)
{
	const char *upto = c->kept ? c->end : element.p;
	int e = 0;

	if (!out) {
		if (!c->kept && c->out > 0)
			c->done = element.p;
		c->kept = true;
	} else {
		if (c->kept || c->out == 0)
			e = buf_add(to, c->done, (size_t)(upto - c->done));
		c->done = element.p + element.n;
		c->out++;
	}
	c->end = element.p + element.n;
	return e;
}

int
mcp_tools_learn(struct mcp_tools *all, struct slice answer, struct buf *out,
    struct slice *ret_cursor, mcp_tools_warn warn, void *arg)
{
	struct slice tools, element;
	struct cut cut = { .done = answer.p };
	size_t at = 0, before = out->len;
	bool gone;
	int e = 0;

	*ret_cursor = (struct slice){ NULL, 0 };
	if (answer.n > (size_t)TOOLS_BYTES)
		return -EMSGSIZE;
	if (!mcp_at(answer, &tools, "result", "tools", NULL) || tools.p[0] != '[')
		return -EINVAL;
	if (mcp_at(answer, ret_cursor, "result", "nextCursor", NULL) && ret_cursor->p[0] != '"')
		*ret_cursor = (struct slice){ NULL, 0 };
	while (e == 0 && mcp_element(tools, &at, &element)) {
		if ((e = learn_tool(all, element, warn, arg, &gone)) == 0)
			e = cut_element(&cut, element, gone, out);
	}
	if (e == 0 && cut.out > 0)
		e = buf_add(out, cut.done, (size_t)(answer.p + answer.n - cut.done));
	if (e < 0 && out->len > before) {
		out->len = before;
		out->p[before] = '\0';
	}
	return e < 0 ? e : cut.out;
}

void
mcp_tools_clear(struct mcp_tools *all)
{
	struct mcp_tool *t;

	while ((t = all->first) != NULL) {
		all->first = t->next;
		free_tool(t);
	}
	*all = (struct mcp_tools){ 0 };
}

/* --- asking --- */

/* M4: 42 for 42, 42.0 and 4.2e1. */
static int
add_number(struct buf *out, struct slice raw)
{
	const double exact = 9007199254740992.0;	/* 2^53 */
	char text[64];
	double v;

	if (raw.n >= sizeof(text))
		return buf_addslice(out, raw);
	memcpy(text, raw.p, raw.n);
	text[raw.n] = '\0';
	if (strpbrk(text, ".eE") == NULL)
		return buf_addslice(out, raw);
	v = strtod(text, NULL);
	if (!(v > -exact && v < exact) || v != (double)(int64_t)v)
		return buf_addslice(out, raw);
	return buf_addf(out, "%lld", (long long)v);
}

/* One value, by what it is; nothing for what a header cannot mirror.  1, 0 or an error. */
static int
add_value(struct buf *out, const char *header, struct slice raw)
{
	_cleanup_(buf_free) struct buf text = BUF_INIT(HEADER_BYTES);
	int e;

	if (raw.p[0] == '{' || raw.p[0] == '[' || raw.p[0] == 'n')
		return 0;
	if ((e = buf_addf(out, "Mcp-Param-%s: ", header)) < 0)
		return e;
	if (raw.p[0] == '"') {
		if ((e = mcp_text(raw, &text)) == 0)
			e = mcp_header_value(out, text.p, text.len);
	} else if (raw.p[0] == 't' || raw.p[0] == 'f') {
		e = buf_addslice(out, raw);
	} else {
		e = add_number(out, raw);
	}
	if (e < 0 || (e = buf_adds(out, "\r\n")) < 0)
		return e;
	return 1;
}

static const struct mcp_tool *
tool_of(const struct mcp_tools *all, struct slice call)
{
	_cleanup_(buf_free) struct buf name = BUF_INIT(HEADER_BYTES);
	struct slice raw;

	if (!mcp_at(call, &raw, "params", "name", NULL) || mcp_text(raw, &name) < 0 ||
	    name.len == 0)
		return NULL;
	return *find(all, name.p);
}

int
mcp_tools_params(const struct mcp_tools *all, struct slice call, struct buf *out)
{
	const struct mcp_tool *t = tool_of(all, call);
	struct slice value;
	int e, n = 0;
	bool found;

	for (size_t i = 0; t != NULL && i < t->nparams; i++) {
		found = mcp_at(call, &value, "params", "arguments", NULL);
		for (size_t k = 0; found && k < TOOL_DEPTH && t->params[i].path[k] != NULL; k++)
			found = mcp_member(value, t->params[i].path[k], &value);
		if (!found)
			continue;
		if ((e = add_value(out, t->params[i].header, value)) < 0)
			return e;
		n += e;
	}
	return n;
}

bool
mcp_tools_known(const struct mcp_tools *all, struct slice call)
{
	return all->whole || tool_of(all, call) != NULL;
}
