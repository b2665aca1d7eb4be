// Every feature once, so that a failure has a name.
import { open, said } from './client.mjs';
import { holds, same, step, until } from './scene.mjs';

// Sessions, GET streams, server requests: revisions up to 2025-11-25.  way:
// what open() takes; of lines the client does not know its session.
export async function walkLegacy({ guard, version, name = `v${version} legacy`, ...way }) {
  const uri = 'demo://resource/dynamic/text/1';
  let c, session;
  const test = (what, f) => step(`${name}: ${what}`, f);
  const live = (method) => guard.ask('live', { method });

  await test('initialize', async () => {
    c = await open({ version, ...way });
    session = c.transport.sessionId;
    holds(session || way.via, 'no session');
    same(c.client.getServerVersion().name, 'mcp-servers/everything');
    return c.transport.protocolVersion ?? '';
  });
  if (!c)
    return;
  await test('GET stream', async () => {
    await until(async () => await live('GET') > 0);
  });
  await test('the server asks for the roots, on the GET stream', () => until(() => c.asked.roots > 0));
  await test('tools', async () => {
    const { tools } = await c.client.listTools();
    for (const t of ['echo', 'get-sum', 'trigger-sampling-request', 'trigger-elicitation-request'])
      holds(tools.some((x) => x.name === t), `no ${t}`);
    same(said(await c.call('echo', { message: 'naïve ☕' })), 'Echo: naïve ☕');
    same(said(await c.call('get-sum', { a: 2, b: 40 })), 'The sum of 2 and 40 is 42.');
    holds((await c.call('get-structured-content', { location: 'Chicago' })).structuredContent, 'no structured content');
    holds((await c.call('get-tiny-image', {})).content.some((x) => x.type === 'image'), 'no image');
    const wrong = await c.call('get-sum', { a: 'x' }).catch((e) => ({ isError: true, e }));
    holds(wrong.isError, 'a wrong argument was no error');
    return `${tools.length} listed`;
  });
  await test('tools that answer with resources and annotations', async () => {
    const kinds = async (name, args) => (await c.call(name, args)).content.map((x) => x.type);
    holds((await c.call('get-annotated-message', { messageType: 'error', includeImage: true })).content[0].annotations, 'no annotations');
    same((await kinds('get-resource-links', { count: 3 })).filter((x) => x === 'resource_link').length, 3);
    holds((await kinds('get-resource-reference', { resourceType: 'Text', resourceId: 1 })).includes('resource'), 'no resource');
    holds((await kinds('gzip-file-as-resource', { name: 'a.gz', data: 'data:text/plain,abc', outputType: 'resource' })).includes('resource'), 'no archive');
  });
  await test('roots', async () => {
    holds(said(await c.call('get-roots-list', {})).includes('file:///work'), 'not known there');
  });
  await test('logging: a level, and messages on the GET stream', async () => {
    const before = c.logged.length;
    await c.client.setLoggingLevel('debug');
    await c.call('toggle-simulated-logging', {});
    await until(() => c.logged.length > before);
    await c.call('toggle-simulated-logging', {});
  });
  await test('prompts', async () => {
    holds((await c.client.listPrompts()).prompts.length > 0, 'none');
    const p = await c.client.getPrompt({ name: 'args-prompt', arguments: { city: 'Bern' } });
    same(p.messages[0].content.text, 'What\'s weather in Bern?');
    const r = await c.client.getPrompt({ name: 'resource-prompt', arguments: { resourceType: 'Text', resourceId: '1' } });
    holds(r.messages.some((m) => m.content.type === 'resource'), 'no resource');
  });
  await test('completion', async () => {
    const p = await c.client.complete({ ref: { type: 'ref/prompt', name: 'completable-prompt' },
      argument: { name: 'department', value: 'S' } });
    same(p.completion.values.join(), 'Sales,Support');
    const r = await c.client.complete({ ref: { type: 'ref/resource', uri: 'demo://resource/dynamic/text/{resourceId}' },
      argument: { name: 'resourceId', value: '7' } });
    same(r.completion.values.join(), '7');
  });
  await test('resources', async () => {
    holds((await c.client.listResources()).resources.length > 0, 'none');
    holds((await c.client.listResourceTemplates()).resourceTemplates.length > 0, 'no templates');
    const r = await c.client.readResource({ uri });
    holds(r.contents[0].text.startsWith('Resource 1: '), r.contents[0].text);
  });
  await test('progress of a call that outlives its token', async () => {
    const steps = [];
    const r = await c.call('trigger-long-running-operation', { duration: 5, steps: 10 },
      { onprogress: (p) => steps.push(p.progress) });
    holds(said(r).startsWith('Long running operation completed'), said(r));
    same(steps.join(), '1,2,3,4,5,6,7,8,9,10');
  });
  await test('sampling: a server request, answered by a POST', async () => {
    const r = await c.call('trigger-sampling-request', { prompt: 'hello', maxTokens: 10 });
    holds(said(r).includes('sampled: Resource trigger-sampling-request context: hello'), said(r));
    same(c.asked.sampling, 1);
  });
  await test('elicitation: a server request, answered by a POST', async () => {
    const r = await c.call('trigger-elicitation-request', {});
    holds(said(r).includes('- Name: Ada'), said(r));
    same(c.asked.elicitation, 1);
  });
  if (version === 1) {
    await test('a task, with a question in its course', async () => {
      let last;
      for await (last of c.client.experimental.tasks.callToolStream({ name: 'simulate-research-query',
        arguments: { topic: 'python', ambiguous: true } }, undefined, { task: { ttl: 60000 } }))
        ;
      same(last.type, 'result');
      holds(said(last.result).includes('python'), said(last.result));
      same(c.asked.elicitation, 2);
    });
  }
  await test('a response whose token has expired meanwhile', async () => {
    const before = (await guard.ask('counts')).rejectedResponses;
    // The answer waits until the wall has begun to reject the token that the
    // request used, so that the response is the first to meet a 401 or a refresh.
    const slow = c.client;
    const answer = { model: 'none', role: 'assistant', content: { type: 'text', text: 'late' } };
    const handler = async () => {
      await new Promise((done) => setTimeout(done, 3500));
      return answer;
    };
    const { CreateMessageRequestSchema } = await import('@modelcontextprotocol/sdk/types.js');
    slow.setRequestHandler(version === 1 ? CreateMessageRequestSchema : 'sampling/createMessage', handler);
    const r = await c.call('trigger-sampling-request', { prompt: 'late', maxTokens: 10 });
    holds(said(r).includes('late'), said(r));
    return `${(await guard.ask('counts')).rejectedResponses - before} met a 401`;
  });
  await test('subscription: updates on the GET stream', async () => {
    await c.client.subscribeResource({ uri });
    await c.call('toggle-subscriber-updates', {});
    await until(() => c.updates.length > 0);
    same(c.updates[0], uri);
  });
  await test('GET stream cut, an update meanwhile: resumed with Last-Event-ID, nothing lost', async () => {
    const before = { n: c.updates.length, resumed: (await guard.ask('counts')).resumed };
    holds(await guard.ask('cut', { method: 'GET', session }) > 0, 'no stream to cut');
    await c.call('toggle-subscriber-updates', {});	// off
    await c.call('toggle-subscriber-updates', {});	// on: one update at once
    await until(() => c.updates.length > before.n);
    await until(async () => (await guard.ask('counts')).resumed > before.resumed);
  });
  await test('POST stream cut after its first event: resumed by GET, result complete', async () => {
    // All of it is over before the client comes back after a second: a resumed
    // stream gets what was stored and no more, as server-everything's event
    // store names the wrong stream (and replays those of others, hence the set).
    const before = (await guard.ask('counts')).resumed;
    const steps = new Set();
    const r = await c.call('trigger-long-running-operation', { duration: 0.4, steps: 4 }, { onprogress: (p) => {
      steps.add(p.progress);
      if (p.progress === 1)
        guard.ask('cut', { method: 'POST', session, tag: 'trigger-long-running-operation' });
    } });
    holds(said(r).startsWith('Long running operation completed'), said(r));
    same([...steps].join(), '1,2,3,4');
    holds((await guard.ask('counts')).resumed > before, 'not resumed');
  });
  await test('unsubscribe', () => c.client.unsubscribeResource({ uri }));
  await test('cancel of a call in flight', async () => {
    const stop = new AbortController();
    const call = c.call('trigger-long-running-operation', { duration: 20, steps: 40 },
      { signal: stop.signal, onprogress: () => stop.abort() });
    const e = await call.then(() => null, (x) => x);
    holds(e, 'it was not cancelled');
    same(said(await c.call('echo', { message: 'still here' })), 'Echo: still here');
  });
  await test('DELETE', async () => {
    const before = (await guard.ask('counts')).deleted;
    await c.leave();
    await until(async () => (await guard.ask('counts')).deleted === before + 1);
  });
}

