// Nodes, servers and clients of the official hyperdht, driven by one JSON object a line (see peer.js for its shape).
//
//   testnet {size}                            -> {bootstrap: ["host:port"]}
//   nodes {hosts}                             -> {bootstrap}; one persistent node on each of these addresses
//   open {name, options}                      -> {port, firewalled, ephemeral}; bootstrapped, on loopback
//   lookup {name, topic} / findPeer {name, key} / announce {name, topic, seed} / unannounce {name, topic, seed}
//   immutablePut / immutableGet / mutablePut / mutableGet
//   listen {name, seed, options, serve}       -> {key, relays}; serve: "echo" or "core" (a hypercore of blocks)
//   connect {name, key, options}              -> {remote, rtt, data}; sends `data`, waits for as many bytes back
//   replicate {name, key, core, length}       -> blocks of a core read over a connection to `key`
//   relay {name, seed}                        -> {key}; a blind relay
//   core {blocks}                             -> {key}; a core in memory that `serve: "core"` replicates
'use strict'

const readline = require('readline')
const HyperDHT = require('hyperdht')
const createTestnet = require('hyperdht/testnet')
const relay = require('blind-relay')
const Corestore = require('corestore')
const b4a = require('b4a')
const os = require('os')
const fs = require('fs')
const path = require('path')

const nodes = new Map()
const servers = new Map()
const sockets = new Set()
const upgrades = []
let testnet = null
let store = null
let directory = null

const hex = (buffer) => (buffer ? b4a.toString(buffer, 'hex') : null)
const bytes = (text) => (text === null || text === undefined ? null : b4a.from(text, 'hex'))
const named = (c) => nodes.get(c.name)
const keyPair = (seed) => HyperDHT.keyPair(bytes(seed))
const plainPeer = (peer) => ({ key: hex(peer.publicKey), relays: peer.relayAddresses.map(({ host, port }) => [host, port]) })

function openStore () {
  if (store === null) {
    directory = fs.mkdtempSync(path.join(os.tmpdir(), 'hyperdht-'))
    store = new Corestore(directory)
  }
  return store
}

function keep (socket) {
  sockets.add(socket)
  socket.on('error', () => {})
  socket.on('close', () => sockets.delete(socket))
  return socket
}

const ways = {
  echo: (socket) => { socket.on('data', (data) => socket.write(data)) },
  core: (socket) => { openStore().replicate(socket) },
  silent: () => {}
}

