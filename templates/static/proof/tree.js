// Merkle trees and signatures of a hypercore: from messages to nodes that somebody signed for. The counterpart of
// core/hypercore/proof_verify.py and signatures.py; the formats are those of hypercore 11.37.1 and hypercore-crypto 3.7.0.

import { blake2b, ed25519 } from './noble.js'
import { ProofError, Reader } from './file.js'

const hash = (...parts) => blake2b(join(...parts), { dkLen: 32 })
const ascii = (text) => new TextEncoder().encode(text)

export function join (...parts) {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0))
  let at = 0
  for (const part of parts) { whole.set(part, at); at += part.length }
  return whole
}

export const same = (a, b) => a.length === b.length && a.every((byte, i) => byte === b[i])

function u64 (value) {
  const bytes = new Uint8Array(8)
  new DataView(bytes.buffer).setBigUint64(0, BigInt(value), true)
  return bytes
}

// hypercore 11.37.1 lib/caps.js
const SEED = hash(ascii('hypercore'))
const TREE = hash(SEED, [0])
const MANIFEST = hash(SEED, [3])

const leaf = (index, value) => ({ index: 2 * index, size: value.length, hash: hash([0], u64(value.length), value) })
const parentOf = (left, right, index) => {
  const size = left.size + right.size
  if (size > Number.MAX_SAFE_INTEGER) throw new ProofError('the tree claims to cover more than 2^53 bytes')
  return { index, size, hash: hash([1], u64(size), left.hash, right.hash) }
}
const treeHash = (roots) => hash([2], ...roots.flatMap((root) => [root.hash, u64(root.index), u64(root.size)]))

// --- numbers of a flat tree: a leaf is even, and 2^d - 1 stands in the middle of 2^d leaves ------------------------

function span (index) {
  let leaves = 1
  while (index % 2) { index = (index - 1) / 2; leaves *= 2 }
  return leaves
}
const sibling = (index) => {
  const leaves = span(index)
  return (index + 1 - leaves) / (2 * leaves) % 2 ? index - 2 * leaves : index + 2 * leaves
}
const above = (index) => (index + sibling(index)) / 2
const leftEnd = (index) => index + 1 - span(index)

function fullRoots (length) {
  const roots = []
  let at = 0
  while (length > 0) {
    let leaves = 1
    while (2 * leaves <= length) leaves *= 2
    roots.push(2 * at + leaves - 1)
    at += leaves
    length -= leaves
  }
  return roots
}

// --- a path ----------------------------------------------------------------------------------------------------------

// From a block up along all of `nodes`; calls `see` with everything met on the way. Returns the node at the top.
function climb (block, see) {
  let node = leaf(block.index, block.value)
  see(node)
  for (const beside of block.nodes) {
    if (beside.index !== sibling(node.index)) throw new ProofError(`the path of block ${block.index} does not lead upwards`)
    see(beside)
    node = beside.index < node.index ? parentOf(beside, node, above(node.index)) : parentOf(node, beside, above(node.index))
    see(node)
  }
  return node
}

// --- a tree that a key signed ------------------------------------------------------------------------------------

// What the messages of a file prove, one after the other. `length`, `fork`: the signed tree; `atLength`, `atHash`: the tree
// up to which the first message leads before it goes on to the signed one; `blocks`: number -> bytes.
export class Known {
  constructor (key, first) {
    const upgrade = first.upgrade
    if (!upgrade || upgrade.start !== 0) throw new ProofError('the first message must lead from nothing to a signed tree')
    if (upgrade.length === 0) throw new ProofError('a tree of nothing proves nothing')
    const manifest = manifestOf(key, first.manifest)
    this.fork = first.fork
    this.nodes = new Map()
    this.blocks = new Map()
    this.roots = []
    this.length = 0
    const see = (node) => this.nodes.set(node.index, node)
    let claimed = first.block && climb(first.block, see)
    const queue = upgrade.nodes.slice()
    for (const index of fullRoots(upgrade.length)) {
      let node
      if (claimed && claimed.index === index) { node = claimed; claimed = null } else node = queue.shift()
      if (!node || node.index !== index) throw new ProofError(`the proof lacks node ${index} of the tree`)
      this.push(node)
    }
    if (queue.length) throw new ProofError('the proof holds nodes that nothing vouches for')
    this.atLength = this.length
    this.atHash = treeHash(this.roots)
    for (const node of upgrade.additional) {
      if (leftEnd(node.index) !== 2 * this.length) throw new ProofError(`node ${node.index} does not follow the tree`)
      this.push(node)
    }
    if (claimed) throw new ProofError('the block is not in the tree that was signed')
    if (!isSigned(manifest, key, treeHash(this.roots), this.length, this.fork, upgrade.signature)) {
      throw new ProofError(`the signature of the tree of ${this.length} blocks is not valid`)
    }
    if (first.block) this.blocks.set(first.block.index, first.block.value)
  }

