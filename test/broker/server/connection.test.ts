import fc from 'fast-check'
import t from 'tap'
import { NO_RESPONSE, type RequestContext } from '../../../broker/server/handler.ts'
import { AssertionError } from '../../../client/protocol/assert.ts'
import { finish, frame, type World, world } from './peer.ts'

const HEARTBEAT = { groupId: 'g', generationId: 1, memberId: 'm' }
const heartbeat = () => ({ errorCode: 0 })

function produce(records: Uint8Array) {
  const partitionData = [{ index: 0, records }]
  return { transactionalId: null, acks: -1, timeoutMs: 1000, topicData: [{ name: 'topic', partitionData }] }
}
const produced = () => ({ responses: [] })

const FETCH = { maxWaitMs: 1, minBytes: 1, maxBytes: 1, topics: [] }
function fetched(records: Uint8Array) {
  const partitions = [
    { partitionIndex: 0, errorCode: 0, highWatermark: 0, abortedTransactions: null, records },
  ]
  return { responses: [{ topic: 'topic', partitions }] }
}

/** Handlers that answer when a test says so. */
function later() {
  const waiting: {
    context: RequestContext
    answer: (response: unknown) => void
    fail: (e: Error) => void
  }[] = []
  const handle = (_request: unknown, context: RequestContext) =>
    new Promise((answer, fail) => waiting.push({ context, answer, fail }))
  return { waiting, handle }
}

t.test('responses leave in the order of the requests, whatever the order of completion', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.shuffledSubarray([0, 1, 2, 3, 4, 5, 6, 7], { minLength: 8 }),
      fc.infiniteStream(fc.integer({ min: 1, max: 60 })),
      fc.array(fc.boolean(), { minLength: 8, maxLength: 8 }),
      async (order, pieces, synchronous) => {
        const { waiting, handle } = later()
        let count = 0
        const it = await world({
          handlers: {
            Heartbeat: (request, context) => (synchronous[count++] ? heartbeat() : handle(request, context)),
          },
          env: { networkOptions: { split: length => Math.min(length, pieces.next().value) } },
        })
        const peer = await it.connect()
        const sent = order.map(() => peer.request('Heartbeat', 0, HEARTBEAT))
        await it.settle()
        const open = order.filter(index => !synchronous[index])
        for (const index of open) {
          const at = waiting.findIndex(({ context }) => context.correlationId === sent[index])
          waiting[at]!.answer(heartbeat())
          await it.settle()
        }
        await it.settle()
        const received = peer.correlationIds
        const left = await finish(it)
        return received.join() === sent.join() && left === 0
      },
    ),
    { numRuns: 15 },
  )
})

t.test('what is ready in one turn leaves as one write', async t => {
  const it = await world({ handlers: { Heartbeat: heartbeat } })
  const peer = await it.connect()
  const sent = [1, 2, 3].map(id => frame('Heartbeat', 0, id, HEARTBEAT))
  let pieces = 0
  const received = peer.received.bind(peer)
  peer.received = length => {
    pieces++
    received(length)
  }
  peer.send(Buffer.concat(sent))
  await it.settle()
  t.same(peer.correlationIds, [1, 2, 3])
  // The chunks of the one write arrive one by one in this network; each response is one.
  t.equal(pieces, 3)
  t.equal(it.server.counters.requests.get(12), 3)
  t.equal(await finish(it), 0)
})

t.test(
  'bytes of a request stay valid until its handler is done, or for as long as they are retained',
  async t => {
    const kept: { bytes: Buffer; release: () => void }[] = []
    const it = await world({
      handlers: {
        Produce: (
          request: { topicData: { partitionData: { records: Buffer }[] }[] },
          context: RequestContext,
        ) => {
          context.owner.retain()
          const bytes = request.topicData[0]!.partitionData[0]!.records
          kept.push({ bytes, release: () => context.owner.release() })
          return produced()
        },
      } as never,
      pool: { slabBytes: 128 * 1024 },
    })
    const peer = await it.connect()
    for (let index = 0; index < 40; index++) peer.request('Produce', 9, produce(Buffer.alloc(30_000, index)))
    await it.settle()
    t.equal(kept.length, 40)
    t.ok(kept.every(({ bytes }, index) => bytes.equals(Buffer.alloc(30_000, index))))
    for (const { release } of kept) release()
    t.equal(await finish(it), 0)
  },
)