// POSTs alone: revision 2026-07-28.
export async function walkModern({ guard, name = 'v2 modern', ...way }) {
  const uri = 'demo://resource/dynamic/text/1';
  let c, listening;
  const test = (what, f) => step(`${name}: ${what}`, f);

  await test('server/discover', async () => {
    c = await open({ version: 2, mode: { pin: '2026-07-28' }, ...way });
    same(c.client.getProtocolEra(), 'modern');
    return c.client.getNegotiatedProtocolVersion?.() ?? '';
  });
  if (!c)
    return;
  await test('tools', async () => {
    const { tools } = await c.client.listTools();
    same(said(await c.call('echo', { message: 'naïve ☕' })), 'Echo: naïve ☕');
    same(said(await c.call('get-sum', { a: 2, b: 40 })), 'The sum of 2 and 40 is 42.');
    return `${tools.length} listed`;
  });
  await test('a parameter mirrored as a header', async () => {
    same(said(await c.call('region', { region: 'eu-1' })), 'eu-1 eu-1');
  });
  await test('prompts', async () => {
    const p = await c.client.getPrompt({ name: 'args-prompt', arguments: { city: 'Bern' } });
    same(p.messages[0].content.text, 'What\'s weather in Bern?');
  });
  await test('resources', async () => {
    same((await c.client.readResource({ uri })).contents[0].text, 'Resource 1');
  });
  await test('progress of a call that outlives its token', async () => {
    const steps = [];
    same(said(await c.call('long', { duration: 5, steps: 5 }, { onprogress: (p) => steps.push(p.progress) })), 'done');
    same(steps.join(), '1,2,3,4,5');
  });
  await test('elicitation in several rounds', async () => {
    same(said(await c.call('ask', { serial: -1 })), 'Hello Ada');
    same(c.asked.elicitation, 1);
  });
  await test('subscriptions/listen', async () => {
    listening = await c.client.listen({ resourceSubscriptions: [uri] });
    await c.call('touch', { uri });
    await until(() => c.updates.length === 1);
  });
  await test('it outlives its token', async () => {
    await c.call('long', { duration: 5, steps: 1 });
    await c.call('touch', { uri });
    await until(() => c.updates.length === 2);
  });
  await test('closed here, closed at the upstream', async () => {
    holds(await guard.ask('live', { tag: 'subscriptions/listen' }) > 0, 'no stream');
    await listening.close();
    same(await listening.closed, 'local');
    await until(async () => await guard.ask('live', { tag: 'subscriptions/listen' }) === 0);
  });
  await test('a call given up here ends at the upstream', async () => {
    const stop = new AbortController();
    const call = c.call('long', { duration: 60, steps: 240 }, { signal: stop.signal, onprogress: () => stop.abort() });
    holds(await call.then(() => null, (e) => e), 'it was not cancelled');
    await until(async () => await guard.ask('live', { tag: '"long"' }) === 0);
  });
  await test('a legacy client gets the server\'s own error', async () => {
    const e = await open({ version: 2, mode: 'legacy', ...way }).then(() => null, (x) => x);
    holds(e, 'it connected');
    return String(e.message).slice(0, 100);
  });
  await c.close();
}
