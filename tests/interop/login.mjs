// Logins of every kind against a real authorization server (as.mjs), with
// nothing in the config but a url where no more is needed; and the traffic
// between them.
//   mcp-authctl -> mcp-authd -> guard.mjs -> server-everything
//   Chromium ---\------------> as.mjs
import { generateKeyPairSync } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { open, said } from './client.mjs';
import { person } from './person.mjs';
import { AHEAD, LIFE, check, checkEnd, holds, same, step } from './scene.mjs';

const TRAFFIC = 12000;		// ms of it: three tokens' lives
const words = (text) => new Set(text?.split(' ') ?? []);

// A key for private_key_jwt: its file, and what the server knows of it.
function makeKey(s, id, alg) {
  const pair = alg === 'ES256' ? generateKeyPairSync('ec', { namedCurve: 'P-256' }) :
    generateKeyPairSync('rsa', { modulusLength: 2048 });
  const file = join(s.dir, `${id}.pem`);
  writeFileSync(file, pair.privateKey.export({ type: 'pkcs8', format: 'pem' }), { mode: 0o600 });
  return {
    entry: { grant: 'client_credentials', clientId: id, tokenEndpointAuthMethod: 'private_key_jwt', privateKeyFile: file, privateKeyId: `${id}-1` },
    client: {
      client_id: id, token_endpoint_auth_method: 'private_key_jwt', token_endpoint_auth_signing_alg: alg,
      grant_types: ['client_credentials'], response_types: [], redirect_uris: [],
      jwks: { keys: [{ ...pair.publicKey.export({ format: 'jwk' }), kid: `${id}-1`, alg, use: 'sig' }] },
    },
  };
}

// One call of a client of its own; the error that it ended with, if any.
export async function once(d, name, tool = 'echo', args = { message: 'x' }) {
  const c = await open({ version: 2, mode: 'legacy', socket: d.socket(name) }).catch((e) => ({ error: e }));
  if (c.error)
    return { error: c.error };
  try {
    return { text: said(await c.call(tool, args)) };
  } catch (error) {
    return { error };
  } finally {
    await c.close();
  }
}

export const reason = (r) => r.error?.data?.reason ?? r.error?.message ?? 'none';

// Two clients of each kind, calling all the time while tokens die under them.
export async function session(d, name, ms) {
  const count = { done: 0, failed: 0 };
  const ends = Date.now() + ms;
  await Promise.all([1, 2, 1, 2].map(async (version, lane) => {
    const c = await open({ version, mode: 'legacy', socket: d.socket(name) });
    for (let n = 0; Date.now() < ends; n++) {
      const message = `${lane} ${n}`;
      const text = await c.call('echo', { message }).then(said, (e) => e.stack);
      if (text === `Echo: ${message}`)
        count.done++;
      else {
        count.failed++;
        count.why ??= text;
      }
      await pause(20);
    }
    await c.close();
  }));
  same(count.failed, 0);
  return count;
}

export function loggedIn(r, name) {
  holds(r.code === 0, `exit ${r.code}: ${r.text}`);
  holds(r.pages.length > 0, `nothing was opened: ${r.text}`);
  const page = r.pages.at(-1);
  holds(page.text?.includes(`You are logged in to ${name}`), `the last page says: ${page.text}`);
}

async function firstLogin({ d, as, p, guard }) {
  await step('A16: no login before it is needed, and none by itself', async () => {
    same(reason(await once(d, 'main')), 'login_required');
    same((await d.ctl(['status', 'main'])).code, 4);
    const { registrations, authorizations } = await as.ask('ledger');
    same(registrations.length + authorizations.length, 0);
  });
  await step('login: a bare url is enough', async () => {
    const r = await p.login(d, ['main'], { shot: 'done' });
    loggedIn(r, 'main');
    holds(!r.err.includes('code='), 'the code is shown');
    holds(r.err.includes('main: logged in\n'), r.err);
    same((await d.ctl(['status', 'main'])).code, 0);
    return r.err.trim().split('\n').slice(-3).join('; ');
  });
  await step('A5, A6, A8, A10: PKCE, resource, one registration, the scope that was asked for', async () => {
    const { registrations, authorizations, tokens } = await as.ask('ledger');
    same(registrations.filter((x) => x.status === 201).length, 1);
    for (const a of authorizations.filter((x) => x.redirect)) {
      same(a.method, 'S256');
      same(a.resource, guard.resource);
    }
    same([...words(authorizations.at(-1).scope)].sort().join(' '), 'mcp offline_access');
    const code = tokens.find((t) => t.grant === 'authorization_code');
    same(code.resource, guard.resource);
    same(code.verifier, true);
    holds(words(code.granted).has('mcp'), `granted: ${code.granted}`);
    return `${registrations.length} registration request(s), ${authorizations.at(-1).redirect}`;
  });
}

