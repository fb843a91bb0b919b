// The reference side of every benchmark: node work.js QUESTION DIRECTORY [ARGUMENTS]. Prints one JSON line.
'use strict'

const net = require('net')
const { createRequire } = require('module')
const path = require('path')
const packages = createRequire(path.join(__dirname, '../../tests/interop/node/package.json'))
const Corestore = packages('corestore')
const Hyperbee = packages('hyperbee')
const SecretStream = packages('@hyperswarm/secret-stream')
const records = require('./records')

const [question, directory, ...args] = process.argv.slice(2)
const say = (object) => process.stdout.write(JSON.stringify(object) + '\n')
const clock = () => Number(process.hrtime.bigint()) / 1e9
const memory = () => process.resourceUsage().maxRSS / 1024

async function timed (count, work) {
  const start = clock()
  await work()
  const seconds = clock() - start
  say({ seconds, count, rate: count / seconds, mb: memory() })
}

async function openStore () {
  const store = new Corestore(directory)
  await store.ready()
  return store
}

async function openBee (store, options = { name: 'bench' }) {
  const bee = new Hyperbee(store.get(options), { keyEncoding: 'utf-8', valueEncoding: 'json' })
  await bee.ready()
  return bee
}

const questions = {
  async puts (count) {
    const bee = await openBee(await openStore())
    const pairs = records.pairs(count)
    await timed(count, async () => { for (const [key, value] of pairs) await bee.put(key, value) })
  },
  async batches (count, size) {
    const bee = await openBee(await openStore())
    const pairs = records.pairs(count)
    await timed(count, async () => {
      for (let at = 0; at < count; at += size) {
        const batch = bee.batch()
        for (const [key, value] of pairs.slice(at, at + size)) await batch.put(key, value)
        await batch.flush()
      }
    })
  },
  async scan (count) {
    const bee = await openBee(await openStore())
    await timed(count, async () => {
      let seen = 0
      for await (const entry of bee.createReadStream()) if (entry.value.rating > 0) seen++
      if (seen !== count) throw new Error(`scanned ${seen} of ${count}`)
    })
  },
  async gets (count, upto) {
    const bee = await openBee(await openStore())
    await timed(count, async () => {
      for (const i of records.shuffled(count, upto)) if ((await bee.get(records.key(i))) === null) throw new Error('missing')
    })
  },
  async pages (count, upto) {
    const bee = await openBee(await openStore())
    await timed(count, async () => {
      for (const i of records.shuffled(count, upto - 50)) {
        let seen = 0
        for await (const entry of bee.createReadStream({ lt: records.key(i + 50) }, { reverse: true, limit: 50 })) if (entry) seen++
        if (seen !== 50) throw new Error(`a page of ${seen}`)
      }
    })
  },
  async appends (count, size) {
    const core = (await openStore()).get({ name: 'raw' })
    await core.ready()
    const blocks = Array.from({ length: count }, (_, n) => records.block(n))
    await timed(count, async () => {
      for (let at = 0; at < count; at += size) {
        await core.append(blocks.slice(at, at + size))
      }
    })
  },
  async serve (name) {
    const store = await openStore()
    const core = store.get({ name })
    await core.ready()
    const server = net.createServer((socket) => {
      socket.setNoDelay(true)
      socket.on('error', () => {})
      const stream = new SecretStream(false, socket)
      stream.on('error', () => {})
      store.replicate(stream)
    })
    server.listen(0, '127.0.0.1', () => say({ port: server.address().port, key: core.key.toString('hex'), length: core.length }))
    process.stdin.on('end', () => { say({ mb: memory() }); process.exit(0) })
    process.stdin.resume()
    return false
  },
  async download (port, key) {
    const store = await openStore()
    const core = store.get({ key: Buffer.from(key, 'hex') })
    await core.ready()
    const start = clock()
    dial(store, port)
    await core.update({ wait: true })
    await core.download({ start: 0, end: core.length }).done()
    const seconds = clock() - start
    if (core.contiguousLength !== core.length) throw new Error('not everything came')
    say({ seconds, count: core.length, rate: core.length / seconds, mb: memory() })
  },
  async coldpage (port, key) {
    const store = await openStore()
    const bee = await openBee(store, { key: Buffer.from(key, 'hex') })
    let blocks = 0
    bee.core.on('download', () => blocks++)
    const start = clock()
    dial(store, port)
    await bee.update({ wait: true })
    let seen = 0
    for await (const entry of bee.createReadStream({ reverse: true, limit: 50 })) if (entry) seen++
    const seconds = clock() - start
    if (seen !== 50) throw new Error(`a page of ${seen}`)
    say({ seconds, count: 1, rate: 1 / seconds, blocks, mb: memory() })
  }
}

function dial (store, port) {
  const socket = net.connect(Number(port), '127.0.0.1')
  socket.setNoDelay(true)
  const stream = new SecretStream(true, socket)
  stream.on('error', () => {})
  store.replicate(stream)
}

questions[question](...args.map((a) => (/^\d+$/.test(a) ? Number(a) : a))).then(
  (stay) => { if (stay !== false) process.exit(0) },
  (err) => { console.error(err); process.exit(1) }
)
