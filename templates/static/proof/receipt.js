// A signed coverage receipt: {statement: "<JSON as text>", key, signature}. The counterpart of feedagg/signed_receipts.py.

import { blake2b } from './noble.js'
import { ProofError } from './file.js'
import { join, verify } from './tree.js'

const PREFIX = new TextEncoder().encode('meadow statement 1\n')

const unhex = (text) => {
  if (typeof text !== 'string' || !/^([0-9a-f]{2})*$/.test(text)) throw new ProofError('this is neither a proof file nor a receipt')
  return Uint8Array.from(text.match(/../g) || [], (pair) => parseInt(pair, 16))
}

// {statement, key}; a ProofError when it is none, or not signed.
export function checkReceipt (bytes) {
  let signed, statement
  try {
    signed = JSON.parse(new TextDecoder().decode(bytes))
    statement = JSON.parse(signed.statement)
  } catch {
    throw new ProofError('this is neither a proof file nor a receipt')
  }
  if (statement === null || statement.kind !== 'meadow-receipt') throw new ProofError('this is neither a proof file nor a receipt')
  const message = join(PREFIX, blake2b(new TextEncoder().encode(signed.statement), { dkLen: 32 }))
  if (!verify(unhex(signed.signature), message, unhex(signed.key))) throw new ProofError('the signature of the receipt is not valid')
  return { statement, key: signed.key }
}
