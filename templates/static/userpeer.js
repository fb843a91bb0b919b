// One's own peer. Keeps what is typed, so that a closed tab or a crash loses nothing (without this file a draft is kept only
// when a form is sent and refused); keeps the focus in its place when a part of the page is swapped; says when the peer is gone.
(() => {
  'use strict'
  const PAUSE = 600
  const timers = new Map()

  const save = (form) => {
    timers.delete(form)
    const body = new URLSearchParams()
    for (const [name, value] of new FormData(form)) if (typeof value === 'string') body.append(name, value)
    body.set('slot', form.dataset.draft)
    fetch('/draft', { method: 'POST', body, keepalive: true }).catch(() => { /* the peer was stopped; the text is still in the form */ })
  }

  document.addEventListener('input', (event) => {
    const form = event.target.closest('form[data-draft]')
    if (!form) return
    clearTimeout(timers.get(form))
    timers.set(form, setTimeout(save, PAUSE, form))
  })
  document.addEventListener('submit', (event) => {
    clearTimeout(timers.get(event.target))
    timers.delete(event.target)
  })
  addEventListener('pagehide', () => { for (const form of timers.keys()) save(form) })

  document.addEventListener('keydown', (event) => {
    const form = event.target.closest?.('textarea')?.form
    if (event.key !== 'Enter' || !(event.ctrlKey || event.metaKey) || event.repeat || !form) return
    event.preventDefault()
    form.requestSubmit()
  })

  // A swap takes the element that had the focus with it, and the next Tab would begin behind the swapped part. So the focus
  // goes to what the reader has to know or do next: the wrong field, what was done, or the link that was followed.
  let held = null
  document.addEventListener('htmx:before:swap', () => { held = document.activeElement })
  document.addEventListener('htmx:after:swap', () => {
    const isLost = held && held !== document.body && !held.isConnected
    const followed = isLost && held.getAttribute('href')
    held = null
    if (!isLost) return
    const within = document.getElementById('main')
    const next = within.querySelector('[aria-invalid="true"]') ?? within.querySelector('.notices > .notice') ??
      (followed && within.querySelector(`a[href="${CSS.escape(followed)}"]`))
    if (!next) return
    if (!next.matches('a, input, select, textarea')) next.tabIndex = -1
    next.focus()
  })

  // One failed stream is nothing (a page that is left ends it too); it tries again by itself, and two are a peer that is gone.
  let failed = 0
  const gone = (isGone) => {
    const said = document.querySelector('[data-gone]')
    if (said) said.hidden = !isGone
  }
  document.addEventListener('htmx:sse:error', () => { failed += 1; if (failed > 1) gone(true) })
  document.addEventListener('htmx:error', () => gone(true))
  for (const heard of ['htmx:sse:after:connection', 'htmx:after:request']) {
    document.addEventListener(heard, () => { failed = 0; gone(false) })
  }
})()
