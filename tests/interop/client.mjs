// The official client, v1 (@modelcontextprotocol/sdk) or v2
// (@modelcontextprotocol/client), with its fetch on a Unix socket or with its
// stdio transport: one shape for all.
import { Agent, fetch as undici } from 'undici';
import { Client as Client1 } from '@modelcontextprotocol/sdk/client/index.js';
import { StdioClientTransport as Stdio1 } from '@modelcontextprotocol/sdk/client/stdio.js';
import { StreamableHTTPClientTransport as Transport1 } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import * as types1 from '@modelcontextprotocol/sdk/types.js';
import { Client as Client2, StreamableHTTPClientTransport as Transport2 } from '@modelcontextprotocol/client';
import { StdioClientTransport as Stdio2 } from '@modelcontextprotocol/client/stdio';

const capabilities = { sampling: {}, elicitation: { form: {} }, roots: { listChanged: true } };

const schemas1 = {
  'sampling/createMessage': types1.CreateMessageRequestSchema,
  'elicitation/create': types1.ElicitRequestSchema,
  'roots/list': types1.ListRootsRequestSchema,
  'notifications/resources/updated': types1.ResourceUpdatedNotificationSchema,
  'notifications/message': types1.LoggingMessageNotificationSchema,
};

// What it answers when the server asks, and what it counts.
function handlers(c) {
  return {
    'sampling/createMessage': async (r) => {
      c.asked.sampling++;
      return { model: 'none', role: 'assistant', content: { type: 'text', text: `sampled: ${r.params.messages[0].content.text}` } };
    },
    'elicitation/create': async () => {
      c.asked.elicitation++;
      return { action: 'accept', content: { name: 'Ada' } };
    },
    'roots/list': async () => {
      c.asked.roots++;
      return { roots: [{ uri: 'file:///work', name: 'work' }] };
    },
  };
}

// HTTP on a Unix socket: {transport, close}.
function overHttp({ version, socket, path }) {
  const dispatcher = new Agent({ connect: { socketPath: socket }, bodyTimeout: 0, headersTimeout: 0 });
  const fetch = (url, init) => undici(url, { ...init, dispatcher });
  const options = { fetch, reconnectionOptions: {
    initialReconnectionDelay: 1000, maxReconnectionDelay: 2000, reconnectionDelayGrowFactor: 1.5, maxRetries: 100 } };
  const url = new URL(`http://localhost${path}`);
  return { transport: version === 1 ? new Transport1(url, options) : new Transport2(url, options), close: () => dispatcher.close() };
}

// Lines of JSON with a command that is spawned: [program, ...args].
function overLines({ version, via: [command, ...args], env }) {
  const options = { command, args, env, stderr: 'inherit' };
  return { transport: version === 1 ? new Stdio1(options) : new Stdio2(options), close: async () => {} };
}

// Both versions forget who waits for progress as soon as the answer is there,
// and look at a notification a moment later: of a last progress and an answer
// that come in one read, the progress is lost in the client.
function oneAtATime(transport) {
  const take = transport.onmessage;
  let before = Promise.resolve();
  transport.onmessage = (m, extra) => {
    before = before.then(() => new Promise((next) => setImmediate(next))).then(() => take(m, extra));
  };
}

// version: 1 or 2; mode (2 only): 'legacy', 'auto' or {pin}; socket and path, or via and env.
export async function open({ version, mode = 'legacy', path = '/mcp', ...way }) {
  const info = { name: `interop-v${version}`, version: '1.0.0' };
  const client = version === 1 ? new Client1(info, { capabilities }) :
    new Client2(info, { capabilities, versionNegotiation: { mode } });
  const { transport, close } = way.via ? overLines({ version, ...way }) : overHttp({ version, path, ...way });
  const c = {
    version, client, transport, errors: [], updates: [], logged: [], asked: { sampling: 0, elicitation: 0, roots: 0 },
    name: `v${version}${version === 2 ? ` ${mode.pin ?? mode}` : ''}`,
    call: (name, args, o) => version === 1 ? client.callTool({ name, arguments: args }, undefined, o) :
      client.callTool({ name, arguments: args }, o),
    close: async () => {
      await client.close();
      await close();
    },
    // The session ends at the server, too.
    leave: async () => {
      if (!way.via)
        await transport.terminateSession();
      await c.close();
    },
  };
  client.onerror = (e) => c.errors.push(String(e?.message ?? e));
  for (const [method, f] of Object.entries(handlers(c)))
    client.setRequestHandler(version === 1 ? schemas1[method] : method, f);
  const updated = 'notifications/resources/updated';
  client.setNotificationHandler(version === 1 ? schemas1[updated] : updated, (n) => {
    c.updates.push(n.params.uri);
  });
  const message = 'notifications/message';
  client.setNotificationHandler(version === 1 ? schemas1[message] : message, (n) => {
    c.logged.push(n.params);
  });
  await client.connect(transport);
  if (way.via)
    oneAtATime(transport);
  return c;
}

export const said = (result) => result.content.map((part) => part.text).join('\n');