const verbs = {
  async testnet (c) {
    testnet = await createTestnet(c.size)
    testnet.nodes.forEach((node, i) => nodes.set(`node${i}`, node))
    return { bootstrap: testnet.bootstrap.map(({ host, port }) => `${host}:${port}`) }
  },
  async nodes (c) {
    const bootstrap = []
    for (const host of c.hosts) {
      const node = new HyperDHT({ host, port: 0, bootstrap: [...bootstrap], ephemeral: false, firewalled: false })
      nodes.set(host, node)
      await node.fullyBootstrapped()
      if (bootstrap.length === 0) bootstrap.push(`${host}:${node.address().port}`)
    }
    return { bootstrap }
  },
  async open (c) {
    const node = new HyperDHT({ host: '127.0.0.1', ...c.options })
    nodes.set(c.name, node)
    await node.fullyBootstrapped()
    return { port: node.io.serverSocket.address().port, firewalled: node.firewalled, ephemeral: node.ephemeral }
  },
  async lookup (c) {
    const found = []
    for await (const data of named(c).lookup(bytes(c.topic))) found.push(...data.peers.map(plainPeer))
    return found
  },
  async findPeer (c) {
    const found = []
    for await (const data of named(c).findPeer(bytes(c.key))) found.push(plainPeer(data.peer))
    return found
  },
  async announce (c) {
    await named(c).announce(bytes(c.topic), keyPair(c.seed), c.relays || [], c.options || {}).finished()
  },
  async unannounce (c) { await named(c).unannounce(bytes(c.topic), keyPair(c.seed)) },
  async immutablePut (c) { return hex((await named(c).immutablePut(bytes(c.value))).hash) },
  async immutableGet (c) {
    const found = await named(c).immutableGet(bytes(c.target))
    return found && hex(found.value)
  },
  async mutablePut (c) { await named(c).mutablePut(keyPair(c.seed), bytes(c.value), { seq: c.seq }) },
  async mutableGet (c) {
    const found = await named(c).mutableGet(bytes(c.key), { seq: c.seq || 0 })
    return found && { seq: found.seq, value: hex(found.value) }
  },
  async listen (c) {
    const options = { ...c.options }
    if (options.relayThrough) options.relayThrough = bytes(options.relayThrough)
    if (options.refuse) options.firewall = (key) => hex(key) === c.options.refuse
    if (options.noLocal) options.shareLocalAddress = false
    const server = named(c).createServer(options, (socket) => {
      keep(socket)
      servers.get(c.as || c.name).connections++
      ways[c.serve || 'echo'](socket)
    })
    await server.listen(keyPair(c.seed))
    servers.set(c.as || c.name, { server, connections: 0 })
    return { key: hex(server.publicKey), relays: server.relayAddresses.map(({ host, port }) => [host, port]) }
  },
  served: (c) => servers.get(c.as || c.name).connections,
  async unlisten (c) { await servers.get(c.as || c.name).server.close() },
  async connect (c) {
    const options = { ...c.options }
    if (options.seed) options.keyPair = keyPair(options.seed)
    if (options.relayThrough) options.relayThrough = bytes(options.relayThrough)
    const socket = keep(named(c).connect(bytes(c.key), options))
    const sent = bytes(c.data)
    const back = []
    let size = 0
    const remotes = []
    await new Promise((resolve, reject) => {
      socket.on('error', reject)
      socket.on('close', () => reject(new Error('the connection was closed')))
      socket.on('open', () => {
        remotes.push([socket.rawStream.remoteHost, socket.rawStream.remotePort])
        socket.write(sent)
      })
      socket.on('data', (data) => {
        back.push(data)
        size += data.byteLength
        if (size >= sent.byteLength) resolve()
      })
    })
    if (c.linger) {
      await new Promise((resolve) => setTimeout(resolve, c.linger))
      remotes.push([socket.rawStream.remoteHost, socket.rawStream.remotePort])
    }
    socket.removeAllListeners('close')
    socket.end()
    return { data: hex(b4a.concat(back)), remotes, remoteKey: hex(socket.remotePublicKey) }
  },
  async core (c) {
    const core = openStore().get({ name: 'core' })
    await core.ready()
    await core.append(c.blocks.map(bytes))
    return { key: hex(core.key) }
  },
  async replicate (c) {
    const core = openStore().get(bytes(c.core))
    await core.ready()
    const socket = keep(named(c).connect(bytes(c.key)))
    openStore().replicate(socket)
    const blocks = []
    for (let i = 0; i < c.length; i++) blocks.push(hex(await core.get(i)))
    socket.end()
    return blocks
  },
  async relay (c) {
    const dht = named(c)
    const relayServer = new relay.Server({
      createStream (opts) { return dht.createRawStream({ ...opts, framed: true }) }
    })
    const server = dht.createServer({ shareLocalAddress: false }, (socket) => {
      keep(socket)
      const session = relayServer.accept(socket, { id: socket.remotePublicKey })
      session.on('error', () => {})
    })
    await server.listen(keyPair(c.seed))
    servers.set('relay', { server, connections: 0 })
    return { key: hex(server.publicKey) }
  },
  async close (c) {
    await named(c).destroy({ force: c.force === true })
    nodes.delete(c.name)
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
lines.on('close', () => {
  if (directory !== null) fs.rmSync(directory, { recursive: true, force: true })
  process.exit(0)
})
