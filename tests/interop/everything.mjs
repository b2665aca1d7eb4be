// The official server-everything over Streamable HTTP, on loopback and a port
// that is free: it would bind every address, and does not say which port it got.
import http from 'node:http';
import { serve } from './child.mjs';

const listen = http.Server.prototype.listen;
http.Server.prototype.listen = function (port, ready) {
  this.keepAliveTimeout = 600000;	// the wall keeps its connections
  return listen.call(this, 0, '127.0.0.1', () => {
    ready?.();
    serve({ url: `http://127.0.0.1:${this.address().port}/mcp` }, {});
  });
};
console.log = () => {};		// three lines for each request
await import('@modelcontextprotocol/server-everything/dist/transports/streamableHttp.js');
