// The little that pages cannot do in HTML: the theme switch, copy buttons, times in the reader's own zone.
// Loaded in the head and not deferred, so that a chosen theme is there before the first paint.
(() => {
  'use strict'
  const root = document.documentElement
  // So that the first press changes what one sees.
  const THEMES = matchMedia('(prefers-color-scheme: dark)').matches ? ['system', 'light', 'dark'] : ['system', 'dark', 'light']

  root.dataset.js = ''
  const storedTheme = () => { try { return localStorage.getItem('theme') } catch { return null } }
  const showTheme = (theme) => {
    if (theme === 'light' || theme === 'dark') root.dataset.theme = theme
    else delete root.dataset.theme
    for (const button of document.querySelectorAll('[data-theme-toggle]')) {
      button.title = `Theme: ${theme}`
      button.setAttribute('aria-label', `Colour theme: ${theme}. Change it`)
    }
  }
  const currentTheme = () => THEMES.includes(storedTheme()) ? storedTheme() : 'system'
  const nextTheme = () => {
    const theme = THEMES[(THEMES.indexOf(currentTheme()) + 1) % THEMES.length]
    try { localStorage.setItem('theme', theme) } catch { /* private windows may refuse: the page still changes */ }
    showTheme(theme)
  }

  const copy = async (button) => {
    const label = button.querySelector('[data-copy-label]') || button
    const before = label.textContent
    try {
      await navigator.clipboard.writeText(button.dataset.copy)
      label.textContent = 'Copied'
    } catch {
      label.textContent = 'Select and copy by hand'
    }
    setTimeout(() => { label.textContent = before }, 1600)
  }

  const STEPS = [[60, 'second', 1], [3600, 'minute', 60], [86400, 'hour', 3600], [604800, 'day', 86400]]
  // The pages are in English whatever the browser speaks, and write days as the server does: 22 Nov 2026.
  const full = new Intl.DateTimeFormat('en-GB', { dateStyle: 'medium', timeStyle: 'short' })
  const dayOnly = new Intl.DateTimeFormat('en-GB', { dateStyle: 'medium' })
  const relative = new Intl.RelativeTimeFormat('en-GB', { numeric: 'auto' })
  const ago = (date) => {
    const seconds = (date - Date.now()) / 1000
    const step = STEPS.find(([limit]) => Math.abs(seconds) < limit)
    if (!step) return dayOnly.format(date)
    return Math.abs(seconds) < 10 ? 'just now' : relative.format(Math.round(seconds / step[2]), step[1])
  }
  const showTimes = (within) => {
    for (const time of within.querySelectorAll('time[data-local]')) {
      const date = new Date(time.dateTime)
      if (Number.isNaN(date.getTime())) continue
      const text = time.dataset.local === 'relative' ? ago(date) : full.format(date)
      if (time.textContent !== text) time.textContent = text
      time.title = full.format(date)
    }
  }

  showTheme(currentTheme())
  document.addEventListener('click', (event) => {
    const button = event.target.closest('[data-theme-toggle], [data-copy]')
    if (!button) return
    if (button.dataset.copy !== undefined) copy(button)
    else nextTheme()
  })
  document.addEventListener('DOMContentLoaded', () => {
    showTheme(currentTheme())
    showTimes(document)
    // What arrives later (a live post, the next page) gets its times too.
    new MutationObserver((changes) => {
      for (const { target, addedNodes } of changes) {
        // A morph writes the UTC text back into a time that is here already.
        const time = (target.nodeType === Node.ELEMENT_NODE ? target : target.parentElement)?.closest('time[data-local]')
        if (time?.parentElement) showTimes(time.parentElement)
        for (const node of addedNodes) if (node.nodeType === Node.ELEMENT_NODE && node.parentElement) showTimes(node.parentElement)
      }
    }).observe(document.body, { childList: true, characterData: true, subtree: true })
    setInterval(() => showTimes(document), 30000)
  })
})()
