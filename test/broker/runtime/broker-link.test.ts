import t, { type Test } from 'tap'
import { type Network } from '../../../broker/env.ts'
import { createMemoryEnv, type MemoryEnv } from '../../../broker/env-memory.ts'
import { BrokerLink, type LinkError, type LinkReply } from '../../../broker/runtime/broker-link.ts'
import { type ApiHandler } from '../../../broker/server/handler.ts'
import { PLAIN_MEMORY, type Retained } from '../../../broker/slab.ts'
import { API } from '../../../client/protocol/apis.ts'
import { type FetchRequest, type FetchResponse } from '../../../client/protocol/messages/fetch.ts'
import { type Input } from '../../../client/protocol/schema.ts'
import { type LinkSide, linkSide, ScriptedPeer } from './scripted-peer.ts'

/** Answers a fetch with `maxBytes` bytes, after `maxWaitMs`. */
function echo(env: MemoryEnv): ApiHandler<FetchRequest, Input<typeof FetchResponse>> {
  return {
    api: API.Fetch,
    handle(request) {
      const records = [Buffer.alloc(request.maxBytes, request.sessionEpoch)]
      const partition = {
        partitionIndex: 0,
        errorCode: 0,
        highWatermark: 0,
        abortedTransactions: [],
        records,
      }
      const response = {
        errorCode: 0,
        sessionId: 0,
        responses: [{ topic: 'a', partitions: [partition] }],
      }
      if (request.maxWaitMs === 0) return response
      return new Promise(resolve => env.timers.set(request.maxWaitMs, () => resolve(response)))
    },
  }
}

interface Opened {
  readonly env: MemoryEnv
  readonly side: LinkSide
  readonly peer: ScriptedPeer
  readonly link: BrokerLink
  readonly ended: LinkError[]
}

async function open(t: Test, seed = 1): Promise<Opened> {
  const env = createMemoryEnv({ seed, networkOptions: { split: length => 1 + random.int(length) } })
  const random = env.random.fork()
  const side = linkSide()
  const peer = await ScriptedPeer.start(env, 2, [echo(env)])
  const ended: LinkError[] = []
  const link = BrokerLink.open({
    env,
    memory: side.memory,
    address: peer.address,
    clientId: 'broker-1',
    connectTimeoutMs: 1000,
    maxFrameBytes: 64 * 1024 * 1024,
    onReady() {},
    onEnded: error => ended.push(error),
  })
  await env.clock.advance(1)
  t.teardown(async () => {
    link.close()
    await peer.die()
  })
  return { env, side, peer, link, ended }
}

function fetch(
  link: BrokerLink,
  ask: { readonly bytes: number; readonly mark?: number; readonly waitMs?: number },
  reply: LinkReply<FetchResponse>,
  timeoutMs = 1000,
): void {
  const { bytes, mark = 1, waitMs = 0 } = ask
  const request = { maxWaitMs: waitMs, minBytes: 1, maxBytes: bytes, sessionEpoch: mark, topics: [] }
  link.send(API.Fetch, request, { timeoutMs }, reply)
}

t.test('answers come in the order of the requests, however the bytes arrive', async t => {
  for (let seed = 1; seed <= 20; seed++) {
    const { env, link } = await open(t, seed)
    const seen: number[] = []
    for (const mark of [1, 2, 3, 4, 5]) {
      const ask = { mark, bytes: env.random.int(100_000), waitMs: env.random.int(3) * 10 }
      fetch(link, ask, {
        answered({ responses }) {
          const records = responses[0]!.partitions[0]!.records!
          t.equal(records.length, ask.bytes)
          t.ok(records.every(byte => byte === mark))
          seen.push(mark)
        },
        failed: error => t.fail(error.message),
      })
    }
    t.equal(link.inFlight, 5)
    await env.clock.advance(100)
    t.same(seen, [1, 2, 3, 4, 5])
    t.equal(link.inFlight, 0)
  }
})

t.test('who retains an answer keeps its bytes, and pooled memory comes back when all is let go', async t => {
  const { env, side, link } = await open(t)
  const kept: { bytes: Uint8Array; owner: Retained }[] = []
  for (const mark of [1, 2, 3]) {
    fetch(
      link,
      { bytes: 300_000, mark },
      {
        answered({ responses }, owner) {
          owner.retain()
          kept.push({ bytes: responses[0]!.partitions[0]!.records!, owner })
        },
        failed: error => t.fail(error.message),
      },
    )
  }
  await env.clock.advance(50)
  t.equal(kept.length, 3)
  for (const [index, { bytes, owner }] of kept.entries()) {
    t.ok(bytes.every(byte => byte === index + 1))
    t.not(owner, PLAIN_MEMORY, 'large answers lie in slabs')
  }
  t.ok(side.pool.slabsInUse > 0)
  for (const { owner } of kept) owner.release()
  link.relax()
  side.memory.rest()
  t.equal(side.pool.slabsInUse, 0)
})

