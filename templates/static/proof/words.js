// What a signed record says, for people: every part that a reader could be deceived about. The counterpart of `in_words` in
// feedagg/pages/proof_view.py. All of it is somebody's text, never markup.

const isText = (said) => typeof said === 'string' && said !== ''

function filmLine (record) {
  const film = record.film && typeof record.film === 'object' ? record.film : record
  if (!isText(film.title)) return ''
  const parts = [Number.isInteger(film.year) ? `${film.title} (${film.year})` : film.title]
  const { rating } = record
  if (Number.isInteger(rating) && rating >= 1 && rating <= 10) parts.push('★'.repeat(rating >> 1) + (rating % 2 ? '½' : ''))
  if (isText(record.watchedOn)) parts.push(`watched ${record.watchedOn}`)
  if (record.rewatch === true) parts.push('rewatch')
  if (record.liked === true) parts.push('liked')
  return parts.join(' · ')
}

export function words (value) {
  const raw = new TextDecoder().decode(value)
  let record
  try { record = JSON.parse(raw) } catch { /* not JSON: shown as it is */ }
  if (!record || typeof record !== 'object' || Array.isArray(record)) return raw.slice(0, 2000)
  const { review, more, tags } = record
  const said = [
    isText(record.cw) ? `Content warning: ${record.cw}` : '',
    filmLine(record),
    record.text, record.name, record.bio, review && review.text, more && more.text, record.reason,
    Array.isArray(tags) ? tags.filter(isText).map((tag) => `#${tag}`).join(' ') : ''
  ].filter(isText)
  return said.length ? said.join('\n') : raw.slice(0, 2000)
}
