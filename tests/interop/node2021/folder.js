// Writes a storage folder as hyperspace did in 2021, with the official packages of then.
//   node folder.js FOLDER new    bees `movies` (300 movies, some deleted, a sub-database) and `default`, a log that is no
//                                bee, and a bee of somebody else (in FOLDER-elsewhere) of which only a part was read
//   node folder.js FOLDER more   goes on with `movies`
// Writes one line of JSON: the keys (hex), and what each bee holds.
'use strict'
const Corestore = require('corestore')
const Hyperbee = require('hyperbee')

const OPTIONS = { keyEncoding: 'utf-8', valueEncoding: 'json' }

async function open (store, options) {
  const feed = options.name === 'default' ? store.default() : store.get(options)
  await feed.ready()
  return feed
}

async function bee (feed) {
  const db = new Hyperbee(feed, OPTIONS)
  await db.ready()
  return db
}

async function entries (db) {
  const all = []
  for await (const { key, value } of db.createReadStream()) all.push([key, value])
  return all
}

async function write (store) {
  const movies = await bee(await open(store, { name: 'movies' }))
  const batch = movies.batch()
  for (let i = 0; i < 300; i++) await batch.put('m/' + String(i).padStart(4, '0'), { title: 'Movie ' + i, year: 1900 + (i % 120) })
  await batch.flush()
  for (let i = 0; i < 300; i += 7) await movies.del('m/' + String(i).padStart(4, '0'))
  await movies.sub('lists').put('best', ['m/0001', 'ünïcode'])
  const first = await bee(await open(store, { name: 'default' }))
  await first.put('hello', 'world')
  const log = await open(store, { name: 'log' })
  await new Promise((resolve, reject) => log.append(['just', 'a', 'log'], (error) => error ? reject(error) : resolve()))

  const elsewhere = new Corestore(process.argv[2] + '-elsewhere')
  await elsewhere.ready()
  const theirs = await bee(await open(elsewhere, { name: 'theirs' }))
  for (let i = 0; i < 64; i++) await theirs.put('t/' + String(i).padStart(2, '0'), i)
  const copy = store.get({ key: theirs.feed.key, sparse: true })
  await copy.ready()
  const one = theirs.feed.replicate(true, { live: true })
  one.pipe(copy.replicate(false, { live: true })).pipe(one)
  const read = new Hyperbee(copy, OPTIONS)
  await new Promise((resolve) => copy.update({ ifAvailable: true }, resolve))
  await read.get('t/05')
  return {
    movies: { key: movies.feed.key.toString('hex'), entries: await entries(movies) },
    default: { key: first.feed.key.toString('hex'), entries: await entries(first) },
    theirs: { key: theirs.feed.key.toString('hex'), entries: await entries(theirs) },
    log: { key: log.key.toString('hex') }
  }
}

async function more (store) {
  const movies = await bee(await open(store, { name: 'movies' }))
  await movies.put('m/0001', { title: 'Changed then' })
  await movies.put('m/0002', { title: 'Also changed then' })
  await movies.put('m/9999', { title: 'Added then' })
  await movies.del('m/0003')
  return { movies: { key: movies.feed.key.toString('hex'), entries: await entries(movies) } }
}

async function main () {
  const store = new Corestore(process.argv[2])
  await store.ready()
  const told = await (process.argv[3] === 'more' ? more : write)(store)
  console.log(JSON.stringify(told))
  store.close(() => process.exit(0))
}
main().catch((error) => {
  console.error(error)
  process.exit(1)
})
