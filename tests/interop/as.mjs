// A real authorization server: oidc-provider with its own defaults, and
// registration, the device flow, client credentials, revocation, introspection
// and resource indicators switched on; JWT access tokens of a few seconds.
// Refresh tokens rotate, and a second use of one revokes the whole grant.  It
// keeps a ledger of what was asked.
//   as.mjs SECONDS [CLIENTS]	lifetime of an access token; further clients, JSON
import { createServer } from 'node:http';
import { createHash, generateKeyPairSync, randomBytes } from 'node:crypto';
import Provider from 'oidc-provider';
import { listen, serve } from './child.mjs';
import { walker } from './walker.mjs';

const life = Number(process.argv[2]);
const client = 'mcp-authd-interop';
const redirect = 'http://127.0.0.1/callback';
const watcher = { id: 'watcher', secret: randomBytes(16).toString('hex') };
const ledger = { issued: 0, refreshes: {}, replays: 0, errors: [],
  registrations: [], authorizations: [], tokens: [], revocations: [] };
const spent = new Set();
const secrets = new Set();	// whatever no log may show
const latest = {};		// kind of token -> the one given out last

const server = createServer();
const issuer = `http://127.0.0.1:${await listen(server)}`;
const key = (type, options, alg) => ({
  ...generateKeyPairSync(type, options).privateKey.export({ format: 'jwk' }), alg, use: 'sig',
});

const provider = new Provider(issuer, {
  clients: [{
    client_id: client, application_type: 'native', token_endpoint_auth_method: 'none',
    grant_types: ['authorization_code', 'refresh_token'], response_types: ['code'],
    redirect_uris: [redirect],
  }, {
    client_id: watcher.id, client_secret: watcher.secret, redirect_uris: [], response_types: [], grant_types: [],
  }, ...JSON.parse(process.argv[3] ?? '[]')],
  clientAuthMethods: ['none', 'client_secret_basic', 'client_secret_post', 'private_key_jwt'],
  enabledJWA: { clientAuthSigningAlgValues: ['RS256', 'ES256'] },
  jwks: { keys: [key('rsa', { modulusLength: 2048 }, 'RS256'), key('ec', { namedCurve: 'P-256' }, 'ES256')] },
  cookies: { keys: [randomBytes(16).toString('hex')] },
  ttl: { AccessToken: life, ClientCredentials: life, RefreshToken: 86400, Grant: 86400, Session: 86400, Interaction: 600,
    IdToken: 600, AuthorizationCode: 60, DeviceCode: 60 },
  findAccount: (ctx, id) => ({ accountId: id, claims: () => ({ sub: id }) }),
  features: {
    devInteractions: { enabled: true },
    clientCredentials: { enabled: true },
    deviceFlow: { enabled: true },
    introspection: { enabled: true },
    registration: { enabled: true },
    revocation: { enabled: true },
    resourceIndicators: {
      enabled: true,
      getResourceServerInfo: (ctx, resource) => ({
        scope: 'mcp mcp:env', audience: resource, accessTokenTTL: life,
        accessTokenFormat: 'jwt', jwt: { sign: { alg: 'ES256' } },
      }),
    },
  },
});

const PRIVATE = ['code', 'state', 'code_verifier', 'device_code', 'client_assertion', 'client_secret',
  'access_token', 'refresh_token', 'id_token', 'registration_access_token'];

function keepSecrets(o) {
  for (const k of PRIVATE) {
    if (typeof o?.[k] === 'string')
      secrets.add(o[k]);
  }
}

function noteToken(ctx, p) {
  const assertion = p.client_assertion?.split('.')[0];
  ledger.tokens.push({ grant: p.grant_type, client: ctx.oidc.client?.clientId, resource: p.resource, scope: p.scope,
    verifier: p.code_verifier !== undefined, granted: ctx.body?.scope, error: ctx.body?.error,
    alg: assertion && JSON.parse(Buffer.from(assertion, 'base64url')).alg });
  for (const k of ['access_token', 'refresh_token'])
    latest[k] = ctx.body?.[k] ?? latest[k];
  if (p.grant_type !== 'refresh_token')
    return;
  ledger.refreshes[p.resource] = (ledger.refreshes[p.resource] ?? 0) + 1;
  ledger.replays += spent.has(p.refresh_token);
  spent.add(p.refresh_token);
}

provider.use(async (ctx, next) => {
  await next();
  const p = ctx.oidc?.params ?? {};
  keepSecrets(p);
  keepSecrets(ctx.body);
  switch (ctx.oidc?.route) {
  case 'token':
    noteToken(ctx, p);
    break;
  case 'registration':
    ledger.registrations.push({ status: ctx.status, asked: ctx.oidc.body, id: ctx.body?.client_id });
    break;
  case 'authorization':
  case 'device_authorization':
    ledger.authorizations.push({ client: p.client_id, scope: p.scope, resource: p.resource,
      method: p.code_challenge_method, prompt: p.prompt, redirect: p.redirect_uri });
    break;
  case 'revocation':
    ledger.revocations.push({ status: ctx.status, hint: p.token_type_hint });
  }
});
provider.on('grant.success', () => ledger.issued++);
for (const e of ['authorization', 'device_authorization', 'grant', 'registration_create', 'revocation'])
  provider.on(`${e}.error`, (ctx, x) => ledger.errors.push(`${e}: ${x.error}: ${x.error_detail ?? x.error_description}`));
provider.on('server_error', (ctx, e) => ledger.errors.push(String(e?.stack)));
server.on('request', provider.callback());

// What RFC 7662 says of it.
async function active(token) {
  const r = await fetch(`${issuer}/token/introspection`, {
    method: 'POST', body: new URLSearchParams({ token }),
    headers: { authorization: `Basic ${btoa(`${watcher.id}:${watcher.secret}`)}` },
  });
  return (await r.json()).active;
}

// A login without the daemon: what a token import takes.
async function authorize(resource) {
  const verifier = randomBytes(32).toString('base64url');
  const state = randomBytes(8).toString('hex');
  const { url } = await walker().visit(`${issuer}/auth?` + new URLSearchParams({
    client_id: client, response_type: 'code', redirect_uri: redirect, resource, state,
    scope: 'mcp offline_access', prompt: 'consent',
    code_challenge: createHash('sha256').update(verifier).digest('base64url'), code_challenge_method: 'S256',
  }), { stop: true });
  const back = new URL(url).searchParams;
  if (back.get('state') !== state || !back.get('code'))
    throw new Error(`no code: ${url}`);
  const r = await fetch(`${issuer}/token`, {
    method: 'POST',
    body: new URLSearchParams({
      grant_type: 'authorization_code', code: back.get('code'), redirect_uri: redirect,
      code_verifier: verifier, client_id: client, resource,
    }),
  });
  const t = await r.json();
  if (!t.refresh_token)
    throw new Error(`no refresh token: ${JSON.stringify({ ...t, access_token: undefined })}`);
  return {
    access_token: t.access_token, refresh_token: t.refresh_token, expires_in: t.expires_in,
    token_endpoint: `${issuer}/token`, issuer, client_id: client, resource, scope: t.scope,
  };
}

serve({ issuer }, { ledger: () => ledger, authorize, secrets: () => [...secrets],
  latest: (kind) => latest[kind], active });
