// An author as one writes it in Node: corestore, hyperbee, hyperswarm. Nobody is told where it is, only its key.
// `node author.js DIR [host:port,...]`; without bootstrap nodes it runs a testnet of the official package itself.
// Writes `{"key", "bootstrap"}` once it is announced, then adds a movie for every title it reads on a line.
'use strict'
const readline = require('readline')
const crypto = require('crypto')
const Corestore = require('corestore')
const Hyperbee = require('hyperbee')
const Hyperswarm = require('hyperswarm')

const cuid = () => 'c' + Date.now().toString(36) + crypto.randomBytes(8).toString('hex')

async function main () {
  const [directory, given] = process.argv.slice(2)
  const testnet = given ? null : await require('hyperdht/testnet')(6)
  const bootstrap = given ? given.split(',') : testnet.bootstrap.map(({ host, port }) => `${host}:${port}`)
  const store = new Corestore(directory)
  const db = new Hyperbee(store.get({ name: 'movies' }), { keyEncoding: 'utf-8', valueEncoding: 'json' })
  await db.ready()
  for (const title of ['Alien', 'Brazil']) await db.put(cuid(), { title })
  const swarm = new Hyperswarm({ bootstrap, host: '127.0.0.1' })
  swarm.on('connection', (connection) => store.replicate(connection))
  swarm.join(db.core.discoveryKey, { server: true, client: false })
  await swarm.flush()
  console.log(JSON.stringify({ key: db.core.key.toString('hex'), bootstrap }))
  for await (const title of readline.createInterface({ input: process.stdin })) await db.put(cuid(), { title })
  await swarm.destroy()
  process.exit(0)
}
main()
