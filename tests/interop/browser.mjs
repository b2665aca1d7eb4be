// A person with a real browser: headless Chromium over the DevTools protocol
// on a pipe.  It types and clicks; the pages do the rest.
import { spawn } from 'node:child_process';
import { closeSync, openSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { isEnd } from './walker.mjs';

// What a person sees: evaluated in the page.  null: not yet.
const look = `(() => {
  if (document.readyState !== 'complete' || window.interopDone)
    return null;
  const shown = (e) => e && e.offsetParent !== null && !e.disabled;
  const input = [...document.querySelectorAll('input')].filter(shown).map((e) => e.name || e.id);
  const button = [...document.querySelectorAll('button, input[type=submit]')].filter(shown);
  return { url: location.href, title: document.title, text: document.body.innerText.replace(/\\s+/g, ' ').trim(),
    input, buttons: button.map((e) => e.innerText.trim()), abort: !!document.querySelector('a[href$="/abort"]') };
})()`;

// One DevTools connection: messages end with a NUL.
function connect(child) {
  const [to, from] = [child.stdio[3], child.stdio[4]];
  const waiting = new Map(), heard = new Set();
  let serial = 0, rest = '';
  from.setEncoding('utf8');
  from.on('data', (part) => {
    const messages = (rest + part).split('\0');
    rest = messages.pop();
    for (const m of messages.map((x) => JSON.parse(x))) {
      waiting.get(m.id)?.(m);
      waiting.delete(m.id);
      if (m.method)
        heard.forEach((f) => f(m));
    }
  });
  to.on('error', () => {});
  return {
    heard,
    call: (method, params = {}, sessionId) => new Promise((yes, no) => {
      waiting.set(++serial, (m) => m.error ? no(new Error(`${method}: ${m.error.message}`)) : yes(m.result));
      to.write(JSON.stringify({ id: serial, method, params, sessionId }) + '\0');
    }),
  };
}

async function openPage(cdp) {
  const { targetId } = await cdp.call('Target.createTarget', { url: 'about:blank' });
  const { sessionId } = await cdp.call('Target.attachToTarget', { targetId, flatten: true });
  const call = (method, params) => cdp.call(method, params, sessionId);
  return {
    call, sessionId,
    // A navigation may take the page away meanwhile.
    eval: (expression) => call('Runtime.evaluate', { expression, returnByValue: true })
      .then((r) => r.result?.value ?? null, () => null),
    type: async (selector, words) => {
      await call('Runtime.evaluate', { expression: `document.querySelector(${JSON.stringify(selector)}).focus()` });
      await call('Runtime.evaluate', { expression: `document.querySelector(${JSON.stringify(selector)}).select()` });
      await call('Input.insertText', { text: words });
    },
    close: () => cdp.call('Target.closeTarget', { targetId }),
  };
}

// Where a person at the page clicks next: a script for it, '' to wait; null:
// nothing is left to do.
async function act(page, seen, { deny, code, act: own }) {
  const submit = `(document.querySelector('button[type=submit], input[type=submit]') ?? document.forms[0]).click()`;
  if (own)
    return own(page, seen);
  if (deny && seen.abort)
    return `document.querySelector('a[href$="/abort"]').click()`;
  if (seen.input.includes('login')) {
    await page.type('input[name=login]', 'somebody');
    await page.type('input[name=password]', 'anything');
    return submit;
  }
  if (code && seen.input.includes('user_code')) {
    await page.type('input[name=user_code]', code);
    return submit;
  }
  return seen.buttons.length > 0 ? submit : null;
}

// Until nothing is left to do: the last page, as seen.
async function walk(page, wish) {
  const deadline = Date.now() + 40000;
  let seen;
  for (;;) {
    if (Date.now() > deadline)
      throw new Error(`the browser gets no further than ${JSON.stringify(seen)?.slice(0, 600)}`);
    const now = await page.eval(look);
    if (!now) {
      if (page.stopped)
        return { url: page.stopped };
      await pause(20);
      continue;
    }
    seen = now;
    if (isEnd(seen.url))
      return seen;
    const script = await act(page, seen, wish);
    if (script === null)
      return seen;
    await page.eval(`window.interopDone = ${!wish.act}; ${script}`);
    await pause(20);
  }
}

// `shots`: a folder for pictures of last pages.
export async function browser({ dir, log, shots }) {
  const fd = openSync(log, 'a');
  const child = spawn('chromium', ['--headless', '--remote-debugging-pipe', '--no-sandbox', '--disable-gpu',
    '--disable-dev-shm-usage', '--no-first-run', '--disable-background-networking', '--disable-component-update',
    '--disable-sync', '--no-proxy-server', '--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1',
    '--hide-scrollbars', '--window-size=900,640', `--user-data-dir=${join(dir, 'profile')}`],
  { stdio: ['ignore', fd, fd, 'pipe', 'pipe'], env: { PATH: process.env.PATH, HOME: dir } });
  closeSync(fd);
  const cdp = connect(child);
  const died = new Promise((_, no) => child.once('exit', (code) => no(new Error(`chromium ended with ${code}; see ${log}`))));
  died.catch(() => {});
  child.once('error', () => {});
  let serial = 0;
  const { product } = await Promise.race([died, cdp.call('Browser.getVersion')]);

  // See walker.mjs; shot: a name for the picture; act(page, seen): for pages of
  // another kind, which stay the same document.
  async function visit(url, wish = {}) {
    const page = await openPage(cdp);
    const paused = (m) => {
      if (m.method !== 'Fetch.requestPaused' || m.sessionId !== page.sessionId)
        return;
      page.stopped = m.params.request.url;
      page.call('Fetch.failRequest', { requestId: m.params.requestId, errorReason: 'ConnectionRefused' });
    };
    try {
      if (wish.stop) {
        cdp.heard.add(paused);
        await page.call('Fetch.enable', { patterns: [{ urlPattern: 'http://127.0.0.1:*/callback?*' }] });
      }
      await page.call('Page.navigate', { url });
      const end = await walk(page, wish);
      if (shots && wish.shot) {
        const { data } = await page.call('Page.captureScreenshot', { format: 'png' });
        writeFileSync(join(shots, `${++serial}-${wish.shot}.png`), Buffer.from(data, 'base64'));
      }
      return end;
    } finally {
      cdp.heard.delete(paused);
      await page.close().catch(() => {});
    }
  }
  return {
    name: product, real: true, visit: (url, wish) => Promise.race([died, visit(url, wish)]),
    close: async () => {
      cdp.call('Browser.close').catch(() => {});
      await Promise.race([died.catch(() => {}), pause(5000)]);
      child.kill('SIGKILL');
    },
  };
}