  push (node) {
    this.length += span(node.index)
    this.nodes.set(node.index, node)
    while (this.roots.length && this.roots.at(-1).index === sibling(node.index)) {
      const left = this.roots.pop()
      node = parentOf(left, node, above(node.index))
      this.nodes.set(node.index, node)
    }
    this.roots.push(node)
    if (this.roots.reduce((sum, root) => sum + root.size, 0) > Number.MAX_SAFE_INTEGER) {
      throw new ProofError('the tree claims to cover more than 2^53 bytes')
    }
  }

  // One more block, up to a node that is known by now.
  add (message) {
    const { block, upgrade, manifest, fork } = message
    if (!block || upgrade || manifest) throw new ProofError('every message after the first must be one block and its path')
    if (fork !== this.fork) throw new ProofError('the messages are about different forks of the log')
    if (block.index >= this.length) throw new ProofError(`block ${block.index} lies beyond the signed length ${this.length}`)
    const seen = []
    const top = climb(block, (node) => seen.push(node))
    const known = this.nodes.get(top.index)
    if (!known || !same(known.hash, top.hash)) throw new ProofError(`block ${block.index} is not in the tree that was signed`)
    for (const node of seen) this.nodes.set(node.index, node)
    this.blocks.set(block.index, block.value)
  }
}

// --- who may sign, and whether they did ------------------------------------------------------------------------------

// The manifest, if the log's key stands for it; without one, the key itself is the signer's.
function manifestOf (key, given) {
  const manifest = given || {
    version: 1, allowPatch: false, quorum: 1, signers: [{ namespace: new Uint8Array(32), publicKey: key }], hasPrologue: false
  }
  const isCompat = manifest.signers.length === 1 && same(manifest.signers[0].publicKey, key)
  if (!isCompat && !same(hash(MANIFEST, manifest.raw), key)) throw new ProofError('the manifest is not the one of this key')
  if (!isCompat && (manifest.hasPrologue || manifest.allowPatch)) {
    throw new ProofError('this page cannot check logs with a prologue or with patched signatures; feedagg verify can')
  }
  return { ...manifest, isCompat }
}

function isSigned (manifest, key, root, length, fork, signature) {
  const tail = [root, u64(length), u64(fork)]
  const holds = (signer, bytes) => {
    const context = manifest.isCompat ? [] : [manifest.version === 0 ? signer.namespace : key]
    return verify(bytes, join(TREE, ...context, ...tail), signer.publicKey)
  }
  if (manifest.isCompat || (manifest.version === 0 && manifest.signers.length === 1)) return holds(manifest.signers[0], signature)
  let parts
  try { parts = signatures(signature, manifest.version) } catch { return false }
  if (manifest.quorum === 0 || manifest.quorum > parts.length) return false
  const tried = new Set()
  for (const part of parts.slice(0, manifest.quorum)) {
    const signer = manifest.signers[part.signer]
    if (!signer || tried.has(part.signer) || !holds(signer, part.signature)) return false
    tried.add(part.signer)
  }
  return true
}

// The container in which signatures travel. What a patch says is read over: it counts only where patches are allowed.
function signatures (bytes, version) {
  const reader = new Reader(bytes)
  const parts = reader.list(() => {
    if (version > 0) return { signer: reader.uint(), signature: reader.fixed(64), patch: reader.uint() }
    const flags = reader.uint()
    const part = { signer: reader.uint(), signature: reader.fixed(64) }
    if (flags & 1) { reader.uint(); reader.uint(); reader.list(() => reader.uint()) }
    return part
  })
  reader.list(() => reader.node())
  return parts
}

export function verify (signature, message, publicKey) {
  try {
    return signature.length === 64 && ed25519.verify(signature, message, publicKey, { zip215: false })
  } catch {
    return false
  }
}
