// Somebody at the desktop: `mcp-authctl login` with $BROWSER, and what opens
// there is visited with Chromium if there is one, else by a plain walk.
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { browser } from './browser.mjs';
import { walker } from './walker.mjs';

function hasChromium() {
  try {
    execFileSync('which', ['chromium'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

// $BROWSER leaves what it was given in a folder; whole files only.
function makeScript(dir) {
  const opened = join(dir, 'opened');
  const script = join(dir, 'browser');
  mkdirSync(opened);
  writeFileSync(script, `#!/bin/sh\nprintf '%s' "$1" >'${opened}'/.$$ && mv '${opened}'/.$$ '${opened}'/$$\n`, { mode: 0o700 });
  // The next URL; null: none yet.
  const take = () => {
    const name = readdirSync(opened).find((x) => !x.startsWith('.'));
    if (!name)
      return null;
    const url = readFileSync(join(opened, name), 'utf8');
    rmSync(join(opened, name));
    return url;
  };
  return { script, take };
}

export async function person(s) {
  const shots = process.env.INTEROP_SHOTS && resolve(process.env.INTEROP_SHOTS);
  if (shots)
    mkdirSync(shots, { recursive: true });
  const eyes = hasChromium() ? await browser({ dir: s.dir, log: s.log('chromium'), shots }) : walker();
  s.stops.push(eyes.close);
  const { script, take } = makeScript(s.dir);

  // All that is opened until `over()`: the last pages.
  async function watch(over, wish) {
    const pages = [];
    for (;;) {
      const ended = over();
      const url = take();
      if (url)
        pages.push(await eyes.visit(url, wish));
      else if (ended)
        return pages;
      else
        await pause(10);
    }
  }

  // `mcp-authctl login ARGS`, and the browser that it opens: {code, out, err, text, pages}.
  async function login(d, args, wish) {
    let over = false;
    const ctl = d.ctl(['login', ...args], { env: { BROWSER: script, DISPLAY: ':0' } }).finally(() => over = true);
    const pages = await watch(() => over, wish);
    return { ...await ctl, pages };
  }
  return { name: eyes.name, real: eyes.real, script, visit: eyes.visit, watch, login };
}
