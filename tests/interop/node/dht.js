// Nodes of the official dht-rpc and hyperdht, driven by one JSON object a line (see peer.js for the shape of a call).
//
//   testnet {size}                     -> {bootstrap: ["host:port"], addresses: [{host, port}]}
//   open {name, hyper, options}        -> address; a node of hyperdht (hyper: true) or of dht-rpc, fully bootstrapped
//   info {name}                        -> {id, host, port, serverPort, clientPort, firewalled, ephemeral, known}
//   findNode {name, target}            -> closest nodes, in order
//   ping {name, to} / delayedPing {name, to, ms} / request {name, to, command, target, value, token}
//   query {name, target, command, value, commit}   -> {closest, replies, successes, errors}
//   immutablePut / immutableGet {name, ...}
//   sampler {samples}                  -> [[host, port]] after each sample, as nat-sampler judges
//   close {name}
'use strict'

const readline = require('readline')
const DHT = require('dht-rpc')
const HyperDHT = require('hyperdht')
const createTestnet = require('hyperdht/testnet')
const NatSampler = require('nat-sampler')
const b4a = require('b4a')

const nodes = new Map()
let testnet = null

const hex = (buffer) => (buffer ? b4a.toString(buffer, 'hex') : null)
const bytes = (text) => (text === null || text === undefined ? null : b4a.from(text, 'hex'))
const named = (c) => nodes.get(c.name)
const plain = (m) => ({
  host: m.from.host, port: m.from.port, id: hex(m.from.id), to: m.to, token: hex(m.token), error: m.error,
  value: hex(m.value), closer: m.closerNodes
})

const info = (node) => ({
  id: hex(node.id),
  host: node.host,
  port: node.port,
  serverPort: node.io.serverSocket.address().port,
  clientPort: node.io.clientSocket.address().port,
  firewalled: node.firewalled,
  ephemeral: node.ephemeral,
  known: node.toArray()
})

const verbs = {
  async testnet (c) {
    testnet = await createTestnet(c.size)
    testnet.nodes.forEach((node, i) => nodes.set(`node${i}`, node))
    const addresses = testnet.nodes.map((node) => ({ host: '127.0.0.1', port: node.io.serverSocket.address().port }))
    return { bootstrap: testnet.bootstrap.map(({ host, port }) => `${host}:${port}`), addresses }
  },
  async open (c) {
    const Node = c.hyper ? HyperDHT : DHT
    const node = new Node({ host: '127.0.0.1', ...c.options })
    nodes.set(c.name, node)
    await node.fullyBootstrapped()
    return info(node)
  },
  info: (c) => info(named(c)),
  async findNode (c) {
    const query = named(c).findNode(bytes(c.target))
    await query.finished()
    return query.closestNodes.map(({ host, port, id }) => ({ host, port, id: hex(id) }))
  },
  ping: async (c) => plain(await named(c).ping(c.to)),
  delayedPing: async (c) => plain(await named(c).delayedPing(c.to, c.ms)),
  async request (c) {
    const message = { command: c.command, target: bytes(c.target), value: bytes(c.value), token: bytes(c.token) }
    return plain(await named(c).request(message, c.to))
  },
  async query (c) {
    const message = { target: bytes(c.target), command: c.command, value: bytes(c.value) }
    const query = named(c).query(message, { commit: c.commit === true })
    const replies = []
    for await (const reply of query) replies.push(plain(reply))
    return { replies, closest: query.closestNodes, successes: query.successes, errors: query.errors }
  },
  // An ordinary user command of dht-rpc: keeps a value for whoever comes with a token, and gives it to anybody.
  keepValues (c) {
    const values = new Map()
    named(c).on('request', (req) => {
      if (req.command !== c.command) return req.error(1)
      if (req.token) values.set(hex(req.target), req.value)
      req.reply(values.get(hex(req.target)) || null)
    })
  },
  async immutablePut (c) {
    const { hash, closestNodes } = await named(c).immutablePut(bytes(c.value))
    return { hash: hex(hash), closest: closestNodes }
  },
  async immutableGet (c) {
    const found = await named(c).immutableGet(bytes(c.target))
    return found && { value: hex(found.value), from: found.from }
  },
  sampler (c) {
    const sampler = new NatSampler()
    return c.samples.map(([host, port]) => { sampler.add(host, port); return [sampler.host, sampler.port] })
  },
  async close (c) {
    await named(c).destroy()
    nodes.delete(c.name)
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

const lines = readline.createInterface({ input: process.stdin })
lines.on('line', handle)
lines.on('close', () => process.exit(0))
