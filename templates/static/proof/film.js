// The button "Recompute here" of a film's page: fetches the signed ratings, checks every one in this browser, and adds them up.

import { RECORD, checkFile } from './check.js'

const button = document.querySelector('[data-recompute]')
const place = document.getElementById('recomputed')

function say (kind, sentence) {
  const box = document.createElement('div')
  box.className = `notice notice-${kind}`
  box.setAttribute('role', 'status')
  const text = document.createElement('p')
  text.textContent = sentence
  box.append(text)
  place.replaceChildren(box)
}

const stars = (halves) => (halves / 2).toFixed(1)
const people = (n) => n === 1 ? '1 person' : `${n.toLocaleString()} people`

// {sum, bees, wrong, titles} of these proof files: one rating a bee, each signed by that bee's key.
export function addUp (files) {
  const found = { sum: 0, bees: new Set(), wrong: 0, titles: new Set() }
  for (const file of files) {
    try {
      const proof = checkFile(Uint8Array.from(atob(file), (character) => character.charCodeAt(0)))
      const bee = proof.key.join()
      const record = JSON.parse(new TextDecoder().decode(proof.versions[0].value))
      const title = record.film ? record.film.title : record.title
      const isRating = Number.isInteger(record.rating) && record.rating >= 1 && record.rating <= 10
      if (proof.kind !== RECORD || !isRating || found.bees.has(bee)) throw new Error('no rating, or the second of one bee')
      found.bees.add(bee)
      found.sum += record.rating
      if (typeof title === 'string') found.titles.add(title)
    } catch {
      found.wrong++
    }
  }
  return found
}

async function recompute () {
  button.disabled = true
  say('info', 'Fetching the ratings and checking their signatures…')
  try {
    const answer = await fetch(button.dataset.recompute)
    if (!answer.ok) throw new Error(`the site answered ${answer.status}`)
    const { proofs, missing } = await answer.json()
    const found = addUp(proofs)
    const shown = Number(button.dataset.average)
    const average = found.bees.size ? found.sum / found.bees.size : 0
    const about = found.titles.size ? ` They rate: ${[...found.titles].slice(0, 5).join('; ')}.` : ''
    const rest = missing ? ` ${people(missing)} more could not be checked: their blocks are not stored here.` : ''
    if (found.wrong) say('bad', `${found.wrong.toLocaleString()} of ${proofs.length.toLocaleString()} ratings prove nothing.`)
    else if (!missing && stars(average) !== stars(shown)) say('bad', `The signed ratings make ${stars(average)} of 5, but this page says ${stars(shown)}.`)
    else say('ok', `${stars(average)} of 5 from ${people(found.bees.size)}, each rating signed by its bee and checked in this browser.${about}${rest}`)
  } catch (error) {
    say('bad', `It could not be recomputed: ${error.message}. Try again.`)
  }
  button.disabled = false
}

if (button) button.addEventListener('click', recompute)
