// A server of revision 2026-07-28 and nothing older, made with the official
// server package (server-everything speaks the older ones only).
import { createServer } from 'node:http';
import { createMcpHandler, inputRequired, acceptedContent, McpServer, ResourceTemplate } from '@modelcontextprotocol/server';
import { toNodeHandler } from '@modelcontextprotocol/node';
import { setTimeout as pause } from 'node:timers/promises';
import { z } from 'zod';
import { listen, serve } from './child.mjs';

const errors = [];
const text = (t) => ({ content: [{ type: 'text', text: t }] });
let handler;

function make() {
  const s = new McpServer({ name: 'modern', version: '1.0.0' },
    { capabilities: { tools: { listChanged: true }, resources: { subscribe: true } } });
  s.registerTool('echo', { description: 'Echoes', inputSchema: z.object({ message: z.string() }) },
    async ({ message }) => text(`Echo: ${message}`));
  s.registerTool('get-sum', { description: 'Adds', inputSchema: z.object({ a: z.number(), b: z.number() }) },
    async ({ a, b }) => text(`The sum of ${a} and ${b} is ${a + b}.`));
  s.registerTool('region', {
    description: 'A parameter that is mirrored as a header',
    inputSchema: z.object({ region: z.string().meta({ 'x-mcp-header': 'Region' }) }),
  }, async ({ region }, ctx) => text(`${region} ${ctx.http?.req?.headers.get('mcp-param-region')}`));
  s.registerTool('long', { description: 'Takes time', inputSchema: z.object({ duration: z.number(), steps: z.number() }) },
    async ({ duration, steps }, ctx) => {
      const token = ctx.mcpReq._meta?.progressToken;
      for (let i = 1; i <= steps; i++) {
        await pause(duration * 1000 / steps);
        if (token !== undefined)
          await ctx.mcpReq.notify({ method: 'notifications/progress', params: { progress: i, total: steps, progressToken: token } });
      }
      return text('done');
    });
  s.registerTool('ask', { description: 'Asks back', inputSchema: z.object({ serial: z.number() }) }, async (_args, ctx) => {
    const schema = z.object({ name: z.string() });
    const given = acceptedContent(ctx.mcpReq.inputResponses, 'who', schema);
    return given ? text(`Hello ${given.name}`) : inputRequired({
      inputRequests: { who: inputRequired.elicit({ message: 'Who?', requestedSchema: schema }) } });
  });
  s.registerTool('touch', { description: 'Changes a resource', inputSchema: z.object({ uri: z.string() }) },
    async ({ uri }) => {
      handler.notify.resourceUpdated(uri);
      return text('touched');
    });
  s.registerPrompt('args-prompt', { description: 'A prompt', argsSchema: z.object({ city: z.string() }) },
    ({ city }) => ({ messages: [{ role: 'user', content: { type: 'text', text: `What's weather in ${city}?` } }] }));
  s.registerResource('Text', new ResourceTemplate('demo://resource/dynamic/text/{id}', { list: undefined }),
    { mimeType: 'text/plain' }, async (uri, { id }) => ({ contents: [{ uri: uri.href, text: `Resource ${id}` }] }));
  return s;
}

handler = createMcpHandler(make, { legacy: 'reject', onerror: (e) => errors.push(String(e)) });
const server = createServer({ keepAliveTimeout: 600000 }, toNodeHandler(handler));	// the wall keeps its connections
const port = await listen(server);
serve({ url: `http://127.0.0.1:${port}/mcp` }, { errors: () => errors });
