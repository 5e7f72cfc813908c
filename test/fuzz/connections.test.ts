/**
 * Thousands of connections that say nothing: each costs little, and a client among them is served as if it were alone.
 * SLUICE_SILENT_CONNECTIONS sets how many; the system's limit on open files may allow fewer.
 */
import { readFileSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import t from 'tap'
import { API } from '../../client/protocol/apis.ts'
import { WatchedBroker } from './watched-broker.ts'

const WANTED = Number(process.env['SLUICE_SILENT_CONNECTIONS'] ?? 2000)
const KB_PER_CONNECTION = 30
/** Opened at a time: the backlog of a listening socket is short. */
const AT_A_TIME = 100

/** Node takes as many descriptors as the system lets it have. */
function allowed(): number {
  try {
    const limit = /^Max open files\s+(\S+)/m.exec(readFileSync('/proc/self/limits', 'utf8'))?.[1]
    return limit === undefined || limit === 'unlimited' ? WANTED : Number(limit) - 300
  } catch {
    return Math.min(WANTED, 1000)
  }
}

function open(port: number): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: '127.0.0.1', port }, () => resolve(socket))
    socket.once('error', reject)
  })
}

t.test("connections that say nothing cost little and are in nobody's way", { timeout: 100_000 }, async t => {
  await using broker = await WatchedBroker.start()
  const client = await broker.connect()
  const ask = () => client.request(API.Metadata, 12, { topics: [] })
  for (let warm = 0; warm < 200; warm++) await ask()
  const before = await broker.vitals(true)
  const count = Math.min(WANTED, allowed())
  const silent: Socket[] = []
  t.teardown(() => silent.forEach(socket => void socket.destroy()))
  while (silent.length < count) {
    const some = Array.from({ length: Math.min(AT_A_TIME, count - silent.length) }, () =>
      open(broker.address.port),
    )
    silent.push(...(await Promise.all(some)))
  }
  const startedMs = performance.now()
  for (let asked = 0; asked < 50; asked++) await ask()
  const tookMs = (performance.now() - startedMs) / 50
  // The kernel completes connections that the broker takes off its queue one in a turn.
  let { rssMb, descriptors } = await broker.vitals(true)
  while (descriptors > 0 && descriptors < before.descriptors + count) {
    await ask()
    ;({ rssMb, descriptors } = await broker.vitals(true))
  }
  const kilobytes = ((rssMb - before.rssMb) * 1024) / count
  t.comment(
    `${count} connections: ${kilobytes.toFixed(1)} KB each, ${tookMs.toFixed(2)} ms for an answer among them`,
  )
  t.ok(kilobytes < KB_PER_CONNECTION, `${kilobytes.toFixed(1)} KB for each connection`)
  t.ok(tookMs < 100, `${tookMs.toFixed(2)} ms for an answer`)
  for (const socket of silent) socket.destroy()
  await ask()
  client.destroy()
  t.equal(await broker.stop(), 0, 'and it stops in good order')
})
