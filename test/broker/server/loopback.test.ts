import { connect, type Socket } from 'node:net'
import t, { type Test } from 'tap'
import { createNodeClock, createNodeTimers } from '../../../broker/env-node/clock.ts'
import { createNodeLog } from '../../../broker/env-node/log.ts'
import { createNodeNetwork } from '../../../broker/env-node/network.ts'
import { type AnyApiHandler, type RequestContext } from '../../../broker/server/handler.ts'
import { type ServerLimits } from '../../../broker/server/limits.ts'
import { Server } from '../../../broker/server/server.ts'
import { SlabPool } from '../../../broker/slab.ts'
import { API, type ApiName } from '../../../client/protocol/apis.ts'
import { crc32c } from '../../../client/protocol/crc32c.ts'
import { frame } from './peer.ts'

const MIB = 1024 * 1024
const HEARTBEAT = { groupId: 'g', generationId: 1, memberId: 'm' }

type Handle = (request: never, context: RequestContext) => unknown

async function serve(
  t: Test,
  handlers: { [Name in ApiName]?: Handle },
  limits: Partial<ServerLimits> = {},
  alwaysCopy = false,
) {
  const lines: string[] = []
  const log = createNodeLog({ write: line => void lines.push(line) })
  const pool = new SlabPool({ slabBytes: 2 * MIB, maxIdleSlabs: 2, maxBytes: 24 * MIB })
  const registry = new Map<number, AnyApiHandler>()
  for (const [name, handle] of Object.entries(handlers)) {
    const api = API[name as ApiName]
    registry.set(api.key, { api, handle } as AnyApiHandler)
  }
  const server = new Server({
    env: {
      clock: createNodeClock(),
      timers: createNodeTimers(),
      network: createNodeNetwork({ log, alwaysCopy }),
      log,
    },
    handlers: registry,
    limits,
    pool,
    onFatal: error => t.fail(error),
  })
  const { port } = await server.listen({ name: 'PLAINTEXT', address: { host: '127.0.0.1', port: 0 } })
  t.teardown(() => server.stop(0))
  return { server, pool, port, lines }
}

/** Settles when the condition holds; asks again whenever the loop has turned. */
async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise(setImmediate)
}

function open(t: Test, port: number): Socket {
  const socket = connect({ port, host: '127.0.0.1' })
  socket.on('error', () => {})
  t.teardown(() => socket.destroy())
  return socket
}

/** Counts responses, without keeping them. */
function responsesOf(socket: Socket, onFrame: (frame: Buffer) => void = () => {}): { count: number } {
  const counted = { count: 0 }
  let rest = Buffer.alloc(0)
  socket.on('data', chunk => {
    rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk])
    while (rest.length >= 4 && rest.length >= 4 + rest.readInt32BE(0)) {
      counted.count++
      onFrame(rest.subarray(4, 4 + rest.readInt32BE(0)))
      rest = rest.subarray(4 + rest.readInt32BE(0))
    }
  })
  return counted
}

function produce(correlationId: number, records: Uint8Array): Buffer {
  const topicData = [{ name: 'topic', partitionData: [{ index: 0, records }] }]
  return frame('Produce', 9, correlationId, { transactionalId: null, acks: -1, timeoutMs: 1, topicData })
}

for (const alwaysCopy of [false, true]) {
  const way = alwaysCopy ? 'by copy' : 'in place'
  t.test(`frames of all sizes over many connections arrive unchanged, received ${way}`, async t => {
    const checksums = new Map<string, number>()
    const handle = (
      request: { topicData: { partitionData: { records: Buffer }[] }[] },
      context: RequestContext,
    ) => {
      const { records } = request.topicData[0]!.partitionData[0]!
      const check = (): void =>
        void checksums.set(`${context.connection.id}/${context.correlationId}`, crc32c(records))
      if (context.correlationId % 2 === 0) {
        check()
        return { responses: [] }
      }
      // The bytes must still be there some turns later.
      return new Promise(resolve => setImmediate(() => setImmediate(resolve))).then(() => {
        check()
        return { responses: [] }
      })
    }
    const { server, pool, port } = await serve(t, { Produce: handle as Handle }, {}, alwaysCopy)
    const expected = new Map<string, number>()
    const sizes = [1, 300, 5000, 16_000, 64_000, 70_000, 400_000, MIB, 3 * MIB, 100, 9 * MIB]
    const sockets = await Promise.all(
      [1, 2, 3, 4].map(async id => {
        const socket = open(t, port)
        await new Promise(resolve => socket.once('connect', resolve))
        await until(() => server.counters.connectionsAccepted === id)
        return socket
      }),
    )
    const counts = sockets.map((socket, index) => {
      const counted = responsesOf(socket)
      for (let number = 0; number < 22; number++) {
        const records = Buffer.alloc(sizes[(number * (index + 3)) % sizes.length]!, `${index}.${number} `)
        expected.set(`${index + 1}/${number}`, crc32c(records))
        socket.write(produce(number, records))
      }
      return counted
    })
    await until(() => counts.every(({ count }) => count === 22))
    t.same([...checksums].sort(), [...expected].sort())
    for (const socket of sockets) socket.destroy()
    await until(() => server.counters.connectionsOpen === 0)
    await server.stop()
    t.equal(pool.slabsInUse, 0)
  })
}

