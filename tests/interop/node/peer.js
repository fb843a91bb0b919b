// A peer made of the official packages, driven by one JSON object a line on standard input.
//
//   {"id": 1, "do": "core.append", "core": "a", "blocks": ["00ff"]}   ->   {"id": 1, "ok": {...}}
//                                                                     or   {"id": 1, "error": "CODE: sentence"}
//
// Bytes travel as hex, bee keys and values as JSON. The verbs below are the whole interface; `run` evaluates a
// function body with the open objects at hand, for what is needed once.
'use strict'

const net = require('net')
const readline = require('readline')
const Corestore = require('corestore')
const Hypercore = require('hypercore')
const Hyperbee = require('hyperbee')
const Protomux = require('protomux')
const SecretStream = require('@hyperswarm/secret-stream')
const crypto = require('hypercore-crypto')
const b4a = require('b4a')

const state = { store: null, cores: new Map(), bees: new Map(), sockets: new Set(), server: null, lastError: null }
const packages = { net, Corestore, Hypercore, Hyperbee, Protomux, SecretStream, crypto, b4a }

const hex = (buffer) => (buffer === null || buffer === undefined ? null : b4a.toString(buffer, 'hex'))
const bytes = (text) => b4a.from(text, 'hex')

const named = (map, name, kind) => {
  const found = map.get(name)
  if (!found) throw new Error(`no ${kind} is open under the name ${name}`)
  return found
}
const coreOf = (c) => named(state.cores, c.core, 'core')
const beeOf = (c) => named(state.bees, c.bee, 'bee')

// The official treeHash reads the roots one after the other; a reorg in the middle takes the rest away, or makes it
// the hash of another tree than the length beside it tells. What is broken stays broken, and is told after a while.
async function settled (core, patience = 5000) {
  for (const since = Date.now(); ;) {
    const { length, fork } = core
    try {
      const treeHash = hex(await core.treeHash())
      if (core.length === length && core.fork === fork) return treeHash
    } catch (err) {
      if (err.code !== 'INVALID_OPERATION' || Date.now() - since > patience) throw err
      await new Promise((resolve) => setTimeout(resolve, 5))
    }
  }
}

async function info (core) {
  const treeHash = await settled(core)
  return {
    key: hex(core.key),
    discoveryKey: hex(core.discoveryKey),
    length: core.length,
    byteLength: core.byteLength,
    fork: core.fork,
    contiguousLength: core.contiguousLength,
    writable: core.writable,
    treeHash,
    signature: hex(core.core.state.signature),
    peers: core.peers.length
  }
}

function attach (socket, isInitiator) {
  const stream = new SecretStream(isInitiator, socket)
  state.sockets.add(socket)
  socket.setNoDelay(true)
  stream.on('error', (err) => { state.lastError = String(err.message || err) })
  socket.on('error', () => {})
  stream.on('close', () => state.sockets.delete(socket))
  state.store.replicate(stream)
  return stream
}

const plain = (node) => node === null ? null : { seq: node.seq, key: show(node.key), value: show(node.value) }
const show = (value) => b4a.isBuffer(value) ? { hex: hex(value) } : value
const give = (value) => value !== null && typeof value === 'object' && typeof value.hex === 'string' ? bytes(value.hex) : value
const bounds = (range = {}) => Object.fromEntries(Object.entries(range).map(([k, v]) => [k, give(v)]))

async function collect (stream, shape) {
  const out = []
  for await (const item of stream) out.push(shape(item))
  return out
}

