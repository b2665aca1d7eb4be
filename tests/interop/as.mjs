// A real authorization server: oidc-provider with PKCE, resource indicators,
// JWT access tokens of a few seconds and refresh tokens that rotate; a second
// use of one revokes the whole grant.  It keeps a ledger of what was asked.
//   as.mjs SECONDS		lifetime of an access token
import { createServer } from 'node:http';
import { createHash, generateKeyPairSync, randomBytes } from 'node:crypto';
import Provider from 'oidc-provider';
import { listen, serve } from './child.mjs';

const life = Number(process.argv[2]);
const client = 'mcp-authd-interop';
const redirect = 'http://127.0.0.1/callback';
const ledger = { issued: 0, refreshes: {}, replays: 0, errors: [] };
const spent = new Set();
const secrets = new Set();	// every token that was ever given out

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
  }],
  jwks: { keys: [key('rsa', { modulusLength: 2048 }, 'RS256'), key('ec', { namedCurve: 'P-256' }, 'ES256')] },
  cookies: { keys: [randomBytes(16).toString('hex')] },
  pkce: { required: () => true },
  rotateRefreshToken: true,
  issueRefreshToken: () => true,
  scopes: ['openid', 'mcp'],
  ttl: { AccessToken: life, RefreshToken: 86400, Grant: 86400, Session: 86400, Interaction: 600, IdToken: 600, AuthorizationCode: 60 },
  findAccount: (ctx, id) => ({ accountId: id, claims: () => ({ sub: id }) }),
  features: {
    devInteractions: { enabled: true },
    revocation: { enabled: true },
    resourceIndicators: {
      enabled: true,
      getResourceServerInfo: (ctx, resource) => ({
        scope: 'mcp', audience: resource, accessTokenTTL: life,
        accessTokenFormat: 'jwt', jwt: { sign: { alg: 'ES256' } },
      }),
    },
  },
});

provider.use(async (ctx, next) => {
  await next();
  const p = ctx.oidc?.route === 'token' ? ctx.oidc.params : undefined;
  for (const k of ['access_token', 'refresh_token', 'id_token']) {
    if (p && ctx.body?.[k])
      secrets.add(ctx.body[k]);
  }
  if (p?.grant_type !== 'refresh_token')
    return;
  ledger.refreshes[p.resource] = (ledger.refreshes[p.resource] ?? 0) + 1;
  ledger.replays += spent.has(p.refresh_token);
  spent.add(p.refresh_token);
});
provider.on('grant.success', () => ledger.issued++);
provider.on('grant.error', (ctx, e) => ledger.errors.push(`${e.error}: ${e.error_detail ?? e.error_description}`));
provider.on('server_error', (ctx, e) => ledger.errors.push(String(e?.stack)));
server.on('request', provider.callback());

// A person with a browser: follows redirects, fills in every form.
async function authorize(resource) {
  const jar = new Map();
  const go = async (url, form) => {
    const r = await fetch(url, {
      redirect: 'manual', method: form ? 'POST' : 'GET', body: form,
      headers: { cookie: [...jar].map(([k, v]) => `${k}=${v}`).join('; ') },
    });
    for (const c of r.headers.getSetCookie()) {
      const [, k, v] = /^([^=]+)=([^;]*)/.exec(c);
      if (v === '')
        jar.delete(k);
      else
        jar.set(k, v);
    }
    return r;
  };
  const verifier = randomBytes(32).toString('base64url');
  const state = randomBytes(8).toString('hex');
  let url = `${issuer}/auth?` + new URLSearchParams({
    client_id: client, response_type: 'code', redirect_uri: redirect, scope: 'openid mcp', resource, state,
    code_challenge: createHash('sha256').update(verifier).digest('base64url'), code_challenge_method: 'S256',
  });
  let form;
  for (let step = 0; step < 20 && !url.startsWith(redirect); step++) {
    const r = await go(url, form);
    form = undefined;
    if (r.status >= 300 && r.status < 400) {
      url = new URL(r.headers.get('location'), url).href;
      continue;
    }
    const html = await r.text();
    const action = /<form[^>]*action="([^"]+)"/.exec(html);
    if (!action)
      throw new Error(`${url}: ${r.status}, no form: ${html.slice(0, 2000)}`);
    form = new URLSearchParams({ login: 'somebody', password: 'anything' });
    for (const [input] of html.matchAll(/<input[^>]*type="hidden"[^>]*>/g))
      form.set(/name="([^"]*)"/.exec(input)[1], /value="([^"]*)"/.exec(input)[1]);
    url = new URL(action[1], url).href;
  }
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

serve({ issuer }, { ledger: () => ledger, authorize, secrets: () => [...secrets] });
