// The wall in front of an MCP server: lets nothing pass without a good token
// of scope mcp, nor the tool get-env without mcp:env; relays bytes as they
// come, counts, and cuts streams when told to.
//   guard.mjs TARGET ISSUER AHEAD
// AHEAD: its clock is that many seconds ahead of everybody's, so that tokens
// are rejected while their holder has reason to believe in them.
import http from 'node:http';
import { createHash } from 'node:crypto';
import { createRemoteJWKSet, jwtVerify } from 'jose';
import { listen, serve } from './child.mjs';

const target = new URL(process.argv[2]);
const issuer = process.argv[3];
const ahead = Number(process.argv[4]) * 1000;
const agent = new http.Agent({ keepAlive: true, maxSockets: Infinity });
const counts = { requests: 0, rejected: { POST: 0, GET: 0, DELETE: 0 }, passed: { POST: 0, GET: 0, DELETE: 0 },
  responses: 0, rejectedResponses: 0, resumed: 0, deleted: 0, cut: 0, mostSent: 0, mostPassed: 0, strange: [] };
const calls = new Map();		// hash of a tools/call -> [sent, passed]
const known = new Map();		// token -> {until, scope}
const live = new Set();

let keys;			// the issuer may come up after this

const server = http.createServer({ keepAliveTimeout: 5000 }, handle);
server.on('clientError', (e, socket) => {
  // Node reports a peer that leaves amid an answer here, too.
  if (e.code !== 'ECONNRESET' && e.code !== 'EPIPE')
    counts.strange.push(`client error ${e.code}`);
  socket.destroy();
});
const origin = `http://127.0.0.1:${await listen(server)}`;
const resource = `${origin}/mcp`;
const about = `${origin}/.well-known/oauth-protected-resource/mcp`;

async function verify(token) {
  if (!keys) {
    const metadata = await (await fetch(`${issuer}/.well-known/openid-configuration`)).json();
    keys = createRemoteJWKSet(new URL(metadata.jwks_uri));
  }
  const { payload } = await jwtVerify(token, keys, {
    issuer, audience: resource, typ: 'at+jwt', clockTolerance: 60 });
  return { until: payload.exp * 1000, scope: payload.scope?.split(' ') ?? [] };
}

// The scopes of the request's token; null: it is no good.
async function held(req) {
  const token = /^Bearer ([\w.~+/-]+=*)$/.exec(req.headers.authorization ?? '')?.[1];
  if (!token)
    return null;
  try {
    if (!known.has(token))
      known.set(token, await verify(token));
  } catch (e) {
    counts.strange.push(`token: ${e.message}`);
    return null;
  }
  const { until, scope } = known.get(token);
  return Date.now() + ahead < until ? scope : null;
}

const needed = (body) => /"name":\s*"get-env"/.test(body) ? 'mcp:env' : 'mcp';

function refuse(res, status, error, words) {
  res.writeHead(status, {
    'www-authenticate': `Bearer error="${error}", ${words}, resource_metadata="${about}"`,
    'content-type': 'application/json',
  });
  res.end(JSON.stringify({ error }));
}

// Contract: no request is sent more than twice, nor let through more than once.
function tally(req, body, ok) {
  const text = body.toString();
  const response = req.method === 'POST' && !/"method":/.test(text);
  if (response)
    counts[ok ? 'responses' : 'rejectedResponses']++;
  if (!text.includes('"tools/call"'))
    return;
  const hash = createHash('sha1').update(`${req.headers['mcp-session-id']}\n${text}`).digest('base64');
  const n = calls.get(hash) ?? [0, 0];
  n[0]++;
  n[1] += ok;
  calls.set(hash, n);
  counts.mostSent = Math.max(counts.mostSent, n[0]);
  counts.mostPassed = Math.max(counts.mostPassed, n[1]);
}

function relay(req, res, body) {
  const headers = { ...req.headers, host: target.host };
  delete headers.authorization;
  const up = http.request(target, { method: req.method, headers, agent });
  const one = { method: req.method, session: req.headers['mcp-session-id'], tag: body.toString(), up, res };
  live.add(one);
  res.on('close', () => {
    live.delete(one);
    if (!res.writableFinished) {
      one.gone = true;
      up.destroy();
    }
  });
  up.on('response', (answer) => {
    if (req.method === 'DELETE' && answer.statusCode === 200)
      counts.deleted++;
    if (answer.statusCode >= 500)
      counts.strange.push(`${req.method}: ${answer.statusCode}`);
    res.writeHead(answer.statusCode, answer.headers);
    res.flushHeaders();
    answer.on('error', () => res.destroy());
    answer.pipe(res);
  });
  up.on('error', (e) => {
    if (!one.gone)
      counts.strange.push(`upstream: ${e.code}`);
    res.destroy();
  });
  up.end(body);
}

async function handle(req, res) {
  if (req.url === '/.well-known/oauth-protected-resource/mcp' || req.url === '/.well-known/oauth-protected-resource') {
    res.setHeader('content-type', 'application/json');
    res.end(JSON.stringify({ resource, authorization_servers: [issuer], scopes_supported: ['mcp', 'mcp:env'] }));
    return;
  }
  const parts = [];
  try {
    for await (const part of req)
      parts.push(part);
  } catch {
    return;
  }
  const body = Buffer.concat(parts);
  const scope = await held(req);
  const need = needed(body.toString());
  const ok = scope?.includes(need) ?? false;
  counts.requests++;
  counts[ok ? 'passed' : 'rejected'][req.method]++;
  tally(req, body, ok);
  if (!scope) {
    refuse(res, 401, 'invalid_token', 'error_description="expired", scope="mcp"');
    return;
  }
  if (!ok) {
    refuse(res, 403, 'insufficient_scope', `scope="${need}"`);
    return;
  }
  if (req.method === 'GET' && req.headers['last-event-id'])
    counts.resumed++;
  relay(req, res, body);
}

// Breaks the connections of streams: {method, session, tag} as far as given.
function cut(which) {
  let n = 0;
  for (const one of live) {
    if ((which.method && one.method !== which.method) || (which.session && one.session !== which.session) ||
        (which.tag && !one.tag.includes(which.tag)))
      continue;
    one.gone = true;
    one.res.socket?.destroy();
    one.up.destroy();
    n++;
  }
  counts.cut += n;
  return n;
}

serve({ resource }, {
  counts: () => counts,
  cut,
  live: (which) => [...live].filter((one) => (!which.method || one.method === which.method) &&
    (!which.tag || one.tag.includes(which.tag))).length,
});
