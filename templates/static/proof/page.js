// The page /proof: checks the files that came with it, and those that a reader chooses or drops. Nothing is sent anywhere.
// What a file says is shown as text only; it may be by anybody.

import { CONFLICT, HISTORY, LOOKUP, checkFile } from './check.js'

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

// What a record says: its text or its title; else its bytes.
function words (value) {
  const raw = text(value)
  try {
    const record = JSON.parse(raw)
    for (const said of [record.text, record.title, record.name, record.film && record.film.title]) {
      if (typeof said === 'string' && said) return said
    }
  } catch { /* not JSON: shown as it is */ }
  return raw.slice(0, 2000)
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
    if (version.value !== null) parts.push(element('blockquote', 'prose', words(version.value)))
  }
  const rows = [['Key of the bee', hex(found.key)]]
  if (found.kind !== CONFLICT) rows.push(['Key of the record', text(found.subject)])
  if (found.fork) rows.push(['Fork', number(found.fork)])
  if (found.kind === CONFLICT) rows.push(['Hash of one tree', hex(found.atHash)], ['Hash of the other', hex(found.otherHash)])
  else if (found.atLength !== found.length) rows.push([`Hash of the tree of ${number(found.atLength)} blocks`, hex(found.atHash)])
  parts.push(facts(rows))
  return parts
}

export function verdict (bytes) {
  try {
    return show(checkFile(bytes))
  } catch (error) {
    return [notice('bad', `This proves nothing: ${error.message || error}.`)]
  }
}

function decode (base64) {
  const raw = atob(base64)
  return Uint8Array.from(raw, (character) => character.charCodeAt(0))
}

for (const box of document.querySelectorAll('[data-proof]')) box.replaceChildren(...verdict(decode(box.dataset.proof)))

const drop = document.getElementById('proof-drop')
const input = document.getElementById('proof-file')
const place = document.getElementById('proof-found')

async function check (files) {
  place.replaceChildren()
  for (const file of files) {
    const box = element('section', 'proof')
    box.append(element('h3', '', file.name))
    if (file.size > 16 * 1024 * 1024) box.append(notice('bad', 'This proves nothing: a proof file has at most 16 MiB.'))
    else box.append(...verdict(new Uint8Array(await file.arrayBuffer())))
    place.append(box)
  }
}

if (drop) {
  input.addEventListener('change', () => check(input.files))
  drop.addEventListener('dragover', (event) => { event.preventDefault(); drop.classList.add('proof-over') })
  drop.addEventListener('dragleave', () => drop.classList.remove('proof-over'))
  drop.addEventListener('drop', (event) => {
    event.preventDefault()
    drop.classList.remove('proof-over')
    check(event.dataTransfer.files)
  })
}
