// A follower of an aggregator's two bees, as anybody could write it: the official packages, a key each, and a connection.
//
//   node follow.js HOST PORT LOGKEY FEEDKEY
//
// Prints one JSON line {log: [...], feed: [...]}: every entry of the log in the order it was said, and the newest items of the
// feed; then one line for each later operation on either bee, until standard input ends.
const net = require('net')
const os = require('os')
const fs = require('fs')
const path = require('path')
const Corestore = require('corestore')
const Hyperbee = require('hyperbee')
const SecretStream = require('@hyperswarm/secret-stream')

const [host, port, logKey, feedKey] = process.argv.slice(2)

async function main () {
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'follow-'))
  process.on('exit', () => fs.rmSync(directory, { recursive: true, force: true }))
  const store = new Corestore(directory)
  const open = (key) => new Hyperbee(store.get({ key: Buffer.from(key, 'hex') }), { keyEncoding: 'utf-8', valueEncoding: 'json' })
  const [log, feed] = [open(logKey), open(feedKey)]
  await Promise.all([log.ready(), feed.ready()])

  const socket = net.connect(Number(port), host)
  store.replicate(new SecretStream(true, socket))
  await Promise.all([log.core.update({ wait: true }), feed.core.update({ wait: true })])

  const first = { log: [], feed: [] }
  for await (const { key, value, type, seq } of log.createHistoryStream()) first.log.push({ seq, type, key, value })
  for await (const { key, value } of feed.createReadStream({ gte: 'item/', lt: 'item0', reverse: true, limit: 30 })) first.feed.push({ key, value })
  print(first)

  follow('log', log)
  follow('feed', feed)
}

async function follow (name, bee) {
  for await (const { key, value, type, seq } of bee.createHistoryStream({ gte: bee.version, live: true })) print({ name, seq, type, key, value })
}

const print = (line) => process.stdout.write(JSON.stringify(line) + '\n')
process.stdin.on('end', () => process.exit()).resume()
main().catch((error) => { console.error(error); process.exit(1) })