t.test('requests beyond the bound in flight wait in the socket', async t => {
  const { waiting, handle } = later()
  const it = await world({ handlers: { Heartbeat: handle }, limits: { maxRequestsInFlight: 3 } })
  const peer = await it.connect()
  for (let index = 0; index < 10; index++) peer.request('Heartbeat', 0, HEARTBEAT)
  await it.settle()
  t.equal(waiting.length, 3)
  t.ok(peer.socket.pendingBytes > 0, 'the server has stopped reading')
  for (let done = 0; done < 10; done++) {
    t.ok(waiting.length - done <= 3)
    waiting[done]!.answer(heartbeat())
    await it.settle()
  }
  t.equal(peer.correlationIds.length, 10)
  t.equal(it.server.counters.requestsInFlight, 0)
  t.equal(await finish(it), 0)
})

t.test('a peer that asks and does not read costs a bounded amount', async t => {
  let begun = 0
  let sent = 0
  const records = Buffer.alloc(100_000)
  const it = await world({
    handlers: {
      Fetch: (_request, context) => {
        begun++
        context.onSent(() => sent++)
        return fetched(records)
      },
    },
    limits: { maxPendingResponseBytes: 1_000_000 },
  })
  const peer = await it.connect()
  peer.socket.pause()
  for (let index = 0; index < 200; index++) peer.request('Fetch', 4, FETCH)
  await it.settle()
  t.ok(begun <= 11, `${begun} begun`)
  t.equal(sent, 0)
  peer.socket.resume()
  for (let round = 0; round < 40; round++) await it.settle()
  t.equal(peer.correlationIds.length, 200)
  t.equal(sent, 200)
  t.equal(await finish(it), 0)
})

t.test('a large response that was announced waits for room, and small ones go on', async t => {
  const { waiting, handle } = later()
  const it = await world({
    handlers: { Fetch: handle },
    expectedResponseBytes: 800_000,
    limits: { maxPendingResponseBytes: 1_000_000 },
  })
  const peer = await it.connect()
  for (let index = 0; index < 3; index++) peer.request('Fetch', 4, FETCH)
  await it.settle()
  t.equal(waiting.length, 1)
  waiting[0]!.answer(fetched(Buffer.alloc(10)))
  await it.settle()
  t.equal(waiting.length, 2)
  waiting[1]!.answer(fetched(Buffer.alloc(10)))
  await it.settle()
  waiting[2]!.answer(fetched(Buffer.alloc(10)))
  await it.settle()
  t.same(peer.correlationIds, [1, 2, 3])
  t.equal(await finish(it), 0)
})

t.test('a throttled connection is answered at once, and read again when the time is over', async t => {
  let count = 0
  const it = await world({
    handlers: {
      Heartbeat: (_request, context) => {
        if (count++ === 0) context.throttle(500)
        return heartbeat()
      },
    },
  })
  const peer = await it.connect()
  peer.request('Heartbeat', 0, HEARTBEAT)
  await it.settle()
  peer.request('Heartbeat', 0, HEARTBEAT)
  await it.settle()
  t.same(peer.correlationIds, [1])
  await it.env.clock.advance(499)
  t.same(peer.correlationIds, [1])
  await it.env.clock.advance(2)
  await it.settle()
  t.same(peer.correlationIds, [1, 2])
  t.equal(await finish(it), 0)
})

t.test('a request without a response leaves no gap', async t => {
  const it = await world({ handlers: { Heartbeat: heartbeat, Produce: async () => NO_RESPONSE } })
  const peer = await it.connect()
  peer.request('Heartbeat', 0, HEARTBEAT)
  peer.request('Produce', 9, produce(Buffer.alloc(100)))
  peer.request('Heartbeat', 0, HEARTBEAT)
  await it.settle()
  t.same(peer.correlationIds, [1, 3])
  t.equal(await finish(it), 0)
})

t.test(
  'ApiVersions of an unknown version is answered in version 0 with the range that is served',
  async t => {
    const it = await world({ handlers: { ApiVersions: () => ({ errorCode: 0, apiKeys: [] }) } })
    const peer = await it.connect()
    // Version 99, correlation id 7, and a body that nobody can read.
    peer.send(Buffer.from('0000000c001200630000000700ffff00', 'hex'))
    await it.settle()
    const response = peer.response(0, 'ApiVersions', 0)
    t.match(response, { errorCode: 35, apiKeys: [{ apiKey: 18, minVersion: 0 }] })
    t.notOk(peer.isClosed)
    t.equal(await finish(it), 0)
  },
)