const verbs = {
  async 'store.open' (c) {
    state.store = new Corestore(c.dir, c.primaryKey ? { primaryKey: bytes(c.primaryKey), unsafe: true } : {})
    await state.store.ready()
    return { primaryKey: hex(state.store.primaryKey) }
  },

  async 'core.open' (c) {
    const options = { ...c.options }
    if (c.name) options.name = c.name
    if (c.key) options.key = bytes(c.key)
    if (c.seed) options.keyPair = crypto.keyPair(bytes(c.seed))
    if (c.encryptionKey) options.encryption = { key: bytes(c.encryptionKey) }
    const core = state.store.get(options)
    await core.ready()
    state.cores.set(c.as, core)
    core.on('error', () => {})
    return info(core)
  },
  'core.info': (c) => info(coreOf(c)),
  'core.append': async (c) => await coreOf(c).append(c.blocks.map(bytes)),
  'core.get': async (c) => hex(await coreOf(c).get(c.index, { timeout: c.timeout ?? 15000, ...c.options })),
  'core.has': async (c) => await coreOf(c).has(c.start, c.end),
  'core.seek': async (c) => await coreOf(c).seek(c.bytes, { timeout: 15000 }),
  'core.update': async (c) => await coreOf(c).update(c.options),
  async 'core.truncate' (c) {
    await coreOf(c).truncate(c.length, c.fork === undefined ? {} : { fork: c.fork })
    return info(coreOf(c))
  },
  async 'core.clear' (c) {
    await coreOf(c).clear(c.start, c.end)
    return info(coreOf(c))
  },
  async 'core.download' (c) {
    await coreOf(c).download(c.range).done()
    return info(coreOf(c))
  },
  async 'core.blocks' (c) {
    const core = coreOf(c)
    const out = []
    for (let i = c.start ?? 0; i < (c.end ?? core.length); i++) out.push(hex(await core.get(i, { raw: true, timeout: 15000 })))
    return out
  },
  'core.close': async (c) => { await coreOf(c).close(); state.cores.delete(c.core) },

  async 'bee.open' (c) {
    const options = { keyEncoding: c.keyEncoding ?? 'utf-8', valueEncoding: c.valueEncoding ?? 'json', ...c.options }
    const bee = new Hyperbee(coreOf(c), options)
    await bee.ready()
    state.bees.set(c.as ?? c.core, bee)
    return { version: bee.version }
  },
  async 'bee.put' (c) { await beeOf(c).put(give(c.key), give(c.value)); return beeOf(c).version },
  async 'bee.del' (c) { await beeOf(c).del(give(c.key)); return beeOf(c).version },
  'bee.get': async (c) => plain(await beeOf(c).get(give(c.key), { timeout: 15000 })),
  async 'bee.batch' (c) {
    const batch = beeOf(c).batch()
    for (const [verb, key, value] of c.ops) verb === 'put' ? await batch.put(give(key), give(value)) : await batch.del(give(key))
    await batch.flush()
    return beeOf(c).version
  },
  'bee.range': (c) => collect(beeOf(c).createReadStream(bounds(c.range)), plain),
  'bee.history': (c) => collect(beeOf(c).createHistoryStream(c.range ?? {}), (n) => ({ type: n.type, ...plain(n) })),
  'bee.diff': (c) => collect(beeOf(c).createDiffStream(c.version, bounds(c.range)), (d) => ({ left: plain(d.left), right: plain(d.right) })),
  'bee.peek': async (c) => plain(await beeOf(c).peek(bounds(c.range))),
  'bee.version': (c) => beeOf(c).version,
  'bee.update': async (c) => { await beeOf(c).update(); return beeOf(c).version },

  listen: (c) => new Promise((resolve, reject) => {
    state.server = net.createServer((socket) => attach(socket, false))
    state.server.on('error', reject)
    state.server.listen(c.port ?? 0, '127.0.0.1', () => resolve({ port: state.server.address().port }))
  }),
  connect: (c) => new Promise((resolve, reject) => {
    const socket = net.connect(c.port, c.host ?? '127.0.0.1')
    socket.once('error', reject)
    const stream = attach(socket, true)
    stream.opened.then((ok) => ok ? resolve({ remotePublicKey: hex(stream.remotePublicKey) }) : reject(new Error('the stream did not open')))
  }),
  disconnect () { for (const socket of state.sockets) socket.destroy() },
  connections: () => ({ count: state.sockets.size, lastError: state.lastError }),

  async run (c) {
    const body = new Function('state', 'packages', 'args', `return (async () => { ${c.code} })()`)
    return await body(state, packages, c.args ?? {})
  },

  async exit () {
    for (const socket of state.sockets) socket.destroy()
    if (state.server) state.server.close()
    if (state.store) await state.store.close()
    setImmediate(() => process.exit(0))
  }
}

const answer = (message) => process.stdout.write(JSON.stringify(message) + '\n')

async function handle (line) {
  const call = JSON.parse(line)
  try {
    if (!verbs[call.do]) throw new Error(`no such verb: ${call.do}`)
    const ok = await verbs[call.do](call)
    answer({ id: call.id, ok: ok === undefined ? null : ok })
  } catch (err) {
    answer({ id: call.id, error: String((err && err.message) || err) })
  }
}

process.on('unhandledRejection', (err) => { state.lastError = String((err && err.message) || err) })
const lines = readline.createInterface({ input: process.stdin })
lines.on('line', handle)
lines.on('close', () => process.exit(0))
