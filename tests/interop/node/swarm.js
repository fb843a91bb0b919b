// Swarms of the official hyperswarm, driven by one JSON object a line (see peer.js for its shape).
//
//   testnet {size}                                  -> {bootstrap: ["host:port"]}
//   open {name, bootstrap, seed, host, options}     -> {key}; with a store that is replicated on every connection
//   join {name, topic, server, client}              -> once it was looked up or announced; leave {name, topic}
//   joinPeer / leavePeer / ban {name, key}, listen / flush / suspend / resume / close {name}
//   connections {name}                              -> [{key, initiator, id}]; `id` is the same on both sides
//   stats {name}                                    -> {attempted, opened, served, known}
//   author {name, pairs}                            -> {key}; a bee with these records, announced by its discovery key
//   read {name, key, count}                         -> [[key, value]]; the first of a bee found by its key alone
//   peerInfo {steps} / room {cases}                 -> what the package's own rules make of these (see the test)
'use strict'

const fs = require('fs')
const os = require('os')
const path = require('path')
const readline = require('readline')
const Hyperswarm = require('hyperswarm')
const HyperDHT = require('hyperdht')
const Hyperbee = require('hyperbee')
const Corestore = require('corestore')
const PeerInfo = require('hyperswarm/lib/peer-info')
const RetryTimer = require('hyperswarm/lib/retry-timer')
const createTestnet = require('hyperdht/testnet')
const b4a = require('b4a')

const swarms = new Map()
const directories = []
const hex = (buffer) => b4a.toString(buffer, 'hex')
const bytes = (text) => b4a.from(text, 'hex')
const named = (c) => swarms.get(c.name)
let testnet = null

async function open (c) {
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'hyperswarm-'))
  directories.push(directory)
  const store = new Corestore(directory)
  const dht = new HyperDHT({ bootstrap: c.bootstrap, host: c.host || '127.0.0.1', port: 0, ...c.dht })
  const options = { ...c.options }
  if (options.relayThrough) options.relayThrough = bytes(options.relayThrough)
  const swarm = new Hyperswarm({ dht, seed: c.seed ? bytes(c.seed) : undefined, ...options })
  const node = { swarm, store, bees: [] }
  swarms.set(c.name, node)
  swarm.on('connection', (connection) => {
    connection.on('error', () => {})
    store.replicate(connection)
  })
  await dht.fullyBootstrapped()
  return { key: hex(swarm.keyPair.publicKey) }
}

function bee (node, core) {
  const made = new Hyperbee(core, { keyEncoding: 'utf-8', valueEncoding: 'json' })
  node.bees.push(made)
  return made
}

const verbs = {
  async testnet (c) {
    testnet = await createTestnet(c.size)
    return { bootstrap: testnet.bootstrap.map(({ host, port }) => `${host}:${port}`) }
  },
  open,
  async join (c) { await named(c).swarm.join(bytes(c.topic), { server: c.server, client: c.client }).flushed() },
  async leave (c) { await named(c).swarm.leave(bytes(c.topic)) },
  joinPeer (c) { named(c).swarm.joinPeer(bytes(c.key)) },
  leavePeer (c) { named(c).swarm.leavePeer(bytes(c.key)) },
  ban (c) {
    named(c).swarm.peers.get(c.key).ban(true)
    for (const connection of named(c).swarm.connections) {
      if (hex(connection.remotePublicKey) === c.key) connection.destroy()
    }
  },
  async listen (c) { await named(c).swarm.listen() },
  async flush (c) { return await named(c).swarm.flush() },
  async suspend (c) { await named(c).swarm.suspend() },
  async resume (c) { await named(c).swarm.resume() },
  async close (c) {
    const { swarm, store } = named(c)
    swarms.delete(c.name)
    await swarm.destroy({ force: c.force === true })
    await store.close()
  },
  connections: (c) => [...named(c).swarm.connections].map((connection) => ({
    key: hex(connection.remotePublicKey),
    initiator: connection.isInitiator,
    id: hex(connection.handshakeHash)
  })),
  stats (c) {
    const { stats, peers } = named(c).swarm
    const { client, server } = stats.connects
    return { attempted: client.attempted, opened: client.opened, served: server.opened, known: peers.size }
  },
  async author (c) {
    const node = named(c)
    const made = bee(node, node.store.get({ name: 'bee' }))
    await made.ready()
    const batch = made.batch()
    for (const [key, value] of c.pairs) await batch.put(key, value)
    await batch.flush()
    await node.swarm.join(made.core.discoveryKey, { server: true, client: false }).flushed()
    return { key: hex(made.core.key) }
  },
  async read (c) {
    const node = named(c)
    const made = bee(node, node.store.get(bytes(c.key)))
    await made.ready()
    node.swarm.join(made.core.discoveryKey, { server: false, client: true })
    // As a reader does: let the core wait for the swarm, then ask for the newest tree.
    const found = made.core.findingPeers()
    node.swarm.flush().then(found, found)
    await made.core.update({ wait: true })
    const pairs = []
    for await (const { key, value } of made.createReadStream({ limit: c.count })) pairs.push([key, value])
    return pairs
  },

  // The bookkeeping of one peer under a clock of ours: after each step its priority and when it is dialed again.
  peerInfo (c) {
    const realNow = Date.now
    let now = 1e12
    Date.now = () => now
    try {
      const info = new PeerInfo({ publicKey: b4a.alloc(32), relayAddresses: [] })
      const timer = new RetryTimer(() => {})
      const classes = [timer._sTimer, timer._mTimer, timer._lTimer, timer._xTimer]
      return c.steps.map(([step, seconds]) => {
        now += seconds * 1000
        if (step === 'dialed') { info._connected(); info.client = true }
        // The package reads `tried` and sets it nowhere; ours does (see core/swarm/peers.py).
        if (step === 'ended') { info._disconnected(); info.tried = true }
        if (step === 'served') info.client = false
        if (step === 'found' && (!info.prioritized || info.server)) info._reset()
        if (step === 'explicit') info.explicit = true
        if (step === 'implicit') info.explicit = false
        if (step === 'banned') info.ban(true)
        const wanted = info._updatePriority()
        return [wanted, wanted ? info.priority : null, classes.indexOf(timer._selectRetryTimer(info)), info.attempts]
      })
    } finally {
      Date.now = realNow
    }
  },
  // Whether there is room for one more dial: [explicit peers, connections, the limit].
  room: (c) => c.cases.map(([explicit, size, maxPeers]) => Hyperswarm.prototype._withinMaxPeers.call(
    { explicitPeers: { size: explicit }, _allConnections: { size }, maxPeers }
  ))
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
lines.on('close', () => {
  for (const directory of directories) fs.rmSync(directory, { recursive: true, force: true })
  process.exit(0)
})
