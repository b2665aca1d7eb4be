// A person without a browser: follows redirects, keeps cookies, fills in the
// forms of a login page.  It takes what browser.mjs takes and says what that
// says, for machines that have no Chromium.
export const isEnd = (url) => /^http:\/\/127\.0\.0\.1(:\d+)?\/callback\?/.test(url);
const text = (html) => html.replace(/<(style|script|svg)[\s\S]*?<\/\1>/g, '').replace(/<[^>]*>/g, ' ')
  .replace(/&#39;/g, '\'').replace(/&amp;/g, '&').replace(/\s+/g, ' ').trim();

function fill(html, wish) {
  const form = new URLSearchParams();
  for (const [input] of html.matchAll(/<input[^>]*>/g)) {
    const name = /\bname="([^"]*)"/.exec(input)?.[1];
    if (name)
      form.set(name, wish[name] ?? /\bvalue="([^"]*)"/.exec(input)?.[1] ?? '');
  }
  return form;
}

export function walker() {
  const jar = new Map();
  const go = async (url, form) => {
    const r = await fetch(url, {
      redirect: 'manual', method: form ? 'POST' : 'GET', body: form,
      headers: { cookie: [...jar].map(([k, v]) => `${k}=${v}`).join('; ') },
    });
    for (const c of r.headers.getSetCookie()) {
      const [, k, v] = /^([^=]+)=([^;]*)/.exec(c);
      if (v === '')
        jar.delete(k);
      else
        jar.set(k, v);
    }
    return r;
  };

  // deny: the person says no; stop: the last page is on a machine that cannot
  // be reached, its address is all there is; code: of a device.
  async function visit(url, { deny, stop, code } = {}) {
    let form;
    for (let step = 0; step < 30; step++) {
      if (stop && isEnd(url))
        return { url };
      const r = await go(url, form);
      form = undefined;
      if (r.status >= 300 && r.status < 400) {
        url = new URL(r.headers.get('location'), url).href;
        continue;
      }
      const html = await r.text();
      const action = /<form[^>]*action="([^"]+)"/.exec(html);
      const abort = /<a[^>]*href="([^"]*\/abort)"/.exec(html);
      if (isEnd(url) || !action)
        return { url, status: r.status, title: /<title>([^<]*)/.exec(html)?.[1], text: text(html) };
      if (deny && abort)
        url = new URL(abort[1], url).href;
      else {
        form = fill(html, { login: 'somebody', password: 'anything', ...(code && { user_code: code }) });
        url = new URL(action[1], url).href;
      }
    }
    throw new Error(`no end: ${url}`);
  }
  return { name: 'a plain HTTP walk', real: false, visit, close: async () => {} };
}
