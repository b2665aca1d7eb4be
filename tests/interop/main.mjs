// Official peers on both sides of a real daemon:
//   SDK clients, curl, socat -> mcp-authd -> guard.mjs -> server-everything, modern.mjs
//                                  \-> as.mjs (oidc-provider)
// First every feature once (walk.mjs, tools.sh), then all at once (load.mjs).
// INTEROP_SECONDS: of load; INTEROP_LOG: the daemon's log level; INTEROP_KEEP=1
// keeps the logs of a run that failed.
import { execFile, spawn } from 'node:child_process';
import { closeSync, existsSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { start } from './child.mjs';
import { open, said } from './client.mjs';
import { load } from './load.mjs';
import { walkLegacy, walkModern } from './walk.mjs';

const seconds = Number(process.env.INTEROP_SECONDS || 30);
const build = resolve(process.env.BUILD || 'build');
const LIFE = 4, AHEAD = 1;	// tokens live 4 s, and the wall's clock is 1 s ahead
let passed = 0, failed = 0;

function check(what, ok, why = '') {
  ok ? passed++ : failed++;
  console.log(`${ok ? 'ok  ' : 'FAIL'}  ${what}${why !== '' ? `: ${why}` : ''}`);
  return ok;
}

// A step that throws is one failed check.
async function step(what, f, ms = 60000) {
  const late = AbortSignal.timeout(ms);
  try {
    const word = await Promise.race([f(), new Promise((_, no) => {
      late.addEventListener('abort', () => no(new Error(`not done after ${ms / 1000} s`)));
    })]);
    check(what, true, typeof word === 'string' ? word : '');
  } catch (e) {
    check(what, false, e?.stack ?? e);
  }
}

async function until(f, ms = 20000) {
  const deadline = Date.now() + ms;
  for (;;) {
    const v = await f();
    if (v)
      return v;
    if (Date.now() > deadline)
      throw new Error(`never true: ${f}`);
    await pause(10);
  }
}

const dir = mkdtempSync(join(tmpdir(), 'mcp-interop.'));
const stops = [];
const log = (name) => join(dir, `${name}.log`);
const run = (program, args, input, env) => new Promise((done) => {
  const child = execFile(program, args, { env, timeout: 60000 }, (error, stdout, stderr) =>
    done({ ok: !error, text: stdout + stderr }));
  child.stdin.end(input);
});

async function daemon(upstreams) {
  const env = { PATH: process.env.PATH, HOME: dir, XDG_RUNTIME_DIR: join(dir, 'run'), STATE_DIRECTORY: join(dir, 'state') };
  const config = join(dir, 'config.json');
  const control = join(dir, 'run/mcp-authd/control.sock');
  mkdirSync(env.XDG_RUNTIME_DIR, { mode: 0o700 });
  mkdirSync(env.STATE_DIRECTORY, { mode: 0o700 });
  writeFileSync(config, JSON.stringify({ mcpServers: upstreams }));
  const fd = openSync(log('daemon'), 'a');
  const child = spawn(join(build, 'mcp-authd'), ['--config', config, '--log-level', process.env.INTEROP_LOG || 'debug'],
    { env, stdio: ['ignore', fd, fd] });
  closeSync(fd);
  const ended = new Promise((done) => child.once('exit', (code, signal) => done(signal ?? code)));
  const d = {
    child, ended, ctl: (args, input) => run(join(build, 'mcp-authctl'), args, input, env),
    socket: (name) => join(dir, 'run/mcp-authd', name, 'mcp.sock'),
    shared: join(dir, 'run/mcp-authd/mcp-authd.sock'),
    memory: () => Number(/RssAnon:\s+(\d+)/.exec(readFileSync(`/proc/${child.pid}/status`))[1]),
  };
  stops.push(async () => child.kill('SIGKILL'));
  await until(async () => child.exitCode === null && existsSync(control) && (await d.ctl(['status'])).ok)
    .catch(() => { throw new Error(`the daemon does not become ready:\n${readFileSync(log('daemon'))}`); });
  return d;
}

// Seconds of CPU that a process has used.
function cpu(pid) {
  const f = readFileSync(`/proc/${pid}/stat`, 'utf8').replace(/.*\) /, '').split(' ');
  return (Number(f[11]) + Number(f[12])) / 100;
}

async function peer(file, args) {
  const p = await start(file, args, log(`${file}${stops.length}`));
  stops.push(p.stop);
  return p;
}

