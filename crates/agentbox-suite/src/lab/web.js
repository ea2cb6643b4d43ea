'use strict';
// The public web of the lab: every name and address on ports 80 and 443, by HTTP/1.1 and HTTP/2; an echo on
// ports 7 and 5432; the services of agents (agents.js); and addresses that misbehave. Says on standard output what arrives, one JSON object a
// line, and ends with its standard input.
const { createHash } = require('crypto');
const fs = require('fs');
const http = require('http');
const http2 = require('http2');
const net = require('net');
const path = require('path');
const agents = require('./agents.js');

const config = JSON.parse(fs.readFileSync(process.argv[2], 'utf8'));
const plain = (address) => (address || '').replace(/^::ffff:/, '');
const tell = (event) => fs.writeSync(1, JSON.stringify(event) + '\n');
let connections = 0;

// Block number i of /bytes/N: the same in every run, and no two blocks are equal.
function block(i) {
  const bytes = Buffer.alloc(65536);
  let state = (i * 2654435761 + 1) >>> 0;
  for (let at = 0; at < bytes.length; at += 4) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    bytes.writeUInt32LE(state, at);
  }
  return bytes;
}

function sendBytes(response, total) {
  response.writeHead(200, { 'content-type': 'application/octet-stream', 'content-length': total });
  let sent = 0;
  const more = () => {
    while (sent < total) {
      const next = block(sent / 65536).subarray(0, Math.min(65536, total - sent));
      sent += next.length;
      if (!response.write(next)) return response.once('drain', more);
    }
    response.end();
  };
  more();
}

function events(response, count, everyMs) {
  response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' });
  let number = 0;
  const timer = setInterval(() => {
    number += 1;
    response.write(`id: ${number}\ndata: event ${number}\n\n`);
    if (number >= count) { clearInterval(timer); response.end(); }
  }, everyMs);
  response.on('close', () => clearInterval(timer));
}

function count(request, response) {
  let bytes = 0;
  const hash = createHash('sha256');
  request.on('data', (chunk) => { bytes += chunk.length; hash.update(chunk); });
  request.on('end', () => {
    response.writeHead(200, { 'content-type': 'application/json' });
    response.end(JSON.stringify({ bytes, sha256: hash.digest('hex') }) + '\n');
  });
}

function file(host, name, response) {
  const root = path.join(config.files, host);
  let wanted = path.join(root, decodeURIComponent(name));
  if (fs.existsSync(path.join(wanted, 'index.html'))) wanted = path.join(wanted, 'index.html');
  fs.readFile(wanted, (error, bytes) => {
    if (error || !wanted.startsWith(root)) {
      response.writeHead(404, { 'content-type': 'text/plain' });
      return response.end('not here\n');
    }
    const type = name.endsWith('/') ? 'text/html' : wanted.endsWith('index.html') ? 'application/json' : 'application/octet-stream';
    response.writeHead(200, { 'content-type': type, 'content-length': bytes.length });
    response.end(bytes);
  });
}

// What is posted where nothing else takes it is a question of an agent, or nothing.
function posted(request, response, host, name) {
  const chunks = [];
  request.on('data', (chunk) => chunks.push(chunk));
  request.on('end', () => {
    const said = agents(request.method, name, Buffer.concat(chunks).toString());
    if (!said) return file(host, name, response);
    response.writeHead(200, { 'content-type': said.type });
    return response.end(said.body);
  });
}

function answer(request, response) {
  const host = (request.authority || request.headers.host || '').replace(/:\d+$/, '');
  const socket = request.socket || request.stream.session.socket;
  const url = new URL(request.url, 'http://lab');
  tell({ kind: 'request', id: socket.labId || (socket._parent && socket._parent.labId), host, method: request.method,
    path: request.url, version: request.httpVersion });
  const [, verb, one, two] = url.pathname.split('/');
  response.on('error', () => {});
  if (verb === '') { response.writeHead(200, { 'content-type': 'text/plain' }); return response.end(`hello from ${host}\n`); }
  if (verb === 'bytes') return sendBytes(response, Number(one));
  if (verb === 'echo') return count(request, response);
  if (verb === 'events') return events(response, Number(one), Number(two || 1000));
  if (verb === 'wait') return setTimeout(() => response.end(`waited ${one}\n`), Number(one));
  if (verb === 'hold') return undefined;
  if (verb === 'goto') { response.writeHead(302, { location: url.searchParams.get('to') }); return response.end(); }
  if (verb === 'version') return response.end(`${request.httpVersion}\n`);
  if (request.method === 'POST') return posted(request, response, host, url.pathname);
  return file(host, url.pathname, response);
}

