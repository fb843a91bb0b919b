// checkFile(bytes): what a proof file proves, or a ProofError that says what does not hold. Needs nothing but the file and
// the crypto library beside it: no network, no page. The counterpart of core/evidence/check.py.

import { CONFLICT, HISTORY, LOOKUP, ProofError, RECORD, decodeFile } from './file.js'
import { Known, same } from './tree.js'
import { find, isRemoval, parseBlock } from './bee.js'

export { CONFLICT, HISTORY, LOOKUP, ProofError, RECORD }

// {kind, key, subject, fork, length, atLength, atHash, versions: [{seq, value}], otherHash}; value null is a removal.
export function checkFile (bytes) {
  const file = decodeFile(bytes)
  if (!file.messages.length) throw new ProofError('the file holds no proof')
  if (file.kind === CONFLICT) return checkConflict(file)
  const known = new Known(file.key, file.messages[0])
  for (const message of file.messages.slice(1)) known.add(message)
  const versions = file.kind === LOOKUP ? lookedUp(known, file.subject) : operations(file)
  return finding(file, known, versions, null)
}

function finding (file, known, versions, otherHash) {
  const { fork, length, atLength, atHash } = known
  return { kind: file.kind, key: file.key, subject: file.subject, fork, length, atLength, atHash, versions, otherHash }
}

function lookedUp (known, subject) {
  if (known.atLength !== known.length) throw new ProofError('a lookup is proved in the version that was signed')
  const seq = find(known.blocks, known.length, subject)
  if (seq === null) return []
  if (!known.blocks.has(seq)) throw new ProofError(`the lookup comes to block ${seq}, which is not in the file`)
  return [{ seq, value: parseBlock(known.blocks.get(seq)).value || new Uint8Array() }]
}

function operations (file) {
  const versions = []
  for (const message of file.messages) {
    if (!message.block) throw new ProofError('the file holds no block')
    const seq = message.block.index
    const block = parseBlock(message.block.value)
    if (seq === 0 || !same(block.key, file.subject)) throw new ProofError(`block ${seq} is no operation on the key that the file names`)
    if (versions.length && versions.at(-1).seq <= seq) throw new ProofError('a history goes from the newest block to older ones')
    versions.push({ seq, value: block.value || (isRemoval(block, seq) ? null : new Uint8Array()) })
  }
  if (file.kind === RECORD && versions.length !== 1) throw new ProofError('the proof of a record holds one block')
  return versions
}

function checkConflict (file) {
  if (file.messages.length !== 2 || file.subject.length) throw new ProofError('evidence of two trees consists of two proofs and nothing else')
  const [first, second] = file.messages.map((message) => new Known(file.key, message))
  if (first.blocks.size || second.blocks.size) throw new ProofError('evidence of two trees holds no blocks')
  if (first.fork !== second.fork || first.atLength !== second.atLength) {
    throw new ProofError('the two trees are of different lengths or forks, which every log may have')
  }
  if (same(first.atHash, second.atHash)) throw new ProofError('the two trees are one and the same')
  first.length = Math.max(first.length, second.length)
  return finding(file, first, [], second.atHash)
}
