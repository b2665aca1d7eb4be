// Clients that speak lines of JSON, with official peers on both sides:
//   SDK clients' stdio transport, MCP Inspector -> mcp-authctl connect, nc, socat
//     -> mcp-authd -> guard.mjs -> server-everything, modern.mjs
import { join } from 'node:path';
import { open, said } from './client.mjs';
import { load } from './load.mjs';
import { AHEAD, LIFE, check, checkEnd, holds, run, same, step, until } from './scene.mjs';
import { walkLegacy, walkModern } from './walk.mjs';

const SECONDS = 10;		// of load
const bin = (name) => join(import.meta.dirname, 'node_modules/.bin', name);

const kinds = [
  { kind: 'v1 stdio', name: 'everything', version: 1, mode: 'legacy' },
  { kind: 'v2 stdio', name: 'everything', version: 2, mode: 'legacy' },
  { kind: 'v2 stdio modern', name: 'modern', version: 2, mode: { pin: '2026-07-28' } },
];

// What a shell does: all lines at once, then the end.
async function byHand(d) {
  const hello = { jsonrpc: '2.0', id: 1, method: 'initialize', params: {
    protocolVersion: '2025-11-25', capabilities: {}, clientInfo: { name: 'sh', version: '1' } } };
  const input = [hello, { jsonrpc: '2.0', method: 'notifications/initialized' },
    { jsonrpc: '2.0', id: 'two', method: 'tools/list' },
    { jsonrpc: '2.0', id: 3, method: 'tools/call', params: { name: 'echo', arguments: { message: 'by hand' } } },
  ].map((m) => JSON.stringify(m)).join('\n');		// no newline behind the last
  const socket = d.socket('everything');
  for (const [what, program, args] of [['nc -NU', 'nc', ['-NU', socket]], ['socat', 'socat', ['-t', '20', '-', `UNIX-CONNECT:${socket}`]],
    ['connect', ...((w) => [w.via[0], w.via.slice(1)])(d.connect('everything'))]]) {
    await step(`${what}: lines piped in, every request answered`, async () => {
      const r = await run(program, args, { input, env: { ...d.connect('everything').env, PATH: process.env.PATH } });
      const answers = new Map(r.out.trim().split('\n').map((l) => JSON.parse(l)).filter((m) => m.id !== undefined && !m.method).map((m) => [m.id, m]));
      same([...answers.keys()].sort().join(), '1,3,two');
      same(said(answers.get(3).result), 'Echo: by hand');
      holds(answers.get('two').result.tools.length > 5, 'no tools');
    });
  }
}

async function inspector(d) {
  const { via, env } = d.connect('everything');
  // It starts the command with an environment of its own making.
  const cli = (args) => run(bin('node'), [bin('inspector'), '--cli', '-e', `XDG_RUNTIME_DIR=${env.XDG_RUNTIME_DIR}`, ...via, ...args], { env });
  const story = [
    ['tools/list', [], (r) => r.tools.some((t) => t.name === 'get-sum')],
    ['tools/call', ['--tool-name', 'get-sum', '--tool-arg', 'a=2', 'b=40'], (r) => said(r) === 'The sum of 2 and 40 is 42.'],
    ['resources/read', ['--uri', 'demo://resource/dynamic/text/1'], (r) => r.contents[0].text.startsWith('Resource 1: ')],
    ['prompts/get', ['--prompt-name', 'args-prompt', '--prompt-args', 'city=Bern'], (r) => r.messages[0].content.text === 'What\'s weather in Bern?'],
  ];
  for (const [method, args, good] of story) {
    await step(`MCP Inspector: ${method}`, async () => {
      const r = await cli(['--method', method, ...args]);
      holds(r.ok && good(JSON.parse(r.out)), r.text);
    });
  }
}

