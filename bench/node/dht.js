// The reference side of the network benchmarks: node dht.js ROLE [ARGUMENTS]. See bench/dht_work.py, which is the same.
'use strict'

const { createRequire } = require('module')
const fs = require('fs')
const os = require('os')
const path = require('path')
const packages = createRequire(path.join(__dirname, '../../tests/interop/node/package.json'))
const HyperDHT = packages('hyperdht')
const createTestnet = packages('hyperdht/testnet')
const crypto = packages('hypercore-crypto')
const records = require('./records')

const TOPICS = 10
const [role, ...args] = process.argv.slice(2)
const say = (object) => process.stdout.write(JSON.stringify(object) + '\n')
const clock = () => Number(process.hrtime.bigint()) / 1e9
const cpu = () => Object.values(process.cpuUsage()).reduce((a, b) => a + b) / 1e6
const memory = () => Number(/VmHWM:\s+(\d+)/.exec(fs.readFileSync('/proc/self/status', 'utf8'))[1]) / 1024
const untilStdinEnds = () => new Promise((resolve) => process.stdin.on('end', resolve).resume())

async function openNode (bootstrap) {
  const node = new HyperDHT({ host: '127.0.0.1', bootstrap: bootstrap.split(','), quickFirewall: false })
  await node.fullyBootstrapped()
  return node
}

function opened (socket) {
  return new Promise((resolve, reject) => {
    socket.on('error', reject)
    socket.on('open', resolve)
  })
}

const roles = {
  async testnet (size) {
    const net = await createTestnet(Number(size))
    say({ bootstrap: net.bootstrap.map(({ host, port }) => `${host}:${port}`).join(',') })
    await untilStdinEnds()
  },
  async serve (bootstrap, keys) {
    const node = await openNode(bootstrap)
    const pairs = Array.from({ length: Number(keys) }, () => HyperDHT.keyPair())
    await Promise.all(pairs.map(async (pair) => {
      const server = node.createServer((socket) => {
        socket.on('error', () => {})
        socket.on('end', () => socket.end())
        socket.resume()
      })
      await server.listen(pair)
    }))
    say({ keys: pairs.map((pair) => pair.publicKey.toString('hex')) })
    await untilStdinEnds()
  },
  async connect (bootstrap, keys, again, parallel) {
    const node = await openNode(bootstrap)
    const publics = keys.split(',').map((key) => Buffer.from(key, 'hex'))
    const one = async (publicKey) => {
      const socket = node.connect(publicKey)
      await opened(socket)
      socket.end()
    }
    const rate = async (todo) => {
      let next = 0
      const work = async () => { while (next < todo.length) await one(todo[next++]) }
      const start = clock()
      await Promise.all(Array.from({ length: Number(parallel) }, work))
      return todo.length / (clock() - start)
    }
    const spent = cpu()
    const first = await rate(publics)
    const second = await rate(new Array(Number(again)).fill(publics[0]))
    say({ first, again: second, cpu: cpu() - spent, count: publics.length + Number(again), mb: memory() })
  },
  async lookup (bootstrap, count) {
    const node = await openNode(bootstrap)
    const topics = Array.from({ length: TOPICS }, () => crypto.randomBytes(32))
    for (const topic of topics) await node.announce(topic, HyperDHT.keyPair()).finished()
    const times = []
    const spent = cpu()
    for (let i = 0; i < Number(count); i++) {
      const start = clock()
      let found = 0
      for await (const reply of node.lookup(topics[i % TOPICS])) found += reply.peers.length
      times.push((clock() - start) * 1000)
      if (found < 1) throw new Error('a lookup found nobody')
    }
    say({ times, cpu: cpu() - spent, count: times.length, mb: memory() })
  },
  async author (bootstrap) {
    const { Hyperswarm, Corestore, Hyperbee } = stack()
    const store = new Corestore(temporary())
    const bee = new Hyperbee(store.get({ name: 'main' }), { keyEncoding: 'utf-8', valueEncoding: 'json' })
    await bee.ready()
    const batch = bee.batch()
    for (const [key, value] of records.pairs(1000)) await batch.put(key, value)
    await batch.flush()
    const swarm = new Hyperswarm({ bootstrap: bootstrap.split(',') })
    swarm.on('connection', (socket) => store.replicate(socket))
    await swarm.join(bee.core.discoveryKey).flushed()
    say({ key: bee.core.key.toString('hex') })
    await untilStdinEnds()
  },
  async cold (bootstrap, key) {
    const { Hyperswarm, Corestore, Hyperbee } = stack()
    const start = clock()
    const store = new Corestore(temporary())
    const bee = new Hyperbee(store.get(Buffer.from(key, 'hex')), { keyEncoding: 'utf-8', valueEncoding: 'json' })
    await bee.ready()
    const swarm = new Hyperswarm({ bootstrap: bootstrap.split(',') })
    swarm.on('connection', (socket) => store.replicate(socket))
    const looking = bee.core.findingPeers()
    swarm.join(bee.core.discoveryKey)
    swarm.flush().then(looking, looking)
    await bee.update({ wait: true })
    await bee.core.get(bee.core.length - 1)
    say({ seconds: clock() - start, mb: memory() })
  }
}

function stack () {
  return { Hyperswarm: packages('hyperswarm'), Corestore: packages('corestore'), Hyperbee: packages('hyperbee') }
}

function temporary () {
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'bench-dht-'))
  process.on('exit', () => fs.rmSync(directory, { recursive: true, force: true }))
  return directory
}

roles[role](...args).then(() => process.exit(0), (error) => {
  console.error(error)
  process.exit(1)
})
