// The blocks of a bee, and looking a key up in those that a file proves. The counterpart of core/hyperbee/node.py and
// BlockReader.find; the formats are those of hyperbee 2.27.3.

import { ProofError } from './file.js'
import { same } from './tree.js'

const MAX_DEPTH = 64
const [VARINT, FIXED64, BYTES, FIXED32] = [0, 1, 2, 5]

function leb128 (bytes, at) {
  let value = 0n
  for (let shift = 0n; shift < 70n; shift += 7n) {
    if (at >= bytes.length) throw new ProofError('a block ends inside an integer')
    const byte = bytes[at++]
    value |= BigInt(byte & 0x7f) << shift
    if (byte < 0x80) {
      if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw new ProofError('a block holds an integer larger than 2^53-1')
      return [Number(value), at]
    }
  }
  throw new ProofError('a block holds an integer longer than ten bytes')
}

// The fields of a Protocol Buffers message: [number, wire type, content].
function fields (bytes) {
  const found = []
  let at = 0
  while (at < bytes.length) {
    let tag, length
    ;[tag, at] = leb128(bytes, at)
    const kind = tag % 8
    let end
    if (kind === BYTES) { [length, at] = leb128(bytes, at); end = at + length }
    else if (kind === VARINT) end = leb128(bytes, at)[1]
    else if (kind === FIXED64) end = at + 8
    else if (kind === FIXED32) end = at + 4
    else throw new ProofError(`a block has a field of the unknown type ${kind}`)
    if (end > bytes.length) throw new ProofError('a block ends inside a field')
    found.push([Math.floor(tag / 8), kind, bytes.subarray(at, end)])
    at = end
  }
  return found
}

// {index, key, value}; value is null for a removal.
export function parseBlock (bytes) {
  let [index, key, value] = [null, null, null]
  for (const [number, kind, content] of fields(bytes)) {
    if (number > 3) continue
    if (kind !== BYTES) throw new ProofError('a field of the block is not of type bytes')
    if (number === 1) index = content
    else if (number === 2) key = content
    else if (number === 3) value = content
  }
  if (!index || !key) throw new ProofError('the block is no operation of a bee')
  return { index, key, value }
}

function packed (bytes) {
  const values = []
  let at = 0
  while (at < bytes.length) {
    let value
    ;[value, at] = leb128(bytes, at)
    values.push(value)
  }
  return values
}

// The tree node number `level` of a block: the blocks of its keys, and [block, level] of each child.
function decodeLevel (index, level) {
  let body = null
  let rest = index
  for (let i = 0; i <= level; i++) {
    if (rest.length < 2 || rest[0] !== 0x0a) throw new ProofError('the block has no such tree node')
    const [length, start] = leb128(rest, 1)
    if (start + length > rest.length) throw new ProofError('the block has no such tree node')
    body = rest.subarray(start, start + length)
    rest = rest.subarray(start + length)
  }
  const seqs = []
  const pairs = []
  for (const [number, kind, content] of fields(body)) {
    if (kind !== BYTES) throw new ProofError('a field of a tree node is not packed')
    if (number === 1) seqs.push(...packed(content))
    else if (number === 2) pairs.push(...packed(content))
  }
  if (pairs.length && pairs.length !== 2 * seqs.length + 2) throw new ProofError('the children of a tree node do not fit its keys')
  return { seqs, pairs }
}

// A removal is an operation without a value that its own tree does not hold; a null that was put is held.
export function isRemoval (block, seq) {
  if (block.value) return false
  for (const [number, kind, level] of fields(block.index)) {
    if (number !== 1 || kind !== BYTES) continue
    for (const [inner, wire, content] of fields(level)) {
      if (inner === 1 && wire === BYTES && packed(content).includes(seq)) return false
    }
  }
  return true
}

function compare (a, b) {
  for (let i = 0; i < Math.min(a.length, b.length); i++) if (a[i] !== b[i]) return a[i] - b[i]
  return a.length - b.length
}

// The operation that gave `target` its value in the tree of `version` blocks, or null. Needs no block but those proved.
export function find (blocks, version, target) {
  const block = (seq) => {
    if (!blocks.has(seq)) throw new ProofError(`the lookup comes to block ${seq}, which is not in the file`)
    return parseBlock(blocks.get(seq))
  }
  if (version < 2) return null
  let [seq, level] = [version - 1, 0]
  for (let depth = 0; depth <= MAX_DEPTH; depth++) {
    const here = block(seq)
    const node = decodeLevel(here.index, level)
    if (same(here.key, target)) return isRemoval(here, seq) ? null : seq
    let [low, high] = [0, node.seqs.length]
    while (low < high) {
      const middle = (low + high) >> 1
      const order = compare(target, node.seqs[middle] === seq ? here.key : block(node.seqs[middle]).key)
      if (order === 0) return node.seqs[middle]
      if (order < 0) high = middle
      else low = middle + 1
    }
    if (!node.pairs.length) return null
    ;[seq, level] = node.pairs.slice(2 * low, 2 * low + 2)
  }
  throw new ProofError('the tree is deeper than any honest one')
}