t.test('a peer that does not read is held to a bound, and gets everything once it reads', async t => {
  let released = 0
  let begun = 0
  const records = Buffer.alloc(MIB)
  const partitions = [
    { partitionIndex: 0, errorCode: 0, highWatermark: 0, abortedTransactions: null, records },
  ]
  const { port } = await serve(
    t,
    {
      Fetch: (_request, context) => {
        begun++
        context.onSent(() => released++)
        return { responses: [{ topic: 'topic', partitions }] }
      },
    },
    { maxPendingResponseBytes: 4 * MIB },
  )
  const socket = open(t, port)
  socket.pause()
  const request = { maxWaitMs: 1, minBytes: 1, maxBytes: 1, topics: [] }
  for (let id = 0; id < 100; id++) socket.write(frame('Fetch', 4, id, request))
  await until(() => begun >= 4)
  // However long it lasts: what the kernel holds and the bound, no more.
  for (let turn = 0; turn < 500; turn++) await new Promise(setImmediate)
  t.ok(begun - released <= 6, `${begun - released} responses wait`)
  t.ok(begun < 50, `${begun} begun`)
  const counted = responsesOf(socket)
  socket.resume()
  await until(() => counted.count === 100)
  await until(() => released === 100)
})

t.test('a thousand silent connections do not keep the others from being served', async t => {
  const { server, pool, port } = await serve(t, { Heartbeat: () => ({ errorCode: 0 }) })
  const silent = Array.from({ length: 1000 }, () => open(t, port))
  await until(() => server.counters.connectionsOpen === 1000)
  const socket = open(t, port)
  const counted = responsesOf(socket)
  socket.write(frame('Heartbeat', 0, 1, HEARTBEAT))
  await until(() => counted.count === 1)
  t.equal(pool.slabsInUse, 0)
  for (const each of silent) each.destroy()
  await until(() => server.counters.connectionsOpen === 1)
})

t.test('an HTTP client is told in the log what went wrong, and sees a close', async t => {
  const { port, lines } = await serve(t, { Heartbeat: () => ({ errorCode: 0 }) })
  const socket = open(t, port)
  const closed = new Promise<boolean>(resolve => socket.once('close', resolve))
  socket.resume()
  socket.write('GET / HTTP/1.1\r\nHost: \u001b[31mred\u001b[0m\r\n\r\n')
  t.equal(await closed, false, 'closed, not reset')
  t.equal(lines.length, 1)
  t.match(lines[0], /WARN .*cannot be served.*An HTTP request came in/)
})

t.test('a hostile client id reaches neither the terminal nor a line of its own', async t => {
  const { port, lines } = await serve(t, { Heartbeat: () => ({ errorCode: 0 }) })
  const socket = open(t, port)
  const closed = new Promise(resolve => socket.once('close', resolve))
  socket.resume()
  const clientId = Buffer.from('\u001b[2Jx\nERROR all is lost')
  const header = Buffer.alloc(10)
  header.writeInt16BE(API.Heartbeat.key, 0)
  header.writeInt16BE(0, 2)
  header.writeInt16BE(clientId.byteLength, 8)
  const body = Buffer.concat([header, clientId, Buffer.from('00', 'hex')])
  const length = Buffer.alloc(4)
  length.writeInt32BE(body.byteLength)
  socket.write(Buffer.concat([length, body]))
  await closed
  t.equal(lines.length, 1)
  t.match(lines[0], /\\u001b\[2Jx\\u000aERROR/)
  t.ok([...lines[0]!.trimEnd()].every(character => character >= ' '))
})
