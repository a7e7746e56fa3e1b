// The backend that Patchbay replaces, on Node's `ws`, with what it lacked: a filter by call and by track.
//
//   node server.js PORT           as it was: a send for each client, a metadata message with every tenth frame,
//                                 a line of log for every hundredth
//   MODE=lean node server.js PORT as fast as it gets with `ws`: no metadata, no log, the frame made once
'use strict';

const http = require('http');
const { WebSocketServer, WebSocket, Sender } = require('ws');

const port = Number(process.argv[2]);
const lean = process.env.MODE === 'lean';
const FRAME = { fin: true, rsv1: false, opcode: 2, mask: false, readOnly: true };
const RTP_HEADER_BYTES = 12;

const listeners = new Map(); // "call track" -> Set of sockets
const calls = new Map(); // call -> Telnyx's socket
let clients = 0;
let broadcasts = 0;

function broadcast(call, media, sequence, count) {
  const audio = Buffer.from(media.payload, 'base64');
  const set = listeners.get(`${call} ${media.track}`);
  if (lean) {
    if (!set) return;
    const frame = Buffer.concat(Sender.frame(audio, FRAME));
    for (const client of set) if (client.readyState === WebSocket.OPEN) client._socket.write(frame);
    return;
  }
  const about = count % 10 === 0
    ? JSON.stringify({ type: 'audio_meta', call_id: call, track: media.track, sequence_number: sequence,
                       timestamp: media.timestamp, size: audio.length })
    : null;
  if (set) {
    for (const client of set) {
      if (client.readyState !== WebSocket.OPEN) continue;
      client.send(audio);
      if (about) client.send(about);
    }
  }
  if (++broadcasts % 100 === 0) console.log(`broadcast ${broadcasts} frames to ${clients} clients`);
}

function serveTelnyx(socket) {
  let call = null;
  let count = 0;
  socket.on('message', (data) => {
    let message;
    try { message = JSON.parse(data.toString()); } catch { return; }
    if (message.event === 'media') broadcast(call, message.media, message.sequence_number, ++count);
    else if (message.event === 'start') {
      call = message.start.call_control_id;
      calls.set(call, socket);
    }
  });
  socket.on('close', () => { if (calls.get(call) === socket) calls.delete(call); });
}

function talk(call, data) {
  let message;
  try { message = JSON.parse(data.toString()); } catch { return; }
  const telnyx = calls.get(call);
  if (message.event !== 'media' || !telnyx || telnyx.readyState !== WebSocket.OPEN) return;
  const audio = Buffer.from(message.media.payload, 'base64').subarray(RTP_HEADER_BYTES);
  telnyx.send(JSON.stringify({ event: 'media', media: { payload: audio.toString('base64') } }));
}

function serveBrowser(socket, url) {
  const call = url.searchParams.get('call_control_id');
  const track = url.searchParams.get('track') || 'inbound';
  const keys = (track === 'both' ? ['inbound', 'outbound'] : [track]).map((name) => `${call} ${name}`);
  for (const key of keys) {
    if (!listeners.has(key)) listeners.set(key, new Set());
    listeners.get(key).add(socket);
  }
  clients++;
  socket.on('message', (data, binary) => { if (!binary) talk(call, data); });
  socket.on('close', () => {
    clients--;
    for (const key of keys) {
      listeners.get(key).delete(socket);
      if (!listeners.get(key).size) listeners.delete(key);
    }
  });
}

const server = http.createServer((request, response) => { response.writeHead(404); response.end(); });
const webSockets = new WebSocketServer({ server, path: '/audio-stream' });
webSockets.on('connection', (socket, request) => {
  socket.on('error', () => {});
  if (/telnyx/i.test(request.headers['user-agent'] || '')) serveTelnyx(socket);
  else serveBrowser(socket, new URL(request.url, 'http://localhost'));
});
server.listen(port, '127.0.0.1', 4096);