async function traffic({ d, as, guard }) {
  await step(`a session of traffic, ${TRAFFIC / 1000} s with tokens of ${LIFE} s`, async () => {
    const before = (await as.ask('ledger')).refreshes[guard.resource] ?? 0;
    const count = await session(d, 'main', TRAFFIC);
    const { refreshes, replays } = await as.ask('ledger');
    const n = refreshes[guard.resource] - before;
    same(replays, 0);
    holds(n >= TRAFFIC / 1000 / LIFE - 1 && n <= TRAFFIC / 1000, `${n} refreshes`);
    return `${count.done} calls, 0 failed, ${n} rotations, 0 replays`;
  });
}

async function stepUp({ d, as, p }) {
  await step('J: a tool that needs more scope', async () => {
    const r = await once(d, 'main', 'get-env', {});
    same(reason(r), 'insufficient_scope');
    same(r.error.data.hint, 'mcp-authctl login main');
    same((await once(d, 'main')).text, 'Echo: x');
  });
  await step('A11: the next login asks for the union, and the call succeeds', async () => {
    loggedIn(await p.login(d, ['main']), 'main');
    const { authorizations } = await as.ask('ledger');
    same([...words(authorizations.at(-1).scope)].sort().join(' '), 'mcp mcp:env offline_access');
    holds((await once(d, 'main', 'get-env', {})).text?.includes('PATH'), 'no environment');
    same((await once(d, 'main')).text, 'Echo: x');
  });
  await step('A8: the registration is used again', async () => {
    const before = (await as.ask('ledger')).registrations.length;
    loggedIn(await p.login(d, ['main']), 'main');
    loggedIn(await p.login(d, ['other']), 'other');
    same((await once(d, 'other')).text, 'Echo: x');
    const { registrations, authorizations } = await as.ask('ledger');
    same(registrations.length, before);
    return `${registrations.filter((x) => x.status === 201).length} in ${authorizations.filter((x) => x.redirect).length} authorizations`;
  });
}

async function logout({ d, as }) {
  await step('H4: logout revokes, the server confirms it', async () => {
    same((await once(d, 'main')).text, 'Echo: x');	// the latest token is its
    const token = await as.ask('latest', 'refresh_token');
    const other = (await once(d, 'other')).text;
    same(await as.ask('active', token), true);
    const r = await d.ctl(['logout', 'main']);
    same(r.code, 0);
    holds(r.out.includes('logged out; revoked'), r.text);
    same(await as.ask('active', token), false);
    same(reason(await once(d, 'main')), 'login_required');
    same(other, 'Echo: x');
    return JSON.stringify((await as.ask('ledger')).revocations);
  });
  await step('H4: another account at the same URL stays logged in', async () => {
    same((await once(d, 'other')).text, 'Echo: x');
  });
}

