// A peer as a process of its own: it says {ready: ...} once, answers {ask, ...}
// with {answer}, and ends with its parent.
import { fork } from 'node:child_process';
import { openSync, closeSync } from 'node:fs';
import { once } from 'node:events';
import { setTimeout as pause } from 'node:timers/promises';

// In the parent: starts `file`, waits until it is ready.
export async function start(file, args, log) {
  const fd = openSync(log, 'a');
  const child = fork(new URL(file, import.meta.url), args.map(String), {
    stdio: ['ignore', fd, fd, 'ipc'],
    env: { PATH: process.env.PATH, HOME: process.env.HOME },
  });
  closeSync(fd);
  const waiting = new Map();
  let serial = 0;
  const ready = new Promise((resolve, reject) => {
    child.once('exit', (code) => reject(new Error(`${file} ended with ${code}; see ${log}`)));
    child.on('message', (m) => {
      if (m.ready)
        resolve(m.ready);
      else
        waiting.get(m.serial)?.(m.answer);
    });
  });
  const info = await Promise.race([ready, pause(60000, null, { ref: false }).then(() => {
    throw new Error(`${file} is not ready after a minute; see ${log}`);
  })]);
  return {
    ...info,
    child,
    ask: (what, arg) => new Promise((resolve) => {
      waiting.set(++serial, resolve);
      child.send({ serial, ask: what, arg });
    }),
    stop: async () => {
      if (child.exitCode !== null || child.signalCode !== null)
        return;
      child.kill('SIGKILL');
      await once(child, 'exit');
    },
  };
}

// In the child.
export function serve(info, answers) {
  process.on('disconnect', () => process.exit(0));
  process.on('message', async (m) => {
    process.send({ serial: m.serial, answer: await answers[m.ask](m.arg) });
  });
  process.send({ ready: info });
}

export async function listen(server) {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return server.address().port;
}