// RFC 6455: takes masked frames of any length below 64 KiB, sends the same back unmasked.
function upgrade(request, socket) {
  const key = request.headers['sec-websocket-key'] + '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';
  const accept = createHash('sha1').update(key).digest('base64');
  socket.write('HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n'
    + `Sec-WebSocket-Accept: ${accept}\r\n\r\n`);
  let held = Buffer.alloc(0);
  socket.on('error', () => {});
  socket.on('data', (chunk) => {
    held = Buffer.concat([held, chunk]);
    for (;;) {
      if (held.length < 2) return;
      let length = held[1] & 0x7f;
      let head = 2;
      if (length === 126) { if (held.length < 4) return; length = held.readUInt16BE(2); head = 4; }
      if (held.length < head + 4 + length) return;
      const mask = held.subarray(head, head + 4);
      const data = Buffer.from(held.subarray(head + 4, head + 4 + length).map((byte, at) => byte ^ mask[at % 4]));
      const first = Buffer.from(held.subarray(0, head));
      first[1] &= 0x7f;
      socket.write(Buffer.concat([first, data]));
      if ((first[0] & 0x0f) === 8) return socket.end();
      held = held.subarray(head + 4 + length);
    }
  });
}

// What each address of `config.hostile` does with whoever connects.
const hostile = {
  silent: () => {},
  garbage: (socket) => socket.end(Buffer.alloc(4096, 0xee)),
  reset: (socket) => socket.resetAndDestroy(),
  close: (socket) => socket.end(),
  drip: (socket) => { const timer = setInterval(() => socket.write('x'), 200); socket.on('close', () => clearInterval(timer)); },
  flood: (socket) => {
    const junk = Buffer.alloc(65536, 0x41);
    const more = () => { while (!socket.destroyed && socket.write(junk)) ; };
    socket.on('drain', more);
    more();
  },
};

function door(port, into) {
  const server = net.createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
    connections += 1;
    const to = plain(socket.localAddress);
    socket.labId = connections;
    tell({ kind: 'connection', id: socket.labId, to, port, from: plain(socket.remoteAddress) });
    socket.on('error', () => {});
    socket.on('close', () => tell({ kind: 'closed', id: socket.labId, bytes: socket.bytesRead }));
    const misbehave = hostile[config.hostile[to]];
    if (misbehave) { socket.resume(); return misbehave(socket); }
    return into(socket);
  });
  server.listen({ port, host: '::', backlog: 4096 }, opened);
}

const options = {
  key: fs.readFileSync(config.key), cert: fs.readFileSync(config.certificate), allowHTTP1: true,
  // Called before anything is answered, so a name is told of also when the client goes away then.
  SNICallback(name, done) {
    tell({ kind: 'hello', id: this._parent && this._parent.labId, name });
    done(null, undefined);
  },
};
const clear = http.createServer(answer).on('upgrade', upgrade).on('clientError', (error, socket) => socket.destroy());
const secure = http2.createSecureServer(options, answer).on('upgrade', upgrade);
secure.on('secureConnection', (socket) => {
  socket.labId = socket._parent && socket._parent.labId;
});
for (const server of [clear, secure]) { server.timeout = 0; server.keepAliveTimeout = 60000; server.requestTimeout = 0; }
secure.on('tlsClientError', () => {}).on('sessionError', () => {}).on('clientError', (error, socket) => socket.destroy());

// Gives everything back only once the other side has ended: what arrives then came over a half-closed stream.
function afterEnd(socket) {
  const all = [];
  socket.on('data', (chunk) => all.push(chunk));
  socket.on('end', () => socket.end(Buffer.concat(all)));
}

const doors = [[80, (socket) => clear.emit('connection', socket)], [443, (socket) => secure.emit('connection', socket)],
  [8443, (socket) => secure.emit('connection', socket)], [7, afterEnd], [5432, (socket) => socket.pipe(socket)]];
let waiting = doors.length;
function opened() { waiting -= 1; if (waiting === 0) tell({ kind: 'ready' }); }
for (const [port, into] of doors) door(port, into);
process.stdin.resume();
process.stdin.on('end', () => process.exit(0));
