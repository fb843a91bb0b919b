// Streams of the official udx-native, driven by one JSON object a line (see peer.js for its shape).
//
//   bind {socket}                               -> {port}
//   stream {name, local, passive: {remote}}     a stream with the id `local`; a passive one connects to where its first packet is from
//   connect {name, socket, remote, port}
//   send {name, seed, bytes}                    -> {hash}; writes what `content` makes of the seed, then ends
//   received {name}                             -> {bytes, hash, seconds, cpu}, once the remote has ended
//   closed {name}                               -> null or the error's code, once nothing is left of the stream
//   write / end / destroy / pause / resume {name}, progress {name} -> {bytes}
//   message {name, data} / messages {name}      -> [hex]
//   keepAlive {name, ms} / relay {name, to} / changeRemote {name, socket, remote, port}
//   stats {name}                                -> counters of the stream and of the process
'use strict'

const readline = require('readline')
const { createHash } = require('crypto')
const UDX = require('udx-native')
const b4a = require('b4a')

const PIECE = 65536
const udx = new UDX()
const sockets = new Map()
const streams = new Map()
const named = (c) => streams.get(c.name)
const clock = () => Number(process.hrtime.bigint()) / 1e9
const cpu = () => { const { user, system } = process.cpuUsage(); return (user + system) / 1e6 }

// The same bytes on both sides: one piece of noise again and again, with its number in front.
function * content (seed, length) {
  const piece = createHash('shake256', { outputLength: PIECE }).update(seed).digest()
  for (let at = 0, number = 0; at < length; at += PIECE, number++) {
    const copy = b4a.from(piece)
    copy.writeUInt32LE(number, 0)
    yield copy.subarray(0, Math.min(PIECE, length - at))
  }
}

function watch (stream) {
  const state = { stream, bytes: 0, hash: createHash('sha256'), started: 0, cpu: 0, error: null, messages: [] }
  state.received = new Promise((resolve) => stream.on('end', () => {
    resolve({ bytes: state.bytes, hash: state.hash.digest('hex'), seconds: clock() - state.started, cpu: cpu() - state.cpu })
    stream.end()
  }))
  state.closed = new Promise((resolve) => stream.on('close', () => resolve(state.error)))
  stream.on('data', (data) => {
    if (state.bytes === 0) { state.started = clock(); state.cpu = cpu() }
    state.bytes += data.byteLength
    state.hash.update(data)
  })
  stream.on('message', (data) => state.messages.push(b4a.toString(data, 'hex')))
  stream.on('error', (error) => { state.error = error.code || error.message })
  return state
}

const verbs = {
  async bind (c) {
    const socket = udx.createSocket()
    socket.bind(0, '127.0.0.1')
    sockets.set(c.socket, socket)
    return { port: socket.address().port }
  },
  async stream (c) {
    const firewall = (socket, port, host) => {
      if (!c.passive) return true
      if (!stream.connected) stream.connect(socket, c.passive.remote, port, host)
      return false
    }
    const stream = udx.createStream(c.local, { firewall })
    streams.set(c.name, watch(stream))
  },
  async connect (c) {
    named(c).stream.connect(sockets.get(c.socket), c.remote, c.port, '127.0.0.1')
  },
  async send (c) {
    const { stream } = named(c)
    const hash = createHash('sha256')
    for (const data of content(c.seed, c.bytes)) {
      hash.update(data)
      if (!stream.write(data)) await Promise.race([new Promise((resolve) => stream.once('drain', resolve)), named(c).closed])
      if (stream.destroyed) throw new Error(`the stream closed: ${named(c).error}`)
    }
    stream.end()
    return { hash: hash.digest('hex') }
  },
  async received (c) { return named(c).received },
  async closed (c) { return named(c).closed },
  async write (c) { named(c).stream.write(b4a.from(c.data, 'hex')) },
  async end (c) { named(c).stream.end() },
  async destroy (c) { named(c).stream.destroy() },
  async progress (c) { return { bytes: named(c).bytes } },
  async message (c) { named(c).stream.trySend(b4a.from(c.data, 'hex')) },
  async messages (c) { return named(c).messages },
  async keepAlive (c) { named(c).stream.setKeepalive(c.ms) },
  async relay (c) { named(c).stream.relayTo(streams.get(c.to).stream) },
  async changeRemote (c) { await named(c).stream.changeRemote(sockets.get(c.socket), c.remote, c.port, '127.0.0.1') },
  async stats (c) {
    const { stream } = named(c)
    return {
      retransmits: stream.retransmits,
      packetsSent: stream.packetsTransmitted,
      packetsReceived: stream.packetsReceived,
      mtu: stream.mtu,
      cpu: cpu()
    }
  }
}

const lines = readline.createInterface({ input: process.stdin })
lines.on('line', async (line) => {
  const call = JSON.parse(line)
  let answer
  try {
    if (!verbs[call.do]) throw new Error(`there is no verb ${call.do}`)
    const ok = await verbs[call.do](call)
    answer = { id: call.id, ok: ok === undefined ? null : ok }
  } catch (error) {
    answer = { id: call.id, error: `${error.code || error.name}: ${error.message}` }
  }
  process.stdout.write(JSON.stringify(answer) + '\n')
})
lines.on('close', () => process.exit(0))
