// One's own peer: keeps what is typed, so that a closed tab or a crash loses nothing. Without this file a draft is kept
// only when a form is sent and refused.
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
})()
