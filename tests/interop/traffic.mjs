// Every feature of MCP with official peers on both sides, then all at once:
//   SDK clients, curl, socat -> mcp-authd -> guard.mjs -> server-everything, modern.mjs
//                                  \-> as.mjs (oidc-provider)
// The tokens are imported: here the traffic is what counts.
import { readFileSync } from 'node:fs';
import { open, said } from './client.mjs';
import { load, overHttp } from './load.mjs';
import { AHEAD, LIFE, check, checkEnd, holds, run, same, step } from './scene.mjs';
import { walkLegacy, walkModern } from './walk.mjs';

const seconds = Number(process.env.INTEROP_SECONDS || 30);

// Seconds of CPU that a process has used.
function cpu(pid) {
  const f = readFileSync(`/proc/${pid}/stat`, 'utf8').replace(/.*\) /, '').split(' ');
  return (Number(f[11]) + Number(f[12])) / 100;
}

const memory = (pid) => Number(/RssAnon:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`))[1]);

// Every feature once (walk.mjs, tools.sh).
async function walk(d, guards) {
  const legacy = { guard: guards.everything, socket: d.socket('everything') };
  await walkLegacy({ ...legacy, version: 1 });
  await walkLegacy({ ...legacy, version: 2 });
  await walkModern({ guard: guards.modern, socket: d.socket('modern') });
  for (const [name, era] of [['everything', 'legacy'], ['modern', 'modern']]) {
    await step(`v2 auto finds out that ${name} is ${era}, over the shared socket`, async () => {
      const c = await open({ version: 2, mode: 'auto', socket: d.shared, path: `/${name}` });
      same(c.client.getProtocolEra(), era);
      same(said(await c.call('echo', { message: 'x' })), 'Echo: x');
      await c.close();
    });
  }
  const tools = await run('tests/interop/tools.sh', [d.socket('everything'), d.shared, d.socket('modern')], { env: process.env });
  for (const line of tools.text.split('\n').filter((l) => l !== ''))
    check(`tools: ${line.replace(/^\w+ */, '')}`, /^ok /.test(line));
}

export async function traffic(s) {
  const as = await s.peer('./as.mjs', [LIFE]);
  const servers = { everything: await s.peer('./everything.mjs', []), modern: await s.peer('./modern.mjs', []) };
  const guards = {};
  for (const [name, server] of Object.entries(servers))
    guards[name] = await s.peer('./guard.mjs', [server.url, as.issuer, AHEAD]);
  const d = await s.daemon({ mcpServers: Object.fromEntries(Object.entries(guards).map(([name, g]) => [name, { url: g.resource }])) });
  for (const [name, g] of Object.entries(guards)) {
    await step(`${name}: authorization code flow, token imported`, async () => {
      const r = await d.ctl(['token', 'import', name], { input: JSON.stringify(await as.ask('authorize', g.resource)) });
      holds(r.ok, r.text);
    });
  }
  await walk(d, guards);

  console.log(`load: ${seconds} s, tokens of ${LIFE} s, the wall ${AHEAD} s ahead`);
  const before = { ledger: await as.ask('ledger'), memory: memory(d.child.pid), cpu: cpu(d.child.pid), own: cpu(process.pid) };
  const result = await load({ seconds, guards, kinds: overHttp, way: (k) => ({ socket: d.socket(k.name) }) });
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
  console.log(`      daemon: private memory ${before.memory} -> ${memory(d.child.pid)} KiB; ` +
    `${(cpu(d.child.pid) - before.cpu).toFixed(2)} s of CPU, the clients ${(cpu(process.pid) - before.own).toFixed(1)}`);
  await checkEnd('traffic', d, await as.ask('secrets'));
}