t.test(
  'receiving begins before the first byte is sent, so that bytes land in the memory of links',
  async t => {
    const env = createMemoryEnv()
    const calls: string[] = []
    const network: Network = {
      listen: (...args) => env.network.listen(...args),
      connect: async (...args) => {
        const socket = await env.network.connect(...args)
        return new Proxy(socket, {
          get(target, name: keyof typeof socket) {
            const value = target[name]
            if (typeof value !== 'function') return value
            return (...given: never[]) => {
              calls.push(name)
              return (value as (...given: never[]) => unknown).apply(target, given)
            }
          },
        })
      },
    }
    const peer = await ScriptedPeer.start(env, 2, [echo(env)])
    const link = BrokerLink.open({
      env: { clock: env.clock, timers: env.timers, network },
      memory: linkSide().memory,
      address: peer.address,
      clientId: 'broker-1',
      connectTimeoutMs: 1000,
      maxFrameBytes: 1024,
      onReady() {},
      onEnded() {},
    })
    await env.clock.advance(1)
    t.ok(link.isReady)
    t.match(calls, ['start', 'write'])
    link.close()
    await peer.die()
  },
)

t.test('an answer that does not come in time ends the link, and everything on it', async t => {
  const { env, link, ended } = await open(t)
  const codes: string[] = []
  const reply = { answered: () => t.fail('too late'), failed: (error: LinkError) => codes.push(error.code) }
  fetch(link, { bytes: 1, waitMs: 5000 }, reply, 2000)
  fetch(link, { bytes: 1 }, reply, 60_000)
  await env.clock.advance(1999)
  t.same(codes, [])
  await env.clock.advance(2)
  t.same(codes, ['TIMEOUT', 'TIMEOUT'])
  t.same(
    ended.map(error => error.code),
    ['TIMEOUT'],
  )
})

t.test('answers in time leave no timer that would end the link', async t => {
  const { env, link, ended } = await open(t)
  let answers = 0
  for (let round = 0; round < 10; round++) {
    fetch(link, { bytes: 1 }, { answered: () => void answers++, failed: error => t.fail(error.message) }, 100)
    await env.clock.advance(90)
  }
  await env.clock.advance(1000)
  t.equal(answers, 10)
  t.same(ended, [])
})

t.test('a connection that breaks fails what is under way, and says so once', async t => {
  const { env, peer, link, ended } = await open(t)
  const codes: string[] = []
  fetch(
    link,
    { bytes: 1, waitMs: 500 },
    { answered: () => t.fail('lost'), failed: error => codes.push(error.code) },
  )
  await env.clock.advance(10)
  peer.dropConnections()
  await env.clock.advance(10)
  t.same([codes, ended.map(error => error.code)], [['LOST'], ['LOST']])
  t.equal(link.isReady, false)
})

t.test('closed from here, the replies hear of it and nobody else', async t => {
  const { env, link, ended } = await open(t)
  const codes: string[] = []
  fetch(
    link,
    { bytes: 1, waitMs: 500 },
    { answered: () => t.fail('closed'), failed: error => codes.push(error.code) },
  )
  link.close()
  link.close()
  await env.clock.advance(1000)
  t.same([codes, ended], [['CLOSED'], []])
})

t.test('where nobody listens the connection is refused', async t => {
  const env = createMemoryEnv()
  const ended: LinkError[] = []
  BrokerLink.open({
    env,
    memory: linkSide().memory,
    address: { host: '127.0.0.1', port: 1 },
    clientId: 'broker-1',
    connectTimeoutMs: 1000,
    maxFrameBytes: 1024,
    onReady: () => t.fail('nobody is there'),
    onEnded: error => ended.push(error),
  })
  t.same(ended, [], 'not within the call')
  await env.clock.advance(1)
  t.match(ended, [{ code: 'REFUSED' }])
})

t.test('what the other side does not speak ends the link', async t => {
  const { env, link, ended } = await open(t)
  const codes: string[] = []
  const request = { replicaId: 1, isolationLevel: 0, topics: [] }
  const reply = { answered: () => t.fail('not served'), failed: (error: LinkError) => codes.push(error.code) }
  link.send(API.ListOffsets, request, { timeoutMs: 100 }, reply)
  t.same(codes, [], 'not within the call')
  await env.clock.advance(1)
  t.same([codes, ended.map(error => error.code)], [['PROTOCOL'], ['PROTOCOL']])
})

t.test('a frame beyond the limit ends the link before it is received', async t => {
  const { env, side, link, ended } = await open(t)
  fetch(link, { bytes: 65 * 1024 * 1024 }, { answered: () => t.fail('too large'), failed() {} })
  await env.clock.advance(10)
  t.match(ended, [{ code: 'PROTOCOL' }])
  t.ok(side.pool.bytesInUse < 8 * 1024 * 1024)
})
