// The workshop's program, as short as it can be: a bee of movies under random keys, served over TCP.
// Writes `{"key", "port"}`, then adds a movie for every title it reads on a line.
'use strict'
const net = require('net')
const readline = require('readline')
const crypto = require('crypto')
const Corestore = require('corestore')
const Hyperbee = require('hyperbee')
const SecretStream = require('@hyperswarm/secret-stream')

const cuid = () => 'c' + Date.now().toString(36) + crypto.randomBytes(8).toString('hex')

async function main () {
  const store = new Corestore(process.argv[2])
  const db = new Hyperbee(store.get({ name: 'movies' }), { keyEncoding: 'utf-8', valueEncoding: 'json' })
  await db.ready()
  for (const title of ['Alien', 'Brazil', 'The Third Man']) await db.put(cuid(), { title })
  const server = net.createServer((socket) => {
    socket.on('error', () => {})
    store.replicate(new SecretStream(false, socket))
  })
  server.listen(0, '127.0.0.1', () => {
    console.log(JSON.stringify({ key: db.core.key.toString('hex'), port: server.address().port }))
  })
  for await (const title of readline.createInterface({ input: process.stdin })) await db.put(cuid(), { title })
  process.exit(0)
}
main()
