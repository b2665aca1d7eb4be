// What every part of the run stands on: counted checks, and a scene of its own
// with peers, daemons and a folder that goes when it is over.
import { execFile, spawn } from 'node:child_process';
import { closeSync, existsSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { start } from './child.mjs';

export const LIFE = 4, AHEAD = 1;	// tokens live 4 s, and the wall's clock is 1 s ahead
const build = resolve(process.env.BUILD || 'build');
let passed = 0, failed = 0;

export function check(what, ok, why = '') {
  ok ? passed++ : failed++;
  console.log(`${ok ? 'ok  ' : 'FAIL'}  ${what}${why !== '' ? `: ${why}` : ''}`);
  return ok;
}

// A step that throws is one failed check.
export async function step(what, f, ms = 60000) {
  const late = AbortSignal.timeout(ms);
  try {
    const word = await Promise.race([f(), new Promise((_, no) => {
      late.addEventListener('abort', () => no(new Error(`not done after ${ms / 1000} s`)));
    })]);
    return check(what, true, typeof word === 'string' ? word : '');
  } catch (e) {
    return check(what, false, e?.stack ?? e);
  }
}

export function same(got, wanted) {
  if (got !== wanted)
    throw new Error(`got ${JSON.stringify(got)}, wanted ${JSON.stringify(wanted)}`);
}

export function holds(v, what) {
  if (!v)
    throw new Error(what);
}

export async function until(f, ms = 20000) {
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

// Ends with {code, out, err, text}; hears(child) may speak to it meanwhile.
export const run = (program, args, { input, env, hears } = {}) => new Promise((done) => {
  const child = execFile(program, args, { env, timeout: 60000 }, (error, out, err) =>
    done({ ok: !error, code: child.exitCode, out, err, text: out + err }));
  child.stdin.on('error', () => {});	// it may end without reading
  if (hears)
    hears(child);
  else
    child.stdin.end(input);
});

// The child ends with the scene, and with this process however that ends.
export function own(s, child) {
  s.stops.push(async () => child.kill('SIGKILL'));
  process.once('exit', () => child.kill('SIGKILL'));
}
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'])
  process.once(signal, () => process.exit(1));

async function startDaemon(s, config) {
  const env = { PATH: process.env.PATH, HOME: s.dir, XDG_RUNTIME_DIR: join(s.dir, 'run'), STATE_DIRECTORY: join(s.dir, 'state') };
  const file = join(s.dir, 'config.json');
  const control = join(s.dir, 'run/mcp-authd/control.sock');
  mkdirSync(env.XDG_RUNTIME_DIR, { mode: 0o700 });
  mkdirSync(env.STATE_DIRECTORY, { mode: 0o700 });
  writeFileSync(file, JSON.stringify(config));
  const fd = openSync(s.log('daemon'), 'a');
  const child = spawn(join(build, 'mcp-authd'), ['--config', file, '--log-level', process.env.INTEROP_LOG || 'debug'],
    { env, stdio: ['ignore', fd, fd] });
  closeSync(fd);
  const ended = new Promise((done) => {
    child.once('exit', (code, signal) => done(signal ?? code));
    child.once('error', (e) => done(e.message));
  });
  const d = {
    child, ended, control,
    ctl: (args, o) => run(join(build, 'mcp-authctl'), args, { ...o, env: { ...env, ...o?.env } }),
    // Another config, in force when this is over.
    configure: async (next) => {
      writeFileSync(file, JSON.stringify(next));
      const r = await d.ctl(['reload']);
      holds(r.ok, r.text);
    },
    socket: (name) => join(s.dir, 'run/mcp-authd', name, 'mcp.sock'),
    connect: (name) => ({ via: [join(build, 'mcp-authctl'), 'connect', name], env }),	// for open() of client.mjs
    shared: join(s.dir, 'run/mcp-authd/mcp-authd.sock'),
    text: () => readFileSync(s.log('daemon'), 'utf8'),
  };
  own(s, child);
  const ready = until(async () => existsSync(control) && (await d.ctl(['status'])).ok).then(() => 'ready', () => 'silent');
  const how = await Promise.race([ready, ended]);
  holds(how === 'ready', `the daemon does not become ready (${how}):\n${d.text()}`);
  return d;
}

// The daemon ends, and has kept what it must not tell to itself.  `warnings`:
// a pattern of those that belong to the story.
export async function checkEnd(what, d, secrets, warnings) {
  d.child.kill('SIGTERM');
  check(`${what}: the daemon ends with 0`, await d.ended === 0, await d.ended);
  const text = d.text();
  const told = secrets.filter((x) => text.includes(x.slice(-24)));
  check(`${what}: no secret in the daemon's log`, secrets.length >= 6 && told.length === 0,
    `${secrets.length} looked for in ${text.length >> 10} KiB${told.map((x) => `, found ${x.slice(-24)}`).join('')}`);
  const bad = text.split('\n').filter((l) => /^mcp-authd: (?!info |debug |notice )./.test(l) && !warnings?.test(l));
  check(`${what}: the daemon logged no warning and no error${warnings ? ' beside those' : ''}`, bad.length === 0, bad.slice(0, 5).join('; '));
}

// One part of the run.  f({dir, log, stops, peer, daemon}).
export async function scene(what, f) {
  const before = failed;
  const dir = mkdtempSync(join(tmpdir(), 'mcp-interop.'));
  const s = {
    dir, stops: [], log: (name) => join(dir, `${name}.log`),
    peer: async (file, args) => {
      const p = await start(file, args, s.log(`${file}${s.stops.length}`));
      s.stops.push(p.stop);
      return p;
    },
    daemon: (config) => startDaemon(s, config),
  };
  console.log(`--- ${what}`);
  try {
    await f(s);
  } catch (e) {
    check(what, false, e?.stack ?? e);
  }
  for (const stop of s.stops.reverse())
    await stop();
  if (failed > before && process.env.INTEROP_KEEP)
    console.log(`kept: ${dir}`);
  else
    rmSync(dir, { recursive: true, force: true, maxRetries: 50, retryDelay: 100 });	// a browser's children end after it
}

export function report() {
  console.log(`${passed} passed, ${failed} failed`);
  return failed ? 1 : 0;
}
