#include "page.h"

#define NAME_SHOWN	64	/* a configured name has 48 at most */
#define DETAIL_SHOWN	384	/* two or three lines; the log has the rest */

/* The one style sheet; its hash stands in the CSP below (test_page says what it is). */
static const char style[] =
    ":root{color-scheme:light dark;--bg:#f2f4f7;--card:#fff;--line:#dde1e8;--text:#191d24;"
    "--soft:#565e6c;--c:#52606d}\n"
    ".ok{--c:#15803d}.no{--c:#b45309}.bad{--c:#c02626}\n"
    "*{box-sizing:border-box;margin:0}\n"
    "body{min-height:100vh;min-height:100dvh;padding:1.5rem;display:flex;flex-direction:column;"
    "align-items:center;justify-content:center;gap:1.25rem;background:var(--bg);color:var(--text);"
    "font:1rem/1.55 system-ui,sans-serif;overflow-wrap:anywhere}\n"
    "main{width:100%;max-width:30rem;padding:2.5rem 2.25rem;display:grid;gap:1rem;"
    "background:var(--card);border:1px solid var(--line);border-radius:16px;"
    "box-shadow:0 16px 40px -16px rgb(0 0 0/.2)}\n"
    "svg{width:3rem;height:3rem;margin:.4rem .4rem .6rem;overflow:visible}\n"
    "circle{fill:var(--c);stroke:var(--c);stroke-opacity:.18;stroke-width:14;paint-order:stroke}\n"
    "path{fill:none;stroke:var(--card);stroke-width:4;stroke-linecap:round;stroke-linejoin:round}\n"
    "h1{font-size:1.5rem;line-height:1.25;letter-spacing:-.01em;text-wrap:balance}\n"
    "p,footer{color:var(--soft);text-wrap:pretty}\n"
    ".why{padding:.5rem .9rem;border-left:3px solid var(--c);background:var(--bg);color:var(--text)}\n"
    "pre{padding:.7rem .9rem;border:1px solid var(--line);border-radius:8px;background:var(--bg);"
    "color:var(--text);font:.9rem/1.5 ui-monospace,monospace;white-space:pre-wrap;user-select:all}\n"
    ".end{color:var(--text);font-weight:600}\n"
    "footer{font-size:.8rem;text-align:center}\n"
    "@media(prefers-color-scheme:dark){:root{--bg:#0f1115;--card:#191c22;--line:#2c313a;"
    "--text:#eceef2;--soft:#a3abb9;--c:#9aa5b1}"
    ".ok{--c:#4ade80}.no{--c:#fbbf24}.bad{--c:#f87171}}\n"
    "@media(max-width:30rem){main{padding:2rem 1.4rem}}\n";

const struct page_field page_fields[] = {
	{ "Content-Type", "text/html; charset=utf-8" },
	{ "Content-Security-Policy", "default-src 'none'; img-src data:; "
	    "style-src 'sha256-Z0INzQW3xOBBKMSbZE+wKJKmcoa2U/QFK/A2xNRx3PM='; base-uri 'none'; "
	    "form-action 'none'; frame-ancestors 'none'" },
	{ "Cache-Control", "no-store" },
	{ "Referrer-Policy", "no-referrer" },
	{ "X-Content-Type-Options", "nosniff" },
	{ NULL, NULL }
};

/* '*' in a text is the upstream's name. */
struct face {
	int		 status;
	const char	*look;		/* class in the style sheet */
	const char	*colour;	/* of the tab's icon: the light one */
	const char	*glyph;		/* path on 48 x 48 */
	const char	*heading;	/* and title */
	const char	*text;
	const char	*again;		/* what the command is for; NULL = no command */
};

static const struct face faces[] = {
	[PAGE_DONE] = {
		200, "ok", "15803d", "M14.5 25l6.5 6.5 12.5-14",
		"You are logged in to *",
		"mcp-authd keeps the login from here on and renews it. Clients that were waiting "
		"for it go on by themselves.",
		NULL,
	},
	[PAGE_DENIED] = {
		200, "no", "b45309", "M15.5 24h17",
		"Access to * was declined",
		"The sign-in page came back with a no. Nothing was changed.",
		"If that was a mistake, log in again with this command:",
	},
	[PAGE_FAILED] = {
		502, "bad", "c02626", "M17 17l14 14M31 17L17 31",
		"The login to * failed",
		"The sign-in page sent you back, but then the login did not go through.",
		"The log of mcp-authd has the details. To try again, run this command:",
	},
	[PAGE_EXPIRED] = {
		400, "old", "52606d", "M24 13.5V24l7 5",
		"This login is over",
		"It took too long, was stopped, or this address was opened a second time. If you "
		"were told that you are logged in to *, all is well.",
		"If not, log in again with this command:",
	},
	[PAGE_STRAY] = {
		400, "old", "52606d",
		"M18.2 18.6a6 6 0 1 1 9 5.2c-2 1.2-3.2 2.2-3.2 4.7M24 35v.01",
		"This is not part of the login",
		"mcp-authd waits here for the end of a login, and this address does not belong to "
		"it. Nothing was changed; the login goes on waiting.",
		"Finish it in the tab where you began, or begin again with this command:",
	},
};

