// The same records as bench/records.py, byte for byte.
'use strict'

const FIRST_MILLISECOND = 1700000000000
const TITLES = ['The Quiet Meadow', 'Nine Days of Rain', 'A Field of Bees', 'Hexagon', 'The Long Way North', 'Clover']
const two = (n) => String(n).padStart(2, '0')

const key = (n) => `movie/${(FIRST_MILLISECOND + n * 1000).toString(16).padStart(12, '0')}0000`
const value = (n) => ({
  film: { title: `${TITLES[n % TITLES.length]} ${n}`, year: 1950 + n % 75, kind: 'movie' },
  watchedOn: `20${two(n % 24 + 1)}-${two(n % 12 + 1)}-${two(n % 28 + 1)}`,
  rating: n % 10 + 1,
  review: { text: 'Seen late, liked a lot; the second half drags a little.' },
  createdAt: FIRST_MILLISECOND + n * 1000
})
const block = (n) => Buffer.from(JSON.stringify(value(n)).padEnd(200, '.').slice(0, 200))
const pairs = (count) => Array.from({ length: count }, (_, n) => [key(n), value(n)])
const shuffled = (count, upto) => Array.from({ length: count }, (_, i) => (i * 7919 + 104729) % upto)

module.exports = { key, value, pairs, block, shuffled }
