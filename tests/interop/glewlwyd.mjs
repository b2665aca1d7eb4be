// A second authorization server, of other make: Debian's glewlwyd, started on
// a database of its own and configured over its API as an administrator would:
// OpenID Connect with registration, device flow, revocation, introspection,
// resource indicators and refresh tokens of one use.
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { closeSync, copyFileSync, existsSync, mkdirSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { generateKeyPairSync } from 'node:crypto';
import { createServer } from 'node:net';
import { DatabaseSync } from 'node:sqlite';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { listen } from './child.mjs';
import { own, until } from './scene.mjs';

export const person = { username: 'somebody', password: 'anything-at-all' };

// Where it is: installed, or unpacked by tests/interop/install; null: nowhere.
export function find() {
  return ['', join(process.cwd(), 'build/interop/glewlwyd')]
    .find((root) => existsSync(join(root || '/', 'usr/bin/glewlwyd'))) ?? null;
}

async function freePort() {
  const server = createServer();
  const port = await listen(server);
  await new Promise((done) => server.close(done));
  return port;
}

function config(root, dir, port) {
  const mime = Object.entries({ '.html': 'text/html', '.css': 'text/css', '.js': 'application/javascript', '.json': 'application/json',
    '.png': 'image/png', '.ttf': 'font/ttf', '.woff': 'font/woff', '.woff2': 'font/woff2', '.ico': 'image/x-icon' });
  const modules = Object.entries({ user: 'user', client: 'client', user_auth_scheme: 'scheme', plugin: 'plugin', user_middleware: 'user_middleware' });
  return `port = ${port}
bind_address = "127.0.0.1"
external_url = "http://127.0.0.1:${port}"
login_url = "login.html"
api_prefix = "api"
static_files_path = "${dir}/webapp/"
log_mode = "file"
log_level = "WARNING"
log_file = "${dir}/glewlwyd.log"
cookie_domain = "127.0.0.1"
cookie_secure = 0
session_expiration = 3600
session_key = "GLEWLWYD2_SESSION_ID"
admin_scope = "g_admin"
profile_scope = "g_profile"
hash_algorithm = "SHA512"
database = { type = "sqlite3" path = "${dir}/glewlwyd.db" }
${modules.map(([k, v]) => `${k}_module_path = "${root}/usr/lib/glewlwyd/${v}"`).join('\n')}
static_files_mime_types = ( ${mime.map(([k, v]) => `{ extension = "${k}" mime_type = "${v}" compress = 0 }`).join(', ')} )
`;
}

function query(file, f) {
  const db = new DatabaseSync(file);
  try {
    return f(db);
  } finally {
    db.close();
  }
}

// What it knows of refresh tokens: given out again, and still good.
function ledger(file) {
  const count = (db, where) => db.prepare(`SELECT count(*) AS n FROM gpo_refresh_token ${where}`).get().n;
  return query(file, (db) => ({ refreshed: count(db, ''), live: count(db, 'WHERE gpor_enabled = 1') }));
}

function plugin({ issuer, life, resource }) {
  const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  return {
    module: 'oidc', name: 'oidc', display_name: 'oidc', order_rank: 0, readonly: false,
    parameters: {
      iss: issuer, 'jwt-type': 'rsa', 'jwt-key-size': '256',
      key: privateKey.export({ type: 'pkcs8', format: 'pem' }), cert: publicKey.export({ type: 'spki', format: 'pem' }),
      'jwks-show': true, 'subject-type': 'public', 'oauth-as-iss-id': true,
      'code-duration': 60, 'access-token-duration': life, 'refresh-token-duration': 3600, 'refresh-token-rolling': true,
      'refresh-token-one-use': 'always', 'allow-non-oidc': true,
      'auth-type-code-enabled': true, 'auth-type-code-revoke-replayed': true, 'auth-type-refresh-enabled': true,
      'auth-type-device-enabled': true, 'device-authorization-expiration': 60, 'device-authorization-interval': 1,
      'allowed-scope': ['openid', 'mcp', 'mcp:env'],
      'pkce-allowed': true, 'pkce-method-plain-allowed': false, 'pkce-required': true,
      'introspection-revocation-allowed': true, 'introspection-revocation-allow-target-client': true,
      'introspection-revocation-auth-scope': [],
      'register-client-allowed': true, 'register-client-auth-scope': [], 'register-client-credentials-scope': [],
      'register-client-management-allowed': false,
      'resource-allowed': true, 'resource-scope': { openid: [resource], mcp: [resource], 'mcp:env': [resource] },
      'resource-client-property': '', 'resource-scope-and-client-property': false,
    },
  };
}

// The administrator: one session, JSON.
async function administer(origin, wish) {
  let cookie = '';
  const api = async (path, body, method = 'POST') => {
    const r = await fetch(`${origin}/api/${path}`, { method, body: JSON.stringify(body), headers: { 'content-type': 'application/json', cookie } });
    if (!r.ok)
      throw new Error(`glewlwyd: ${method} ${path}: ${r.status} ${await r.text()}`);
    cookie ||= r.headers.getSetCookie().map((c) => c.split(';')[0]).join('; ');
  };
  await api('auth', { username: 'admin', password: 'password' });
  for (const name of ['mcp', 'mcp:env'])
    await api('scope', { name, display_name: name, password_required: true, scheme: {} });
  await api('user', { ...person, name: 'Somebody', scope: ['g_profile', 'openid', 'mcp', 'mcp:env'], enabled: true });
  await api('mod/plugin', plugin(wish));
}

// {issuer, configure({resource, life})}: the resource has to be known before it can be allowed.
export async function start(s, root) {
  const dir = join(s.dir, 'glewlwyd');
  const port = await freePort();
  const origin = `http://127.0.0.1:${port}`;
  const db = join(dir, 'glewlwyd.db');
  mkdirSync(dir);
  // Debian's config.json is a link to a folder.
  spawnSync('cp', ['-rL', `${root}/usr/share/glewlwyd/webapp`, dir]);
  rmSync(join(dir, 'webapp/config.json'), { recursive: true, force: true });
  copyFileSync(`${root}/usr/share/glewlwyd/templates/config.json`, join(dir, 'webapp/config.json'));
  writeFileSync(join(dir, 'glewlwyd.conf'), config(root, dir, port));
  query(db, (x) => x.exec(gunzipSync(readFileSync(`${root}/usr/share/doc/glewlwyd/database/init.sqlite3.sql.gz`)).toString()));
  const fd = openSync(s.log('glewlwyd'), 'a');
  const libs = root && execFileSync('sh', ['-c', `echo '${root}'/usr/lib/*-linux-gnu*`]).toString().trim();
  const child = spawn(`${root}/usr/bin/glewlwyd`, [`--config-file=${dir}/glewlwyd.conf`],
    { stdio: ['ignore', fd, fd], env: { PATH: process.env.PATH, ...(libs && { LD_LIBRARY_PATH: libs }) } });
  closeSync(fd);
  own(s, child);
  await until(async () => child.exitCode !== null || fetch(`${origin}/config`).then(() => true, () => false));
  if (child.exitCode !== null)
    throw new Error(`glewlwyd ended with ${child.exitCode}:\n${readFileSync(s.log('glewlwyd'))}`);
  const issuer = `${origin}/api/oidc`;
  return { issuer, origin, ledger: () => ledger(db), configure: (wish) => administer(origin, { issuer, ...wish }) };
}
