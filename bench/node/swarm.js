// The reference side of bench/swarm.py: node --expose-gc swarm.js BOOTSTRAP TOPICS SECONDS IDLE_SECONDS.
'use strict'

const { createRequire } = require('module')
const fs = require('fs')
const path = require('path')
const packages = createRequire(path.join(__dirname, '../../tests/interop/node/package.json'))
const Hyperswarm = packages('hyperswarm')
const HyperDHT = packages('hyperdht')
const crypto = packages('hypercore-crypto')

const [bootstrap, count, patience, idle] = process.argv.slice(2)
const clock = () => Number(process.hrtime.bigint()) / 1e9
const busy = () => { const { user, system } = process.cpuUsage(); return (user + system) / 1e6 }
const descriptors = () => fs.readdirSync('/proc/self/fd').length
const resident = () => { global.gc(); return process.memoryUsage().rss / 1024 ** 2 }

async function main () {
  const dht = new HyperDHT({ host: '127.0.0.1', port: 0, bootstrap: bootstrap.split(',') })
  const swarm = new Hyperswarm({ dht })
  await dht.fullyBootstrapped()
  const topics = []
  for (let i = 0; i < Number(count); i++) {
    const number = Buffer.alloc(4)
    number.writeUInt32BE(i)
    topics.push(crypto.hash(number))
  }
  const before = resident()
  const openBefore = descriptors()
  const start = clock()
  const cpu = busy()
  let announced = 0
  const joined = topics.map(async (topic) => { if (await swarm.join(topic).flushed()) announced++ })
  await Promise.race([Promise.all(joined), new Promise((resolve) => setTimeout(resolve, Number(patience) * 1000))])
  const seconds = clock() - start
  const spent = busy() - cpu
  const after = resident()
  const openAfter = descriptors()
  const idleFrom = busy()
  await new Promise((resolve) => setTimeout(resolve, Number(idle) * 1000))
  const share = (busy() - idleFrom) / Number(idle)
  console.log(JSON.stringify({
    announced,
    rate: announced / seconds,
    cpu: spent / announced * 1000,
    mb: after - before,
    peak: process.resourceUsage().maxRSS / 1024,
    idle: share * 100,
    sockets: openAfter - openBefore
  }))
  process.exit(0)
}

main()