t.test('what cannot be served closes that connection, after the earlier responses, and says why', async t => {
  const hostile: [string, Buffer, RegExp][] = [
    ['an unknown API', Buffer.from('0000000a7fff0000000000010000', 'hex'), /this API is not known/],
    ['an API without a handler', frame('ListGroups', 0, 1, {}), /this API is not served/],
    ['an unknown version', Buffer.from('0000000a000c0063000000010000', 'hex'), /version 99 is not served/],
    ['a negative version', Buffer.from('0000000a000cffff000000010000', 'hex'), /version -1 is not served/],
    ['half a header', Buffer.from('00000003000c00', 'hex'), /bytes wanted/],
    ['an empty frame', Buffer.from('00000000', 'hex'), /bytes wanted/],
    ['a body cut short', Buffer.from('0000000a000c0000000000010000', 'hex'), /Heartbeat/],
    ['a negative length', Buffer.from('ffffffff', 'hex'), /size|length/],
    ['an absurd length', Buffer.from('7fffffff', 'hex'), /2147483647/],
  ]
  for (const [name, bytes, reason] of hostile) {
    const { waiting, handle } = later()
    const it = await world({ handlers: { Heartbeat: handle } })
    const bystander = await it.connect()
    const peer = await it.connect()
    bystander.request('Heartbeat', 0, HEARTBEAT)
    peer.send(frame('Heartbeat', 0, 41, HEARTBEAT))
    await it.settle()
    peer.send(bytes)
    peer.send(frame('Heartbeat', 0, 42, HEARTBEAT))
    await it.settle()
    t.notOk(peer.isClosed, `${name}: the earlier request is still worked on`)
    for (const { answer } of waiting) answer(heartbeat())
    await it.settle()
    t.same(peer.correlationIds, [41], name)
    t.equal(peer.closedWith, null, `${name}: closed, not reset`)
    t.same(bystander.correlationIds, [1])
    t.notOk(bystander.isClosed)
    t.equal(it.logged(reason), 1, `${name}: one line says why`)
    t.equal(it.server.counters.refusedFrames, 1)
    t.same(it.fatal, [])
    t.equal(await finish(it), 0)
  }
})

t.test('a handler may end the conversation', async t => {
  const { waiting, handle } = later()
  const it = await world({
    handlers: {
      Heartbeat: handle,
      Produce: (_request, context) => {
        context.closeConnection('acks=0 failed')
        return NO_RESPONSE
      },
    },
  })
  const peer = await it.connect()
  peer.request('Heartbeat', 0, HEARTBEAT)
  peer.request('Heartbeat', 0, HEARTBEAT)
  peer.request('Produce', 9, produce(Buffer.alloc(10)))
  peer.request('Heartbeat', 0, HEARTBEAT)
  await it.settle()
  waiting[0]!.answer(heartbeat())
  waiting[2]!.answer(heartbeat())
  await it.settle()
  t.notOk(peer.isClosed)
  waiting[1]!.answer(heartbeat())
  await it.settle()
  t.same(peer.correlationIds, [1, 2])
  t.ok(peer.isClosed)
  t.equal(it.logged(/acks=0 failed/), 1)
  t.equal(await finish(it), 0)
})

t.test('a handler that throws closes the connection; a bug stops the broker', async t => {
  const it = await world({
    handlers: {
      Heartbeat: () => {
        throw new Error('disk on fire')
      },
      Produce: async () => {
        throw new AssertionError('offsets never go back')
      },
      Fetch: () => ({ nonsense: true }),
    },
  })
  const [first, second, third] = [await it.connect(), await it.connect(), await it.connect()]
  first.request('Heartbeat', 0, HEARTBEAT)
  await it.settle()
  t.ok(first.isClosed)
  t.equal(
    it.env.log.lines.filter(({ fields }) => (fields['error'] as Error)?.message === 'disk on fire').length,
    1,
  )
  t.same(it.fatal, [])
  second.request('Produce', 9, produce(Buffer.alloc(10)))
  await it.settle()
  t.match(it.fatal, [{ message: 'offsets never go back' }])
  third.request('Fetch', 4, FETCH)
  await it.settle()
  t.ok(third.isClosed)
  t.equal(it.server.counters.requestsInFlight, 0)
  t.equal(await finish(it), 0)
})

