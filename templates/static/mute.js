// Muting people and words. The list stays in this browser (localStorage); nobody is told, and nothing is sent.
// Loaded at the end of the body and not deferred, so that a muted card is gone before the first paint.
(() => {
  'use strict'
  const KEY = 'muted'
  const MOST = 1000
  const read = () => {
    try {
      const kept = JSON.parse(localStorage.getItem(KEY)) ?? {}
      return {
        people: (kept.people ?? []).filter((one) => typeof one.key === 'string' && typeof one.name === 'string'),
        words: (kept.words ?? []).filter((word) => typeof word === 'string' && fold(word).trim()),
      }
    } catch {
      return { people: [], words: [] }
    }
  }
  const write = (muted) => {
    try {
      localStorage.setItem(KEY, JSON.stringify(muted))
    } catch {
      say('This browser keeps nothing for this site, so nothing can be muted.')
    }
    showAll()
  }
  // Without case, accents and punctuation, with a space around every word: as the search reads it.
  const fold = (text) => ` ${text.normalize('NFKD').replace(/[\u0300-\u036f]/g, '').toLowerCase().split(/[^\p{L}\p{N}]+/u).join(' ').trim()} `

  const say = (text) => {
    const box = document.getElementById('notices')
    if (!box) return
    const line = document.createElement('p')
    line.className = 'notice notice-warn'
    line.textContent = text
    box.replaceChildren(line)
  }

  // ---- cards -------------------------------------------------------------------------------------------------------
  let shownAnyway = false
  const pageBee = document.querySelector('[data-page-bee]')?.dataset.pageBee
  // What the author said, and not what stands around it: muting "post" or "read on" is not to mute everything.
  const SAID = '.card-body :is(.film-title, .tags, .spoiler > summary, :not(.spoiler) > .prose)'
  const said = (item) => [
    ...[...item.querySelectorAll(SAID)].map((part) => part.textContent),
    ...[...item.querySelectorAll('.card-body img')].map((image) => image.alt),
  ].join('\n')
  const isMuted = (item, muted, words) => {
    const bee = item.dataset.bee
    if (bee && bee !== pageBee && muted.people.some((one) => one.key === bee)) return true
    if (!words.length) return false
    const text = fold(said(item))
    if (words.some((word) => text.includes(word))) return true
    // Behind the cut of a long text the order is not known: there a phrase is met when all of its words are.
    if (!item.dataset.rest) return false
    const rest = fold(item.dataset.rest)
    const isIn = (one) => rest.includes(` ${one} `)
    return words.map((word) => word.trim().split(' ')).some((all) => all.some(isIn) && all.every((one) => isIn(one) || text.includes(` ${one} `)))
  }
  window.isMuted = (item) => { const muted = read(); return isMuted(item, muted, muted.words.map(fold)) } // feed-live.js
  const showCards = () => {
    const muted = read()
    const words = muted.words.map(fold)
    for (const list of document.querySelectorAll('ol.feed')) {
      let count = 0
      for (const item of list.querySelectorAll(':scope > li[data-bee]')) {
        const away = isMuted(item, muted, words)
        count += away
        if (item.hidden !== (away && !shownAnyway)) item.hidden = away && !shownAnyway
      }
      let bar = list.previousElementSibling
      if (!bar?.matches('[data-muted-bar]')) bar = null
      if (!count) {
        bar?.remove()
        continue
      }
      if (!bar) {
        bar = document.createElement('p')
        bar.className = 'small muted row muted-bar'
        bar.dataset.mutedBar = ''
        list.before(bar)
      }
      const text = shownAnyway ? `Shown although muted: ${count}.` : `${count} muted on this page.`
      if (bar.dataset.text === text) continue
      bar.dataset.text = text
      const show = document.createElement('button')
      show.type = 'button'
      show.className = 'button button-quiet button-small'
      show.textContent = shownAnyway ? 'Mute again' : 'Show'
      show.addEventListener('click', () => { shownAnyway = !shownAnyway; showAll() })
      const manage = document.createElement('a')
      manage.href = '/mutes'
      manage.textContent = 'What is muted'
      bar.replaceChildren(document.createTextNode(text), show, manage)
    }
  }
  const showButtons = () => {
    const people = new Set(read().people.map((one) => one.key))
    for (const button of document.querySelectorAll('button[data-mute]')) {
      const label = `${people.has(button.dataset.mute) ? 'Unmute' : 'Mute'} ${button.dataset.name}`
      if (button.textContent !== label) button.textContent = label
    }
  }

  // ---- the page of what is muted -----------------------------------------------------------------------------------
  const line = (name, href, undo) => {
    const item = document.createElement('li')
    item.className = 'row-between'
    const what = document.createElement(href ? 'a' : 'span')
    what.textContent = name
    if (href) what.href = href
    const button = document.createElement('button')
    button.type = 'button'
    button.className = 'button button-plain button-small'
    button.textContent = 'Unmute'
    button.setAttribute('aria-label', `Unmute ${name}`)
    button.addEventListener('click', undo)
    item.append(what, button)
    return item
  }
  const showLists = () => {
    const people = document.getElementById('muted-people')
    if (!people) return
    const muted = read()
    people.replaceChildren(...muted.people.map((one) => line(one.name, `/bee/${one.key}`, () => setPerson(one.key, one.name, false))))
    document.getElementById('muted-words').replaceChildren(...muted.words.map((word) => line(word, '', () => setWord(word, false))))
    document.getElementById('no-people').hidden = muted.people.length > 0
    document.getElementById('no-words').hidden = muted.words.length > 0
  }
  const setPerson = (key, name, on) => {
    const muted = read()
    muted.people = muted.people.filter((one) => one.key !== key)
    if (on) muted.people.push({ key, name })
    muted.people = muted.people.slice(-MOST)
    write(muted)
  }
  const setWord = (word, on) => {
    const muted = read()
    muted.words = muted.words.filter((one) => fold(one) !== fold(word))
    if (on) muted.words.push(word)
    muted.words = muted.words.slice(-MOST)
    write(muted)
  }

  const showAll = () => { showCards(); showButtons(); showLists() }
  showAll()
  document.addEventListener('click', (event) => {
    const button = event.target.closest('button[data-mute]')
    if (!button) return
    const key = button.dataset.mute
    const on = !read().people.some((one) => one.key === key)
    setPerson(key, button.dataset.name, on)
    button.closest('details')?.removeAttribute('open')
  })
  document.getElementById('mute-word')?.addEventListener('submit', (event) => {
    event.preventDefault()
    const field = event.target.elements.word
    if (fold(field.value).trim()) setWord(field.value.trim().slice(0, 100), true)
    field.value = ''
    field.focus()
  })
  addEventListener('storage', (event) => { if (event.key === KEY) showAll() })
  // What arrives later: a live card, the next block of a page.
  new MutationObserver((changes) => {
    if (changes.some(({ addedNodes }) => [...addedNodes].some((node) => node.nodeType === Node.ELEMENT_NODE && (node.matches('li[data-bee]') || node.querySelector('li[data-bee]'))))) {
      showCards()
      showButtons()
    }
  }).observe(document.querySelector('main'), { childList: true, subtree: true })
})()
