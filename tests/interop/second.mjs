// The core of login.mjs against a second authorization server of other make
// (glewlwyd.mjs): it registers clients with a secret, publishes its metadata
// at the OpenID Connect place alone, and has pages that are scripts.
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { find, person as somebody, start } from './glewlwyd.mjs';
import { loggedIn, once, reason, session } from './login.mjs';
import { person } from './person.mjs';
import { AHEAD, LIFE, checkEnd, holds, same, step } from './scene.mjs';

const TRAFFIC = 10000;		// ms

// What its pages want next: a script for it, '' to wait.
async function act(page, seen) {
  const click = (words) => `[...document.querySelectorAll('button')].find((e) => e.innerText.trim() === '${words}').click()`;
  if (seen.input.includes('username')) {
    await page.type('input[name=username]', somebody.username);
    await page.type('input[name=password]', somebody.password);
    return click('OK');
  }
  if (seen.input.some((name) => name.startsWith('grant-')))
    return `document.querySelectorAll('input[type=checkbox]').forEach((e) => e.checked || e.click()); ${click('Grant access')}`;
  if (seen.buttons.includes('Continue'))
    return click('Continue');
  return '';
}

// What the store holds: the newest secrets, to look for them in the log.
function stored(s, secrets) {
  const dir = join(s.dir, 'state/credentials');
  const records = readdirSync(dir).filter((x) => x.endsWith('.json')).map((x) => JSON.parse(readFileSync(join(dir, x))));
  for (const r of records) {
    for (const k of ['access_token', 'refresh_token', 'client_secret'])
      r[k] && secrets.add(r[k]);
  }
  return records;
}

// Is it still good for anything?  The server's own word.
async function refresh(as, record) {
  const r = await fetch(`${as.issuer}/token`, {
    method: 'POST', headers: { authorization: `Basic ${btoa(`${record.client_id}:${record.client_secret}`)}` },
    body: new URLSearchParams({ grant_type: 'refresh_token', refresh_token: record.refresh_token, resource: record.resource }),
  });
  return r.status;
}

export async function second(s) {
  const root = find();
  const p = await person(s);
  if (root === null || !p.real) {
    console.log(`SKIP  a second authorization server (${root === null ? 'no glewlwyd: tests/interop/unpack' : 'no chromium: tests/install-deps browser'})`);
    return;
  }
  const as = await start(s, root);
  const everything = await s.peer('./everything.mjs', []);
  const guard = await s.peer('./guard.mjs', [everything.url, as.issuer, AHEAD]);
  await as.configure({ resource: guard.resource, life: LIFE });
  const d = await s.daemon({ mcpServers: { main: { url: guard.resource } } });
  const secrets = new Set();
  const login = (args, wish) => p.login(d, args, { act, ...wish });

  await step('glewlwyd: a login, nothing but a url in the config', async () => {
    const r = await login(['main'], { shot: 'second' });
    loggedIn(r, 'main');
    same((await once(d, 'main')).text, 'Echo: x');
    stored(s, secrets);
    return r.err.trim().split('\n').slice(-3).join('; ');
  });
  await step(`glewlwyd: traffic, ${TRAFFIC / 1000} s with tokens of ${LIFE} s`, async () => {
    const before = as.ledger();
    const count = await session(d, 'main', TRAFFIC);
    const n = as.ledger().refreshed - before.refreshed;
    stored(s, secrets);
    holds(n >= TRAFFIC / 1000 / LIFE - 1 && n <= TRAFFIC / 1000, `${n} rotations`);
    same(as.ledger().live, 1);
    return `${count.done} calls, 0 failed, ${n} rotations`;
  });
  await step('glewlwyd: step-up; it has to be told to ask the person again', async () => {
    same(reason(await once(d, 'main', 'get-env', {})), 'insufficient_scope');
    const less = await login(['main']);
    loggedIn(less, 'main');
    holds(less.err.includes('granted less than was asked for'), less.err);
    same(reason(await once(d, 'main', 'get-env', {})), 'insufficient_scope');
    await d.configure({ mcpServers: { main: { url: guard.resource, oauth: { authorizeParams: { prompt: 'consent' } } } } });
    loggedIn(await login(['main']), 'main');
    stored(s, secrets);
    const env = await once(d, 'main', 'get-env', {});
    holds(env.text?.includes('PATH'), reason(env));
  });
  await step('glewlwyd: logout revokes', async () => {
    const [record] = stored(s, secrets).filter((r) => r.refresh_token);
    const before = as.ledger();
    const r = await d.ctl(['logout', 'main']);
    same(r.code, 0);
    holds(r.out.includes('logged out; revoked'), r.text);
    same(reason(await once(d, 'main')), 'login_required');
    same(before.live - as.ledger().live, 1);
    same(await refresh(as, record), 400);
  });
  await checkEnd('glewlwyd', d, [...secrets]);
}
