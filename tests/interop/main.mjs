// The daemon between official peers, part by part; the last line counts.
// INTEROP_SECONDS: of load; INTEROP_LOG: the daemon's log level; INTEROP_KEEP=1
// keeps the logs of a part that failed; INTEROP_ONLY: one part's name;
// INTEROP_SHOTS: where pictures of the last pages go.
import { lines } from './lines.mjs';
import { logins } from './login.mjs';
import { report, scene } from './scene.mjs';
import { second } from './second.mjs';
import { traffic } from './traffic.mjs';

const parts = { traffic, lines, logins, second };
for (const [name, part] of Object.entries(parts))
  if (!process.env.INTEROP_ONLY || process.env.INTEROP_ONLY === name)
    await scene(name, part);
process.exit(report());