async function otherWays({ d, as, p }) {
  await step('A21: a device, its code entered in the browser', async () => {
    let page, child;
    const r = await d.ctl(['login', 'main', '--device'], { hears: (c) => {
      child = c;
      let out = '';
      c.stdout.on('data', async (part) => {
        out += part;
        const [uri, code] = out.split('\n');
        if (out.split('\n').length > 2 && !page)
          page = p.visit(uri, { code, shot: 'device' }).catch((e) => (child.kill(), { text: e.stack }));
      });
    } });
    same(r.code, 0);
    holds(/success/i.test((await page).text), `the last page says: ${(await page).text}`);
    same((await once(d, 'main')).text, 'Echo: x');
    const { tokens } = await as.ask('ledger');
    holds(tokens.some((t) => t.grant.endsWith('device_code') && !t.error), 'no device grant');
  });
  await step('A21: pasted, from a browser that cannot come back', async () => {
    const r = await d.ctl(['login', 'main', '--no-browser'], { hears: (c) => {
      let out = '';
      c.stdout.on('data', async (part) => {
        const had = out.includes('\n');
        out += part;
        if (!had && out.includes('\n'))
          p.visit(out.split('\n')[0], { stop: true }).then(({ url }) => c.stdin.write(`${url}\n`), () => c.kill());
      });
    } });
    same(r.code, 0);
    same((await once(d, 'main')).text, 'Echo: x');
  });
}

async function nobodyThere({ d, as }) {
  for (const alg of ['ES256', 'RS256']) {
    await step(`A19: client credentials with private_key_jwt, ${alg}: no person`, async () => {
      const name = alg.toLowerCase();
      await session(d, name, (LIFE + 2) * 1000);
      const tokens = (await as.ask('ledger')).tokens.filter((t) => t.client === name);
      holds(tokens.length >= 2 && tokens.every((t) => t.alg === alg && !t.error && t.grant === 'client_credentials'), JSON.stringify(tokens));
      return `${tokens.length} tokens`;
    });
  }
}

async function command({ d, as, p, config }) {
  await step('H5, H6: login.command runs once, requests are held and answered', async () => {
    await d.ctl(['logout', 'main']);
    await d.configure({ ...config, login: { command: [p.script, '{url}'], wait: 40 } });
    const before = (await as.ask('ledger')).authorizations.length;
    let over = false;
    const calls = Promise.all(Array.from({ length: 8 }, () => once(d, 'main'))).finally(() => over = true);
    const pages = await p.watch(() => over, {});
    for (const r of await calls)
      same(r.text ?? r.error.message, 'Echo: x');
    same(pages.length, 1);
    same((await as.ask('ledger')).authorizations.length - before, 1);
    return '8 calls held, one login';
  });
}

// The last of all: no login begins by itself for 30 s after one that failed.
async function refused({ d, p }) {
  await step('denied: the page and the exit code say so, the old login stays', async () => {
    const r = await p.login(d, ['main', '--scope', 'mcp:env'], { deny: true, shot: 'denied' });
    same(r.code, 1);
    holds(r.pages.at(-1).text.includes('Access to main was declined'), r.pages.at(-1).text);
    holds(r.err.includes('the login was refused in the browser'), r.err);
    same((await once(d, 'main')).text, 'Echo: x');
  });
}

export async function logins(s) {
  const es = makeKey(s, 'es256', 'ES256'), rs = makeKey(s, 'rs256', 'RS256');
  const as = await s.peer('./as.mjs', [LIFE, JSON.stringify([es.client, rs.client])]);
  const everything = await s.peer('./everything.mjs', []);
  const guard = await s.peer('./guard.mjs', [everything.url, as.issuer, AHEAD]);
  const url = guard.resource;
  const config = { mcpServers: { main: { url }, other: { url }, es256: { url, oauth: es.entry }, rs256: { url, oauth: rs.entry } } };
  const d = await s.daemon(config);
  const p = await person(s);
  const at = { as, guard, config, d, p };

  console.log(p.real ? `      the browser is ${p.name}` : `SKIP  a real browser (no chromium: tests/install-deps browser): ${p.name} instead`);
  for (const part of [firstLogin, traffic, stepUp, logout, otherWays, nobodyThere, command, refused])
    await part(at);
  const { errors, replays } = await as.ask('ledger');
  check('0 replays of a spent refresh token', replays === 0, replays);
  // It takes no scope of a resource in a registration: asked again without, as a browser and as a device.
  const known = /^registration_create: .* scope must only contain|^authorization: access_denied/;
  check('the authorization server refused nothing else', errors.length === 3 && errors.every((e) => known.test(e)), errors.join('; '));
  await checkEnd('logins', d, await as.ask('secrets'), /refused in the browser/);
}