int
page_status(enum page page)
{
	return faces[page].status;
}

/* `text` is printable ASCII (text_escape). */
static int
add_escaped(struct buf *out, const char *text)
{
	int e = 0;

	for (; *text != '\0'; text++)
		e |= strchr("&<>\"'`", *text) != NULL ? buf_addf(out, "&#%d;", *text) :
		    buf_add(out, text, 1);
	return e;
}

/* A text of ours, with the name in its places. */
static int
add_text(struct buf *out, const char *text, const char *name)
{
	size_t n;
	int e = 0;

	for (;;) {
		n = strcspn(text, "*");
		e |= buf_add(out, text, n);
		if (text[n] == '\0')
			return e;
		e |= add_escaped(out, name);
		text += n + 1;
	}
}

static int
add_element(struct buf *out, const char *open, const char *text, const char *name, const char *close)
{
	return buf_adds(out, open) | add_text(out, text, name) | buf_adds(out, close);
}

/* With an icon of its own: browsers would ask for /favicon.ico. */
static int
add_head(struct buf *out, const struct face *f, const char *name)
{
	int e;

	e = buf_adds(out, "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
	    "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n");
	e |= add_element(out, "<title>", f->heading, name, " - mcp-authd</title>\n");
	e |= buf_addf(out, "<link rel=\"icon\" href=\"data:image/svg+xml,%%3Csvg "
	    "xmlns='http://www.w3.org/2000/svg' viewBox='0 0 48 48'%%3E"
	    "%%3Ccircle cx='24' cy='24' r='24' fill='%%23%s'/%%3E%%3Cpath d='%s' fill='none' "
	    "stroke='%%23fff' stroke-width='5' stroke-linecap='round'/%%3E%%3C/svg%%3E\">\n",
	    f->colour, f->glyph);
	e |= buf_adds(out, "<style>");
	e |= buf_add(out, style, sizeof(style) - 1);
	e |= buf_adds(out, "</style>\n</head>\n");
	return e;
}

static int
add_body(struct buf *out, const struct face *f, const char *name, const char *detail)
{
	int e;

	e = buf_addf(out, "<body>\n<main class=\"%s\">\n<svg viewBox=\"0 0 48 48\" aria-hidden=\"true\">"
	    "<circle cx=\"24\" cy=\"24\" r=\"24\"/><path d=\"%s\"/></svg>\n", f->look, f->glyph);
	e |= add_element(out, "<h1>", f->heading, name, "</h1>\n");
	e |= add_element(out, "<p>", f->text, name, "</p>\n");
	if (detail[0] != '\0')
		e |= add_element(out, "<p class=\"why\">", "*", detail, "</p>\n");
	if (f->again != NULL) {
		e |= add_element(out, "<p>", f->again, name, "</p>\n");
		e |= add_element(out, "<pre><code>", "mcp-authctl login *", name, "</code></pre>\n");
	}
	e |= buf_adds(out, "<p class=\"end\">You can close this tab.</p>\n</main>\n"
	    "<footer>Shown by mcp-authd. This page loads nothing from elsewhere.</footer>\n"
	    "</body>\n</html>\n");
	return e;
}

int
page_html(struct buf *out, enum page page, const char *upstream, const char *detail)
{
	const struct face *f = &faces[page];
	struct slice name = slice_of(upstream != NULL ? upstream : "NAME");
	struct slice why = slice_of(detail != NULL ? detail : "");
	char shown[NAME_SHOWN], words[DETAIL_SHOWN];
	int e;

	text_escape(shown, sizeof(shown), name.p, name.n);
	text_escape(words, sizeof(words), why.p, why.n);
	e = add_head(out, f, shown);
	e |= add_body(out, f, shown, words);
	return e < 0 ? -ENOMEM : 0;
}