// Each asks, is asked and subscribes for itself.
async function several(d) {
  await step('eight at a time, nobody hears what is another\'s', async () => {
    const ways = [d.connect('everything'), { via: ['nc', '-U', d.socket('everything')], env: { PATH: process.env.PATH } },
      { via: ['socat', '-', `UNIX-CONNECT:${d.socket('everything')}`], env: { PATH: process.env.PATH } }, { socket: d.socket('everything') }];
    const all = await Promise.all(Array.from({ length: 8 }, (_, i) => open({ version: 1 + i % 2, ...ways[i >> 1] })));
    await Promise.all(all.map(async (c, i) => {
      const uri = `demo://resource/dynamic/text/${i + 1}`;
      await c.client.subscribeResource({ uri });
      await c.call('toggle-subscriber-updates', {});
      const r = await c.call('trigger-sampling-request', { prompt: `of ${i}`, maxTokens: 10 });
      holds(said(r).includes(`context: of ${i}`), said(r));
      await until(() => c.updates.length > 0);
    }));
    for (const [i, c] of all.entries()) {
      same([...new Set(c.updates)].join(), `demo://resource/dynamic/text/${i + 1}`);
      same(c.asked.sampling, 1);
      same(c.errors.join(), '');
    }
    await Promise.all(all.map((c) => c.leave()));
  });
}

async function eras(d) {
  for (const [name, era] of [['everything', 'legacy'], ['modern', 'modern']]) {
    await step(`v2 auto, stdio: finds out that ${name} is ${era}`, async () => {
      const c = await open({ version: 2, mode: 'auto', ...d.connect(name) });
      same(c.client.getProtocolEra(), era);
      same(said(await c.call('echo', { message: 'x' })), 'Echo: x');
      await c.leave();
    });
  }
}

export async function lines(s) {
  const as = await s.peer('./as.mjs', [LIFE]);
  const servers = { everything: await s.peer('./everything.mjs', []), modern: await s.peer('./modern.mjs', []) };
  const guards = {};
  for (const [name, server] of [['everything', 'everything'], ['second', 'everything'], ['nc', 'everything'], ['modern', 'modern']])
    guards[name] = await s.peer('./guard.mjs', [servers[server].url, as.issuer, AHEAD]);
  const d = await s.daemon({ mcpServers: Object.fromEntries(Object.entries(guards).map(([name, g]) => [name, { url: g.resource }])) });
  for (const [name, g] of Object.entries(guards)) {
    const r = await d.ctl(['token', 'import', name], { input: JSON.stringify(await as.ask('authorize', g.resource)) });
    holds(r.ok, r.text);
  }
  // Each walk breaks streams of its own guard alone, so that they can run side by side.
  await Promise.all([
    walkLegacy({ name: 'v1 stdio, connect', guard: guards.everything, version: 1, ...d.connect('everything') }),
    walkLegacy({ name: 'v2 stdio, connect', guard: guards.second, version: 2, ...d.connect('second') }),
    walkLegacy({ name: 'v1 stdio, nc -U', guard: guards.nc, version: 1, via: ['nc', '-U', d.socket('nc')], env: { PATH: process.env.PATH } }),
    walkModern({ name: 'v2 stdio modern, connect', guard: guards.modern, ...d.connect('modern') }),
  ]);
  await eras(d);
  await byHand(d);
  await inspector(d);
  await several(d);

  console.log(`load: ${SECONDS} s, tokens of ${LIFE} s, the wall ${AHEAD} s ahead`);
  const { calls } = await load({ seconds: SECONDS, guards, kinds, way: (k) => d.connect(k.name) });
  for (const [kind, n] of Object.entries(calls))
    check(`load: ${kind}`, n.failed === 0 && n.done > 0, `${n.done} calls, ${n.failed} failed${n.why ? `, first: ${n.why}` : ''}`);
  for (const [name, g] of Object.entries(guards)) {
    const counts = await g.ask('counts');
    check(`${name}: no call sent more than twice, none let through twice`, counts.mostSent <= 2 && counts.mostPassed === 1,
      `at most ${counts.mostSent} and ${counts.mostPassed}`);
    check(`${name}: nothing strange at the wall`, counts.strange.length === 0, counts.strange.slice(0, 5).join('; '));
  }
  const ledger = await as.ask('ledger');
  check('0 replays of a spent refresh token', ledger.replays === 0, ledger.replays);
  check('the authorization server refused nothing', ledger.errors.length === 0, ledger.errors.slice(0, 5).join('; '));
  // Its event store replays priming events, as messages: {}.
  await checkEnd('lines', d, await as.ask('secrets'), /upstream=(everything|second|nc) event=line a message of the server that is no JSON-RPC is dropped/);
}
