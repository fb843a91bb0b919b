// A proof file as bytes: what it claims and the messages in it. The counterpart of core/evidence/file.py; docs/proof-file.md
// is the definition. Nothing here judges; what cannot be read is a ProofError with a sentence.

export class ProofError extends Error {}

export const RECORD = 1
export const LOOKUP = 2
export const HISTORY = 3
export const CONFLICT = 4

const MAGIC = 'meadowpf'
const VERSION = 1
const MAX_BYTES = 16 * 1024 * 1024
const MAX_MESSAGES = 1024
const MAX_ITEMS = 0x100000
const [BLOCK, UPGRADE, MANIFEST] = [1, 8, 16]

// Reads compact-encoding, and insists on the shortest form of every integer: one file has one spelling.
export class Reader {
  constructor (bytes) {
    this.bytes = bytes
    this.at = 0
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  }

  get done () { return this.at === this.bytes.length }

  fixed (size) {
    if (this.at + size > this.bytes.length) throw new ProofError('the file ends in the middle of something')
    this.at += size
    return this.bytes.subarray(this.at - size, this.at)
  }

  uint () {
    const first = this.fixed(1)[0]
    if (first < 0xfd) return first
    const size = { 0xfd: 2, 0xfe: 4, 0xff: 8 }[first]
    const start = this.at
    this.fixed(size)
    const value = size === 2 ? this.view.getUint16(start, true)
      : size === 4 ? this.view.getUint32(start, true)
        : Number(this.view.getBigUint64(start, true))
    if (value > Number.MAX_SAFE_INTEGER) throw new ProofError('an integer is larger than 2^53-1')
    if (value < { 2: 0xfd, 4: 0x10000, 8: 0x100000000 }[size]) throw new ProofError('an integer is not in its shortest form')
    return value
  }

  buffer () { return this.fixed(this.uint()) }

  list (read) {
    const count = this.uint()
    if (count > MAX_ITEMS) throw new ProofError('a list is longer than anybody sends')
    const items = []
    for (let i = 0; i < count; i++) items.push(read())
    return items
  }

  node () { return { index: this.uint(), size: this.uint(), hash: this.fixed(32) } }
}

// {kind, key, subject, messages}
export function decodeFile (bytes) {
  if (bytes.length > MAX_BYTES) throw new ProofError('a proof file has at most 16 MiB')
  const reader = new Reader(bytes)
  const magic = bytes.length < 8 ? '' : String.fromCharCode(...reader.fixed(8))
  if (magic !== MAGIC) throw new ProofError('this is not a proof file: it does not begin with the word meadowpf')
  const version = reader.uint()
  if (version !== VERSION) throw new ProofError(`the file is of version ${version}, and this page reads version ${VERSION}`)
  const kind = reader.uint()
  if (kind < RECORD || kind > CONFLICT) throw new ProofError(`there is no kind of proof with the number ${kind}`)
  const key = reader.fixed(32)
  const subject = reader.buffer()
  const count = reader.uint()
  if (count > MAX_MESSAGES) throw new ProofError(`a proof file has at most ${MAX_MESSAGES} messages`)
  const messages = []
  for (let i = 0; i < count; i++) messages.push(decodeMessage(reader.buffer()))
  if (!reader.done) throw new ProofError('the file holds bytes that belong to nothing in it')
  return { kind, key, subject, messages }
}

// One `data` message of the wire with the request number 0: a block, an upgrade and a manifest, each optional.
function decodeMessage (bytes) {
  const reader = new Reader(bytes)
  const flags = reader.uint()
  if (flags & ~(BLOCK | UPGRADE | MANIFEST)) throw new ProofError('a message holds a part that no proof file has')
  if (reader.uint() !== 0) throw new ProofError('a message answers a request, and in a file nobody asked')
  const message = { fork: reader.uint(), block: null, upgrade: null, manifest: null }
  if (flags & BLOCK) {
    message.block = { index: reader.uint(), value: reader.buffer(), nodes: reader.list(() => reader.node()) }
  }
  if (flags & UPGRADE) {
    message.upgrade = {
      start: reader.uint(),
      length: reader.uint(),
      nodes: reader.list(() => reader.node()),
      additional: reader.list(() => reader.node()),
      signature: reader.buffer()
    }
  }
  if (flags & MANIFEST) message.manifest = decodeManifest(reader)
  if (!reader.done) throw new ProofError('a message holds bytes that belong to nothing in it')
  return message
}

// `raw` is what the log's key is a hash of.
function decodeManifest (reader) {
  const start = reader.at
  const version = reader.uint()
  if (version > 2) throw new ProofError(`a manifest of version ${version} is newer than this page`)
  const manifest = version === 0 ? decodeManifest0(reader) : decodeManifest1(reader)
  return { version, ...manifest, raw: reader.bytes.subarray(start, reader.at) }
}

function decodeManifest1 (reader) {
  const flags = reader.uint()
  if (flags & ~15) throw new ProofError('a manifest has a part that nobody knows')
  hashName(reader)
  const quorum = reader.uint()
  const signers = reader.list(() => signer(reader))
  let hasPrologue = false
  if (flags & 2) { hasPrologue = true; reader.fixed(32); reader.uint() }
  if (flags & 4) reader.list(() => reader.fixed(32))
  if (flags & 8) reader.buffer()
  return { allowPatch: Boolean(flags & 1), quorum, signers, hasPrologue }
}

function decodeManifest0 (reader) {
  hashName(reader)
  const type = reader.uint()
  if (type === 0) {
    reader.fixed(32)
    return { allowPatch: false, quorum: 0, signers: [], hasPrologue: true }
  }
  if (type === 1) return { allowPatch: false, quorum: 1, signers: [signer(reader)], hasPrologue: false }
  if (type !== 2) throw new ProofError(`a version 0 manifest has no type ${type}`)
  const flags = reader.uint()
  const quorum = reader.uint()
  const signers = reader.list(() => signer(reader))
  if (flags > 1 || (quorum === 1 && signers.length === 1 && !flags)) throw new ProofError('a manifest is not in its shortest form')
  return { allowPatch: Boolean(flags), quorum, signers, hasPrologue: false }
}

function hashName (reader) {
  if (reader.uint() !== 0) throw new ProofError('a manifest asks for a hash that is not BLAKE2b')
}

function signer (reader) {
  if (reader.uint() !== 0) throw new ProofError('a signer uses a scheme that is not Ed25519')
  return { namespace: reader.fixed(32), publicKey: reader.fixed(32) }
}
