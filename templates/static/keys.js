// Keyboard shortcuts. Single letters can be turned off in the help, and never act while something is written.
(() => {
  'use strict'
  const help = document.getElementById('keys')
  const box = document.getElementById('keys-on')
  if (!help || !box) return
  const stored = () => { try { return localStorage.getItem('keys') } catch { return null } }
  let isOn = stored() !== 'off'
  box.checked = isOn
  box.addEventListener('change', () => {
    isOn = box.checked
    try { localStorage.setItem('keys', isOn ? 'on' : 'off') } catch { /* it holds for this page */ }
  })
  document.addEventListener('click', (event) => {
    if (event.target.closest('[data-keys-help]')) help.showModal()
  })

  const cards = () => [...document.querySelectorAll('main article.card')].filter((card) => card.checkVisibility())
  const current = () => document.activeElement?.closest('main article.card')
  const focusOn = (card) => {
    card.tabIndex = -1
    card.focus({ preventScroll: true })
    card.scrollIntoView({ block: 'start' })
  }
  const step = (by) => {
    const all = cards()
    if (!all.length) return
    const at = all.indexOf(current())
    if (at >= 0) return focusOn(all[Math.min(Math.max(at + by, 0), all.length - 1)])
    // Nowhere yet: at the first card that is not above the window.
    const top = document.querySelector('.site-header')?.getBoundingClientRect().bottom ?? 0
    focusOn(all.find((card) => card.getBoundingClientRect().bottom > top) ?? all[all.length - 1])
  }
  const follow = (selector, within = document) => within?.querySelector(selector)?.click()
  const go = (path) => location.assign(path)

  const PLACES = { f: '/', a: '/?sort=arrival', s: '/search', b: '/bees', m: '/mutes', i: '/about' }
  const ACTS = {
    j: () => step(1),
    k: () => step(-1),
    o: () => follow('.card-meta a', current()),
    r: () => follow('a[href^="/thread/"]', current()),
    u: () => follow('a.card-name', current()),
    x: () => { const fold = current()?.querySelector('details.spoiler'); if (fold) fold.open = !fold.open },
    n: () => follow('main a[rel="next"]'),
    p: () => follow('main a[rel="prev"]'),
    '.': () => follow('#news button'),
    '/': () => {
      const field = document.querySelector('main input[type="search"]')
      if (field) { field.focus(); field.select() } else go('/search')
    },
    '?': () => help.showModal(),
  }
  let awaiting = 0
  document.addEventListener('keydown', (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented || help.open) return
    if (!isOn && event.key !== '?') return
    if (event.target.closest('input, textarea, select, [contenteditable]')) return
    const isPlace = Date.now() < awaiting
    awaiting = 0
    if (isPlace && event.key in PLACES) {
      event.preventDefault()
      return go(PLACES[event.key])
    }
    if (event.key === 'g') {
      awaiting = Date.now() + 1500
      return
    }
    const act = ACTS[event.key]
    if (!act) return
    event.preventDefault()
    act()
  })
})()
