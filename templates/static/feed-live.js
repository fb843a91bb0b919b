// New records on an open feed. htmx's SSE extension keeps the connection (and reconnects, and says what was seen
// last); each of its `news` events carries the HTML of cards, which this puts in their place in the order.
// A reader at the top sees them arrive, or hears of them; one who has scrolled down or stands on a card is told, and
// nothing moves under their eyes. The lists of a tag and of a search are as the feed; a page that holds more than its
// cards (a film's score, the order of a conversation) says that there is news, and is loaded anew by who wants it.
(() => {
  'use strict'
  const live = document.querySelector('[data-live-feed]')
  const bar = document.getElementById('news')
  const arrived = document.getElementById('arrived')
  if (!live || !bar || !arrived) return
  const reloads = 'liveReloads' in live.dataset
  const waiting = new Map() // id of a card -> its <li>, for a reader who is further down

  const list = () => document.getElementById('records')
  const order = live.dataset.liveFeed === 'arrival' ? 'number' : 'at'
  const placeOf = (item) => Number(item.dataset[order])
  const atTop = () => window.scrollY < 160
  const isReading = () => !atTop() || list().contains(document.activeElement)
  const find = (id) => list().querySelector(`li[data-card="${CSS.escape(id)}"]`)

  const place = (item) => {
    document.querySelector('#page .empty')?.remove()
    const after = [...list().children].find((other) => placeOf(other) <= placeOf(item))
    if (after) list().insertBefore(item, after)
    else if (!document.querySelector('#page a[rel="next"]')) list().append(item) // older ones are on the next page
  }
  const isNewest = (item) => {
    const first = list().firstElementChild
    return !first || placeOf(item) >= placeOf(first)
  }

  const say = (text, act) => {
    bar.textContent = ''
    if (!text) return
    const button = document.createElement('button')
    button.type = 'button'
    button.className = 'button button-primary button-small'
    button.textContent = text
    button.addEventListener('click', act)
    bar.append(button)
  }
  const showWaiting = () => {
    for (const item of waiting.values()) place(item)
    waiting.clear()
    say('')
  }
  const announce = () => {
    const count = [...waiting.values()].filter((item) => !window.isMuted?.(item)).length
    const text = count === 0 ? '' : count === 1 ? '1 new record' : `${count} new records`
    if (reloads) return text && say(`${text}: reload`, () => location.reload())
    say(text, () => {
      showWaiting()
      window.scrollTo({ top: 0 })
    })
  }

  live.addEventListener('news', (event) => {
    const parsed = new DOMParser().parseFromString(event.detail.data, 'text/html')
    const placed = []
    let isOutdated = false
    for (const item of parsed.querySelectorAll('li[data-card]')) {
      const known = find(item.dataset.card)
      if (known && reloads) isOutdated = true
      else if (known) known.replaceWith(item)
      else if (reloads) waiting.set(item.dataset.card, item)
      else if (isNewest(item) && isReading()) waiting.set(item.dataset.card, item)
      else placed.push(item)
    }
    placed.forEach(place)
    const heard = placed.filter((item) => item.isConnected && !window.isMuted?.(item))
    if (heard.length) arrived.textContent = heard.length > 1 ? `${heard.length} new records` : `A new record by ${heard[0].querySelector('.card-name').textContent}`
    for (const { dataset } of parsed.querySelectorAll('li[data-gone]')) {
      waiting.delete(dataset.gone)
      const known = find(dataset.gone)
      if (known && reloads) isOutdated = true
      known?.remove()
    }
    if (isOutdated) say('Something changed here: reload', () => location.reload())
    else if (parsed.querySelector('[data-more]')) say('Many new records: reload', () => location.reload())
    else announce()
  })
  live.addEventListener('gap', () => say('There is more: reload', () => location.reload()))
  addEventListener('scroll', () => { if (waiting.size && atTop() && !reloads) showWaiting() }, { passive: true })

  const show = (isLive) => {
    live.querySelector('[data-live-dot]').classList.toggle('live-dot-off', !isLive)
    live.querySelector('[data-live-text]').textContent = isLive ? 'Live' : 'Reconnecting'
  }
  live.addEventListener('htmx:sse:after:connection', () => show(true))
  live.addEventListener('htmx:sse:error', () => show(false))
  live.addEventListener('htmx:sse:close', () => show(false))
})()
