// The official client, v1 (@modelcontextprotocol/sdk) or v2
// (@modelcontextprotocol/client), with its fetch on a Unix socket: one shape
// for both.
import { Agent, fetch as undici } from 'undici';
import { Client as Client1 } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport as Transport1 } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import * as types1 from '@modelcontextprotocol/sdk/types.js';
import { Client as Client2, StreamableHTTPClientTransport as Transport2 } from '@modelcontextprotocol/client';

const capabilities = { sampling: {}, elicitation: { form: {} }, roots: { listChanged: true } };

const schemas1 = {
  'sampling/createMessage': types1.CreateMessageRequestSchema,
  'elicitation/create': types1.ElicitRequestSchema,
  'roots/list': types1.ListRootsRequestSchema,
  'notifications/resources/updated': types1.ResourceUpdatedNotificationSchema,
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

// version: 1 or 2; mode (2 only): 'legacy', 'auto' or {pin}.
export async function open({ version, mode = 'legacy', socket, path = '/mcp' }) {
  const dispatcher = new Agent({ connect: { socketPath: socket }, bodyTimeout: 0, headersTimeout: 0 });
  const fetch = (url, init) => undici(url, { ...init, dispatcher });
  const options = { fetch, reconnectionOptions: {
    initialReconnectionDelay: 1000, maxReconnectionDelay: 2000, reconnectionDelayGrowFactor: 1.5, maxRetries: 100 } };
  const url = new URL(`http://localhost${path}`);
  const info = { name: `interop-v${version}`, version: '1.0.0' };
  const client = version === 1 ? new Client1(info, { capabilities }) :
    new Client2(info, { capabilities, versionNegotiation: { mode } });
  const transport = version === 1 ? new Transport1(url, options) : new Transport2(url, options);
  const c = {
    version, client, transport, errors: [], updates: [], asked: { sampling: 0, elicitation: 0, roots: 0 },
    name: `v${version}${version === 2 ? ` ${mode.pin ?? mode}` : ''}`,
    call: (name, args, o) => version === 1 ? client.callTool({ name, arguments: args }, undefined, o) :
      client.callTool({ name, arguments: args }, o),
    close: async () => {
      await client.close();
      await dispatcher.close();
    },
  };
  client.onerror = (e) => c.errors.push(String(e?.message ?? e));
  for (const [method, f] of Object.entries(handlers(c)))
    client.setRequestHandler(version === 1 ? schemas1[method] : method, f);
  const updated = 'notifications/resources/updated';
  client.setNotificationHandler(version === 1 ? schemas1[updated] : updated, (n) => {
    c.updates.push(n.params.uri);
  });
  await client.connect(transport);
  return c;
}

export const said = (result) => result.content.map((part) => part.text).join('\n');
