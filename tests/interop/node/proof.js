// Proof files, judged twice: by the page's own code (templates/static/proof/check.js) and by the official packages, which
// read the messages as those of a peer and answer a lookup from nothing but the blocks that came with them.
//
// Reads JSON lines {id, do: 'ours' | 'official', file: base64} and answers {id, ok, ...}.
const path = require('path')
const os = require('os')
const fs = require('fs')
const readline = require('readline')
const { pathToFileURL } = require('url')
const Hypercore = require('hypercore')
const Hyperbee = require('hyperbee')
const c = require('compact-encoding')
const crypto = require('hypercore-crypto')
const { MerkleTree } = require('hypercore/lib/merkle-tree')
const { wire } = require('hypercore/lib/messages')

const CHECK = path.resolve(__dirname, '../../../templates/static/proof/check.js')
const scratch = fs.mkdtempSync(path.join(os.tmpdir(), 'proof-'))
let number = 0
process.on('exit', () => fs.rmSync(scratch, { recursive: true, force: true }))

const hex = (bytes) => bytes && Buffer.from(bytes).toString('hex')

async function ours (bytes) {
  const { checkFile } = await import(pathToFileURL(CHECK))
  const found = checkFile(new Uint8Array(bytes))
  return {
    ...found,
    key: hex(found.key),
    subject: hex(found.subject),
    atHash: hex(found.atHash),
    otherHash: hex(found.otherHash),
    versions: found.versions.map(({ seq, value }) => ({ seq, value: hex(value) }))
  }
}

function decode (bytes) {
  const state = { start: 0, end: bytes.length, buffer: bytes }
  const magic = c.fixed(8).decode(state).toString()
  if (magic !== 'meadowpf' || c.uint.decode(state) !== 1) throw new Error('no proof file')
  const kind = c.uint.decode(state)
  const key = c.fixed32.decode(state)
  const subject = c.buffer.decode(state) || Buffer.alloc(0)
  const messages = c.array(c.buffer).decode(state).map((message) => c.decode(wire.data, message))
  return { kind, key, subject, messages }
}

async function official (bytes) {
  const { kind, key, subject, messages } = decode(bytes)
  if (kind === 4) {
    const hashes = []
    for (const message of messages) hashes.push(await into(key, [message], async (core) => ({ length: core.length, hash: await treeHash(core) })))
    return { kind, trees: hashes }
  }
  return into(key, messages, async (core) => {
    const found = { kind, key: hex(core.key), fork: core.fork, length: core.length, treeHash: await treeHash(core) }
    if (kind === 2) {
      const bee = new Hyperbee(core, { keyEncoding: 'binary', valueEncoding: 'binary', extension: false })
      const node = await bee.get(subject, { wait: false, update: false })
      return { ...found, versions: node ? [{ seq: node.seq, value: hex(node.value) }] : [] }
    }
    const versions = []
    for (const { block } of messages) {
      const bee = new Hyperbee(core, { keyEncoding: 'binary', valueEncoding: 'binary', extension: false })
      const node = await bee.getBySeq(block.index, { wait: false })
      if (hex(node.key) !== hex(subject)) throw new Error('another key')
      versions.push({ seq: block.index, value: hex(node.value) })
    }
    return { ...found, versions }
  })
}

const treeHash = async (core) => hex(crypto.tree(await MerkleTree.getRoots(core.state, core.length)))

// A fresh, empty core of that key, fed with the messages as if a peer had sent them.
async function into (key, messages, look) {
  const core = new Hypercore(path.join(scratch, String(number++)), key)
  await core.ready()
  try {
    for (const message of messages) {
      if (message.fork !== core.fork && message === messages[0] && message.block === null) {
        // Another fork than that of a new log comes in as a reorg, as it does from a peer.
        if (!(await core.core.reorg(await core.core.verifyReorg(message)))) throw new Error('not accepted')
        continue
      }
      if (!(await core.core.verify(message))) throw new Error('not accepted')
    }
    return await look(core)
  } finally {
    await core.close()
  }
}

const verbs = { ours, official }
readline.createInterface({ input: process.stdin }).on('line', async (line) => {
  const { id, do: verb, file } = JSON.parse(line)
  let answer
  try {
    answer = { id, ok: await verbs[verb](Buffer.from(file, 'base64')) }
  } catch (error) {
    answer = { id, error: String(error.message || error), code: error.code || error.name }
  }
  process.stdout.write(JSON.stringify(answer) + '\n')
}).on('close', () => process.exit())
