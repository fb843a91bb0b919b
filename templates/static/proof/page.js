// The page /proof: checks the files that came with it, and those that a reader chooses or drops. Nothing is sent anywhere.
// What a file says is shown as text only; it may be by anybody.

import { CONFLICT, HISTORY, LOOKUP, checkFile } from './check.js'
import { checkReceipt } from './receipt.js'
import { words } from './words.js'

const hex = (bytes) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('')
const text = (bytes) => new TextDecoder().decode(bytes)
const number = (n) => n.toLocaleString()

function element (name, className, content = '') {
  const made = document.createElement(name)
  if (className) made.className = className
  made.textContent = content
  return made
}

function notice (kind, sentence) {
  const box = element('div', `notice notice-${kind}`)
  box.setAttribute('role', kind === 'bad' ? 'alert' : 'status')
  box.append(element('p', '', sentence))
  return box
}

function facts (rows) {
  const list = element('dl', 'stack small')
  for (const [name, value] of rows) {
    const row = element('div')
    row.append(element('dt', 'muted', name))
    const dd = element('dd')
    dd.append(element('code', 'key', value))
    row.append(dd)
    list.append(row)
  }
  return list
}

// What a version says, and every byte of it.
function saidBy (value) {
  const whole = element('details', 'small')
  whole.append(element('summary', 'muted', 'Word for word, as it was signed'), element('code', 'key', text(value)))
  return [element('blockquote', 'prose', words(value)), whole]
}

function sentence (found) {
  const tree = `the log of ${number(found.length)} blocks that this key signed`
  const version = found.versions[0]
  if (found.kind === CONFLICT) return `True: this key signed two different histories of ${number(found.atLength)} blocks.`
  if (found.kind === HISTORY) return `True: ${found.versions.length} versions of this record are blocks of ${tree}.`
  if (found.kind === LOOKUP && !version) return `True: in ${tree}, this key of the bee maps to nothing.`
  if (found.kind === LOOKUP) return `True: in ${tree}, this key of the bee maps to block ${number(version.seq)}.`
  if (version.value === null) return `True: block ${number(version.seq)} of ${tree} removes this key of the bee.`
  return `True: this is block ${number(version.seq)} of ${tree}.`
}

function show (found) {
  const parts = [notice('ok', `${sentence(found)} Checked in this browser.`)]
  for (const version of found.versions) {
    if (found.kind === HISTORY) parts.push(element('p', 'small muted', `Block ${number(version.seq)}${version.value === null ? ': removed' : ''}`))
    if (version.value !== null) parts.push(...saidBy(version.value))
  }
  const rows = [['Key of the bee', hex(found.key)]]
  if (found.kind !== CONFLICT) rows.push(['Key of the record', text(found.subject)])
  if (found.fork) rows.push(['Fork', number(found.fork)])
  if (found.kind === CONFLICT) rows.push(['Hash of one tree', hex(found.atHash)], ['Hash of the other', hex(found.otherHash)])
  else if (found.atLength !== found.length) rows.push([`Hash of the tree of ${number(found.atLength)} blocks`, hex(found.atHash)])
  parts.push(facts(rows))
  return parts
}

// A signed receipt (JSON): what an aggregator said about a bee, under its own key.
function showReceipt (bytes) {
  const said = checkReceipt(bytes)
  const rows = Object.entries(said.statement).map(([name, value]) => [name, typeof value === 'string' ? value : JSON.stringify(value)])
  return [notice('ok', `True: the aggregator ${said.key.slice(0, 8)}… said this. Checked in this browser.`), facts([['Key of the aggregator', said.key], ...rows])]
}

// Fills `box` with what the file shows, and returns it; null when it shows nothing.
function check (box, bytes) {
  try {
    if (bytes[0] === 0x7b) {
      box.replaceChildren(...showReceipt(bytes))
      return null
    }
    const found = checkFile(bytes)
    box.replaceChildren(...show(found))
    return found
  } catch (error) {
    box.replaceChildren(notice('bad', `This proves nothing: ${error.message || error}.`))
    return null
  }
}

// A record in an earlier tree, and a log's entry that named the hash of that tree: then the block existed by then.
function witnessed (findings) {
  for (const entry of findings) {
    if (entry.kind !== LOOKUP || !entry.versions.length || !text(entry.subject).startsWith('read/')) continue
    let said
    try { said = JSON.parse(text(entry.versions[0].value)) } catch { continue }
    const bee = text(entry.subject).split('/')[1]
    for (const record of findings) {
      if (record === entry || hex(record.key) !== bee) continue
      if (said.tree === hex(record.atHash) && said.length === record.atLength && said.fork === record.fork) {
        const when = new Date(said.at).toLocaleString()
        return notice('ok', `Both fit together: the log ${hex(entry.key).slice(0, 8)}… named the hash of a tree with this block in it on ${when}. So the block existed by then, if that log’s owner told the time truly when it was written.`)
      }
    }
  }
  return null
}

function decode (base64) {
  const raw = atob(base64)
  return Uint8Array.from(raw, (character) => character.charCodeAt(0))
}

const brought = []
for (const box of document.querySelectorAll('[data-proof]')) brought.push(check(box, decode(box.dataset.proof)))
const together = document.getElementById('proof-together')
const fit = witnessed(brought.filter(Boolean))
if (together && fit) together.append(fit)

const drop = document.getElementById('proof-drop')
const input = document.getElementById('proof-file')
const place = document.getElementById('proof-found')

async function checkAll (files) {
  place.replaceChildren()
  const findings = []
  for (const file of files) {
    const section = element('section', 'proof')
    const box = element('div')
    section.append(element('h3', '', file.name), box)
    place.append(section)
    if (file.size > 16 * 1024 * 1024) box.append(notice('bad', 'This proves nothing: a proof file has at most 16 MiB.'))
    else findings.push(check(box, new Uint8Array(await file.arrayBuffer())))
  }
  const fits = witnessed(findings.filter(Boolean))
  if (fits) place.prepend(fits)
}

if (drop) {
  input.addEventListener('change', () => checkAll(input.files))
  drop.addEventListener('dragover', (event) => { event.preventDefault(); drop.classList.add('proof-over') })
  drop.addEventListener('dragleave', () => drop.classList.remove('proof-over'))
  drop.addEventListener('drop', (event) => {
    event.preventDefault()
    drop.classList.remove('proof-over')
    checkAll(event.dataTransfer.files)
  })
}