t.test('when the peer goes, those who wait for it are told, and slices are released once', async t => {
  const { waiting, handle } = later()
  const it = await world({ handlers: { Fetch: handle } })
  const peer = await it.connect()
  for (let index = 0; index < 3; index++) peer.request('Fetch', 4, FETCH)
  await it.settle()
  const told: string[] = []
  const [one, two, three] = waiting.map(({ context }) => context)
  one!.onClose(() => told.push('one closed'))
  const forget = two!.onClose(() => told.push('two closed'))
  forget()
  one!.onSent(() => told.push('one sent'))
  two!.onSent(() => told.push('two sent'))
  waiting[1]!.answer(fetched(Buffer.alloc(1000)))
  await it.settle()
  t.same(told, [], 'the second waits for the first')
  peer.socket.destroy()
  await it.settle()
  t.same(told, ['one closed', 'two sent'])
  t.ok(three!.closed)
  waiting[0]!.answer(fetched(Buffer.alloc(1000)))
  waiting[2]!.fail(new Error('nobody is there'))
  await it.settle()
  t.same(told, ['one closed', 'two sent', 'one sent'])
  three!.onClose(() => told.push('at once'))
  three!.onSent(() => told.push('at once'))
  t.same(told.slice(3), ['at once', 'at once'])
  t.equal(it.server.counters.connectionsOpen, 0)
  t.equal(await finish(it), 0)
})

t.test(
  'after the end of its requests a peer still gets its responses, then the connection closes',
  async t => {
    const { waiting, handle } = later()
    const it = await world({ handlers: { Heartbeat: handle }, limits: { maxRequestsInFlight: 1 } })
    const peer = await it.connect()
    peer.send(Buffer.concat([1, 2, 3].map(id => frame('Heartbeat', 0, id, HEARTBEAT))))
    peer.socket.end()
    for (let index = 0; index < 3; index++) {
      await it.settle()
      waiting[index]!.answer(heartbeat())
    }
    await it.settle()
    t.same(peer.correlationIds, [1, 2, 3])
    t.equal(peer.closedWith, null)
    t.equal(await finish(it), 0)
  },
)

t.test('when memory is used up connections wait for it, and all are served in the end', async t => {
  const { waiting, handle } = later()
  const it = await world({
    handlers: { Produce: handle },
    pool: { slabBytes: 128 * 1024, maxBytes: 256 * 1024 },
  })
  const peers = await Promise.all([1, 2, 3, 4, 5, 6].map(() => it.connect()))
  for (const peer of peers) {
    for (let index = 0; index < 4; index++) peer.request('Produce', 9, produce(Buffer.alloc(40_000)))
  }
  await it.settle()
  t.ok(waiting.length < 24)
  const bound = 256 * 1024 + 2 * 41 * 1024
  t.ok(it.pool.bytesInUse <= bound)
  for (let done = 0; done < 24; done++) {
    if (waiting[done] === undefined) await it.env.clock.advance(1000)
    for (let round = 0; round < 10 && waiting[done] === undefined; round++) await it.settle()
    waiting[done]!.answer(produced())
    await it.settle()
    t.ok(it.pool.bytesInUse <= bound)
  }
  t.same(
    peers.map(peer => peer.correlationIds),
    peers.map(() => [1, 2, 3, 4]),
  )
  t.equal(await finish(it), 0)
})

t.test('an interceptor decides what becomes of a request', async t => {
  const seen: string[] = []
  const it: World = await world({
    handlers: { Heartbeat: heartbeat },
    interceptor: (handler, _request, context, proceed) => {
      seen.push(`${handler.api.name} ${context.correlationId}`)
      return context.correlationId === 2 ? { errorCode: 25 } : proceed()
    },
  })
  const peer = await it.connect()
  for (let index = 0; index < 3; index++) peer.request('Heartbeat', 0, HEARTBEAT)
  await it.settle()
  t.same(seen, ['Heartbeat 1', 'Heartbeat 2', 'Heartbeat 3'])
  t.same(
    [0, 1, 2].map(index => peer.response(index, 'Heartbeat', 0)['errorCode']),
    [0, 25, 0],
  )
  t.equal(await finish(it), 0)
})