async function main() {
  const as = await peer('./as.mjs', [LIFE]);
  const servers = { everything: await peer('./everything.mjs', []), modern: await peer('./modern.mjs', []) };
  const guards = {};
  for (const [name, server] of Object.entries(servers))
    guards[name] = await peer('./guard.mjs', [server.url, as.issuer, AHEAD]);
  const d = await daemon(Object.fromEntries(Object.entries(guards).map(([name, g]) => [name, { url: g.resource }])));
  for (const [name, g] of Object.entries(guards)) {
    await step(`${name}: authorization code flow, token imported`, async () => {
      const r = await d.ctl(['token', 'import', name], JSON.stringify(await as.ask('authorize', g.resource)));
      if (!r.ok)
        throw new Error(r.text);
    });
  }

  const legacy = { step, until, guard: guards.everything, socket: d.socket('everything') };
  await walkLegacy({ ...legacy, version: 1 });
  await walkLegacy({ ...legacy, version: 2 });
  await walkModern({ step, until, guard: guards.modern, socket: d.socket('modern') });
  for (const [name, era] of [['everything', 'legacy'], ['modern', 'modern']]) {
    await step(`v2 auto finds out that ${name} is ${era}, over the shared socket`, async () => {
      const c = await open({ version: 2, mode: 'auto', socket: d.shared, path: `/${name}` });
      if (c.client.getProtocolEra() !== era)
        throw new Error(c.client.getProtocolEra());
      if (said(await c.call('echo', { message: 'x' })) !== 'Echo: x')
        throw new Error('wrong echo');
      await c.close();
    });
  }
  const tools = await run('tests/interop/tools.sh', [d.socket('everything'), d.shared, d.socket('modern')], '', process.env);
  for (const line of tools.text.split('\n').filter((l) => l !== ''))
    check(`tools: ${line.replace(/^\w+ */, '')}`, /^ok /.test(line));

  console.log(`load: ${seconds} s, tokens of ${LIFE} s, the wall ${AHEAD} s ahead`);
  const before = { ledger: await as.ask('ledger'), memory: d.memory(), cpu: cpu(d.child.pid), own: cpu(process.pid) };
  const result = await load({ seconds, guards, socket: d.socket });
  const ledger = await as.ask('ledger');
  for (const [kind, n] of Object.entries(result.calls))
    check(`load: ${kind}`, n.failed === 0 && n.done > 0, `${n.done} calls, ${n.failed} failed, half within ` +
      `${Math.round(n.times[n.times.length >> 1])} ms, 99 % within ${Math.round(n.times[Math.floor(n.times.length * 0.99)])}${n.why ? `, first: ${n.why}` : ''}`);
  for (const [name, g] of Object.entries(guards)) {
    const counts = await g.ask('counts');
    const n = ledger.refreshes[g.resource] - (before.ledger.refreshes[g.resource] ?? 0);
    check(`${name}: refreshes while under load`, n >= Math.floor(seconds / LIFE / 2) && n <= seconds, n);
    check(`${name}: no call sent more than twice, none let through twice`, counts.mostSent <= 2 && counts.mostPassed === 1,
      `at most ${counts.mostSent} and ${counts.mostPassed}`);
    check(`${name}: nothing strange at the wall`, counts.strange.length === 0, counts.strange.slice(0, 5).join('; '));
    const list = (o) => Object.entries(o).map(([k, v]) => `${v} ${k}`).join(', ');
    console.log(`      ${name}: ${counts.requests} requests; passed ${list(counts.passed)}; 401 ${list(counts.rejected)}; ` +
      `client responses ${counts.responses} (+${counts.rejectedResponses} met a 401); ` +
      `streams cut ${counts.cut}, resumed ${counts.resumed}; sessions deleted ${counts.deleted}`);
  }
  check('0 replays of a spent refresh token', ledger.replays === 0, ledger.replays);
  check('the authorization server refused nothing', ledger.errors.length === 0, ledger.errors.slice(0, 5).join('; '));
  console.log(`      daemon: private memory ${before.memory} -> ${d.memory()} KiB; ` +
    `${(cpu(d.child.pid) - before.cpu).toFixed(2)} s of CPU, the clients ${(cpu(process.pid) - before.own).toFixed(1)}`);

  d.child.kill('SIGTERM');
  check('the daemon ends with 0', await d.ended === 0, await d.ended);
  const text = readFileSync(log('daemon'), 'utf8');
  const secrets = await as.ask('secrets');
  check('no token in the daemon\'s log', secrets.length >= 6 && !secrets.some((x) => text.includes(x.slice(-24))),
    `${secrets.length} looked for in ${text.length >> 10} KiB`);
  const bad = text.split('\n').filter((l) => /^mcp-authd: (?!info |debug |notice )./.test(l));
  check('the daemon logged no warning and no error', bad.length === 0, bad.slice(0, 5).join('; '));
}

try {
  await main();
} catch (e) {
  check('the run', false, e?.stack ?? e);
}
for (const stop of stops.reverse())
  await stop();
if (failed && process.env.INTEROP_KEEP)
  console.log(`kept: ${dir}`);
else
  rmSync(dir, { recursive: true, force: true });
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed ? 1 : 0);
