// Many clients of every kind at once, all the time; every answer is compared.
import { setTimeout as pause } from 'node:timers/promises';
import { open, said } from './client.mjs';

export const overHttp = [
  { kind: 'v1 legacy', name: 'everything', version: 1, mode: 'legacy' },
  { kind: 'v2 legacy', name: 'everything', version: 2, mode: 'legacy' },
  { kind: 'v2 modern', name: 'modern', version: 2, mode: { pin: '2026-07-28' } },
];
const CLIENTS = 4, LANES = 4;	// of each kind; calls at once of each client

function expect(got, wanted) {
  if (got !== wanted)
    throw new Error(`got ${JSON.stringify(got)?.slice(0, 200)}, wanted ${JSON.stringify(wanted)}`);
}

// One call; `n` makes it different from every other.
async function one(c, modern, n) {
  const k = n % 20;
  if (k === 3) {
    const p = await c.client.getPrompt({ name: 'args-prompt', arguments: { city: `C${n}` } });
    expect(p.messages[0].content.text, `What's weather in C${n}?`);
  } else if (k === 7) {
    const r = await c.client.readResource({ uri: `demo://resource/dynamic/text/${n + 1}` });
    expect(r.contents[0].text.split(':')[0], `Resource ${n + 1}`);
  } else if (k === 11 && !modern) {
    const r = await c.call('trigger-sampling-request', { prompt: `P${n}`, maxTokens: 10 });
    expect(said(r).includes(`sampled: Resource trigger-sampling-request context: P${n}`), true);
  } else if (k === 11) {
    expect(said(await c.call('ask', { serial: n })), 'Hello Ada');
  } else if (k === 15) {
    // A set: server-everything's event store replays the events of every stream
    // to whichever is resumed, so that a step may come twice.
    const steps = new Set();
    await c.call(modern ? 'long' : 'trigger-long-running-operation', { duration: 0.3 + n / 1e7, steps: 3 },
      { onprogress: (p) => steps.add(p.progress) });
    expect([...steps].join(), '1,2,3');
  } else if (k === 19) {
    const message = `${n} ` + 'x'.repeat(30000);
    expect(said(await c.call('echo', { message })), `Echo: ${message}`);
  } else
    expect(said(await c.call('echo', { message: `m${n}` })), `Echo: m${n}`);
}

// A session ends and another begins from time to time.
async function client(k, count, ends, serial) {
  const modern = k.name === 'modern';
  while (Date.now() < ends) {
    let c;
    const attempt = async (f) => {
      const began = performance.now();
      try {
        await f();
        count.done++;
        count.times.push(performance.now() - began);
      } catch (e) {
        count.failed++;
        count.why ??= `${new Date().toISOString()} ${e?.stack ?? e}`;
        await pause(100);
      }
    };
    await attempt(async () => c = await open(k));
    if (!c)
      continue;
    const until = Math.min(ends, Date.now() + 8000 + Math.random() * 8000);
    await Promise.all(Array.from({ length: LANES }, async () => {
      while (Date.now() < until) {
        await attempt(() => one(c, modern, serial.n++));
        await pause(Math.random() * 20);
      }
    }));
    await attempt(() => modern ? c.close() : c.leave());
  }
}

// way(kind): what open() takes to get there.
export async function load({ seconds, guards, kinds, way }) {
  const ends = Date.now() + seconds * 1000;
  const serial = { n: 0 };
  const calls = {};
  const all = kinds.flatMap((k) => {
    calls[k.kind] = { done: 0, failed: 0, times: [] };
    return Array.from({ length: CLIENTS }, () => client({ ...k, ...way(k) }, calls[k.kind], ends, serial));
  });
  // GET streams break now and then, and come back with whatever token there is.
  all.push((async () => {
    while (Date.now() < ends) {
      await pause(Math.min(2700, Math.max(0, ends - Date.now())), null);
      await guards.everything.ask('cut', { method: 'GET' });
    }
  })());
  await Promise.all(all);
  for (const c of Object.values(calls))
    c.times.sort((a, b) => a - b);
  return { calls };
}
