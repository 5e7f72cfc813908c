/**
 * Hostile input by name, against a whole broker in memory: what a peer may try, and what comes of it.
 */
import assert from 'node:assert/strict'
import t, { type Test } from 'tap'
import { API, APIS, type Api } from '../../client/protocol/apis.ts'
import { ErrorCode } from '../../client/protocol/errors.ts'
import { encodeBatch } from '../../client/protocol/record.ts'
import { Writer } from '../../client/protocol/writer.ts'
import { makeBomb } from './batches.ts'
import { Chance } from './chance.ts'
import { uvarint } from './mutate.ts'
import { encodeMarked, expectationOf, withSize } from './requests.ts'
import { HostilePeer, World } from './world.ts'

const TIMES = 3
const LONGEST_MS = 100
const MAX_INT32 = 0x7fff_ffff

async function start(topics: Readonly<Record<string, number>> = { orders: 1 }): Promise<World> {
  const world = await World.start({ seed: 1 })
  await world.createTopics(topics)
  return world
}

async function finish(t: Test, world: World): Promise<void> {
  await world.demandHealthy()
  await world.stop()
  t.same(world.fatals, [], 'the broker is well')
}

async function peerOf(world: World): Promise<HostilePeer> {
  return new HostilePeer(await world.env.network.connect(world.broker.address, 1000))
}

/** Sends `bytes` on a connection of their own. True when the broker has closed it. */
async function isRefused(world: World, bytes: Uint8Array): Promise<boolean> {
  const peer = await peerOf(world)
  peer.send(bytes, null)
  await world.env.clock.settle()
  const { isClosed } = peer
  peer.destroy()
  await world.env.clock.settle()
  return isClosed
}

function header(api: Api, version: number): Writer {
  const writer = new Writer()
  writer.int16(api.key)
  writer.int16(version)
  writer.int32(1)
  writer.nullableString('hostile')
  return writer
}

/** How long the broker takes at best: the machine may be busy with others. */
async function bestOf(run: () => Promise<unknown>): Promise<number> {
  let best = Number.POSITIVE_INFINITY
  for (let time = 0; time < TIMES && best > LONGEST_MS; time++) {
    const before = performance.now()
    await run()
    best = Math.min(best, performance.now() - before)
  }
  return best
}

function externalBytes(): number {
  const { heapUsed, external } = process.memoryUsage()
  return heapUsed + external
}

// ----------------------------------------------------------------------------------------- lengths and counts

t.test('a request that ends anywhere before its end is refused, wherever that is', async t => {
  const world = await start()
  const records = encodeBatch([{ value: 'x', timestamp: world.env.clock.wallMs() }])
  const topicData = [{ name: 'orders', partitionData: [{ index: 0, records }] }]
  const { bytes } = encodeMarked(API.Produce as Api, 9, 1, {
    transactionalId: null,
    acks: 1,
    timeoutMs: 1,
    topicData,
  })
  for (let length = 0; length < bytes.length; length++) {
    assert.ok(
      await isRefused(world, withSize(bytes.subarray(0, length))),
      `${length} of ${bytes.length} bytes`,
    )
  }
  t.notOk(await isRefused(world, withSize(bytes)), 'the whole one is served')
  await finish(t, world)
})

t.test(
  'frames of negative and absurd sizes close their connection before anything is made for them',
  async t => {
    const world = await start()
    const before = externalBytes()
    for (const size of [-1, -2, -(2 ** 31), 100 * 1024 * 1024 + 1, 2 ** 30, MAX_INT32]) {
      t.ok(await isRefused(world, withSize(Buffer.alloc(0), size)), `${size} bytes`)
    }
    // A size that is allowed is waited for, but no memory is.
    const peers: HostilePeer[] = []
    for (let i = 0; i < 100; i++) {
      const peer = await peerOf(world)
      peer.send(withSize(Buffer.alloc(100), 100 * 1024 * 1024), null)
      peers.push(peer)
    }
    await world.env.clock.settle()
    t.ok(peers.every(peer => !peer.isClosed))
    const grown = externalBytes() - before
    t.ok(grown < 64 * 1024 * 1024, `a hundred frames of 100 MB, announced: ${Math.round(grown / 2 ** 20)} MB`)
    for (const peer of peers) peer.destroy()
    await finish(t, world)
  },
)

t.test('counts that no bytes follow are refused by every API in every version, at no cost', async t => {
  const world = await start()
  const before = externalBytes()
  for (const api of APIS) {
    for (let version = api.minVersion; version <= api.maxVersion; version++) {
      for (const count of [
        Buffer.from([0x7f, 0xff, 0xff, 0xff]),
        uvarint(0xffff_ffff),
        Buffer.alloc(40, 0xff),
      ]) {
        const writer = header(api, version)
        if (api.requestHeaderVersion(version) === 2) writer.uvarint(0)
        writer.raw(count)
        const expected = expectationOf(writer.concat(), new Set(APIS.map(({ key }) => key)))
        if (expected.kind !== 'refusal') continue
        assert.ok(await isRefused(world, withSize(writer.concat())), `${api.name} version ${version}`)
      }
    }
  }
  const grown = externalBytes() - before
  t.ok(grown < 128 * 1024 * 1024, `${Math.round(grown / 2 ** 20)} MB for all of them`)
  await finish(t, world)
})

t.test('tagged fields by the million are refused, announced or sent, before a body is looked at', async t => {
  const world = await start()
  for (const body of [
    uvarint(20_000_000),
    Buffer.concat([uvarint(20_000_000), Buffer.alloc(1_000_000, 1)]),
  ]) {
    const writer = header(API.ApiVersions as Api, 3)
    writer.raw(body)
    const tookMs = await bestOf(async () => assert.ok(await isRefused(world, withSize(writer.concat()))))
    t.ok(tookMs < LONGEST_MS, `${body.length} bytes: ${tookMs.toFixed(0)} ms`)
  }
  await finish(t, world)
})

t.test(
  'APIs and versions that nobody knows are refused; ApiVersions is answered whatever its version',
  async t => {
    const world = await start()
    for (const [key, version] of [
      [-1, 0],
      [999, 0],
      [0x7fff, 0x7fff],
      [API.Fetch.key, -1],
      [API.Fetch.key, 99],
      [7, 0],
    ] as const) {
      const writer = new Writer()
      writer.int16(key)
      writer.int16(version)
      writer.int32(1)
      writer.nullableString('hostile')
      t.ok(await isRefused(world, withSize(writer.concat())), `key ${key} version ${version}`)
    }
    const peer = await peerOf(world)
    const writer = header(API.ApiVersions as Api, 99)
    peer.send(withSize(writer.concat()), {
      kind: 'answer',
      api: API.ApiVersions as Api,
      version: 0,
      correlationId: 1,
    })
    await world.env.clock.settle()
    t.equal(peer.violation, null)
    t.notOk(peer.isClosed)
    peer.destroy()
    await finish(t, world)
  },
)

// ------------------------------------------------------------------------------------------------------ silence

t.test(
  'who stops in the middle of a request is closed after a while, and so is who never begins',
  async t => {
    const world = await start()
    const { bytes } = encodeMarked(API.Metadata as Api, 12, 1, { topics: null })
    const whole = withSize(bytes)
    await world.demandHealthy()
    const silent = await peerOf(world)
    const halves: HostilePeer[] = []
    for (let length = 1; length < whole.length; length++) {
      const peer = await peerOf(world)
      peer.send(whole.subarray(0, length), null)
      halves.push(peer)
    }
    await world.env.clock.advance(29_000)
    t.ok(
      halves.every(peer => !peer.isClosed),
      'time is given',
    )
    await world.env.clock.advance(3_000)
    t.ok(
      halves.every(peer => peer.isClosed),
      'but not for ever',
    )
    t.notOk(silent.isClosed)
    await world.env.clock.advance(30_000)
    t.ok(silent.isClosed)
    await finish(t, world)
  },
)

// -------------------------------------------------------------------------------------- much for little

t.test('asking for the same thing many times in one request costs no more than asking once', async t => {
  const world = await start({ orders: 1, wide: 500 })
  const many = <T>(value: T): T[] => Array.from({ length: 10_000 }, () => value)
  const requests: [Api, number, object][] = [
    [API.Metadata as Api, 12, { topics: many({ name: 'wide' }) }],
    [API.DescribeTopicPartitions as Api, 0, { topics: many({ name: 'wide' }) }],
    [
      API.DescribeConfigs as Api,
      4,
      { resources: many({ resourceType: 2, resourceName: 'wide', configurationKeys: null }) },
    ],
    [API.DescribeLogDirs as Api, 4, { topics: many({ topic: 'wide', partitions: [0] }) }],
  ]
  for (const [api, version, value] of requests) {
    const { bytes } = encodeMarked(api, version, 1, value as Record<string, unknown>)
    const peer = await peerOf(world)
    const before = performance.now()
    peer.send(withSize(bytes), { kind: 'answer', api, version, correlationId: 1 })
    await world.env.clock.advance(10)
    t.equal(peer.violation, null)
    const ratio = peer.bytesReceived / bytes.length
    t.ok(ratio < 10, `${api.name}: ${bytes.length} bytes bring ${peer.bytesReceived}`)
    t.ok(performance.now() - before < 5000)
    peer.destroy()
  }
  await finish(t, world)
})

t.test(
  'topics are made by the ten thousand at most, and a request for more elements than that is refused',
  async t => {
    const world = await start()
    const topics = Array.from({ length: 12_000 }, (_, i) => ({
      name: `topic-${i}`,
      numPartitions: 1,
      replicationFactor: -1,
      assignments: [],
      configs: [],
    }))
    const answer = await world.healthy.request(API.CreateTopics, 7, {
      timeoutMs: 1,
      topics,
      validateOnly: true,
    })
    const codes = answer.topics.map(({ errorCode }) => errorCode)
    t.equal(codes.filter(code => code === ErrorCode.NONE).length, 10_000)
    t.equal(codes.filter(code => code === ErrorCode.POLICY_VIOLATION).length, 2000)
    t.ok(
      answer.topics.every(({ configs }) => configs?.length === 0),
      'their configs are not all listed',
    )
    const names = Array.from({ length: 40_000 }, (_, i) => ({ name: `topic-${i}` }))
    const { bytes } = encodeMarked(API.Metadata as Api, 12, 1, {
      topics: names,
      allowAutoTopicCreation: true,
    })
    t.ok(await isRefused(world, withSize(bytes)))
    t.equal(world.broker.topicNames.length, 2)
    await finish(t, world)
  },
)

t.test('compressed bombs are stored or refused, and never opened', async t => {
  const world = await start()
  const before = externalBytes()
  for (let number = 0; number < 12; number++) {
    const records = makeBomb(Chance.of(1, 'bomb', number))
    const topicData = [{ name: 'orders', partitionData: [{ index: 0, records }] }]
    const { responses } = await world.healthy.request(API.Produce, 9, {
      transactionalId: null,
      acks: -1,
      timeoutMs: 1000,
      topicData,
    })
    assert.ok(responses.length === 1)
  }
  const grown = externalBytes() - before
  t.ok(grown < 64 * 1024 * 1024, `${Math.round(grown / 2 ** 20)} MB`)
  await finish(t, world)
})

t.test('a frame of millions of empty things is refused in no time', async t => {
  const world = await start()
  for (const [api, version, elementBytes] of [
    [API.Metadata, 12, 18],
    [API.Fetch, 17, 18],
    [API.CreateTopics, 7, 8],
    [API.DescribeConfigs, 4, 4],
  ] as const) {
    const count = 2_000_000
    const writer = header(api as Api, version)
    writer.uvarint(0)
    // In front of the array of the topics; what is there is the same in each of these versions.
    if (api === API.Fetch) writer.raw(Buffer.alloc(4 + 4 + 4 + 1 + 4 + 4))
    writer.uvarint(count + 1)
    const bytes = withSize(Buffer.concat([writer.concat(), Buffer.alloc(count * elementBytes)]))
    const tookMs = await bestOf(async () => {
      await isRefused(world, bytes)
    })
    // Receiving so many bytes takes its time here; what is measured is that it is not much more.
    t.ok(tookMs < 2000, `${api.name}: ${Math.round(bytes.length / 2 ** 20)} MB in ${tookMs.toFixed(0)} ms`)
  }
  await finish(t, world)
})

// ------------------------------------------------------------------------------------------------------- names

t.test('names with a meaning elsewhere have none here', async t => {
  const world = await start()
  const names = ['__proto__', 'constructor', 'toString', 'hasOwnProperty', '../../etc', 'a/b', '.', '..', '']
  const { topics } = await world.healthy.request(API.CreateTopics, 7, {
    timeoutMs: 1000,
    topics: names.map(name => ({
      name,
      numPartitions: 1,
      replicationFactor: -1,
      assignments: [],
      configs: [],
    })),
  })
  const made = topics.filter(({ errorCode }) => errorCode === 0).map(({ name }) => name)
  t.same(
    made,
    ['__proto__', 'constructor', 'toString', 'hasOwnProperty'],
    'those are names of topics like any other',
  )
  t.same(
    (await world.env.disk.list('/')).map(({ name }) => name),
    ['data'],
    'nothing lies outside of the data folder',
  )
  const answer = await world.healthy.request(API.IncrementalAlterConfigs, 1, {
    validateOnly: false,
    resources: [
      {
        resourceType: 2,
        resourceName: '__proto__',
        configs: ['__proto__', 'constructor'].map(name => ({ name, configOperation: 0, value: 'x' })),
      },
    ],
  })
  t.not(answer.responses[0]?.errorCode, 0, 'and no configs')
  t.equal(({} as Record<string, unknown>)['x'], undefined)
  await finish(t, world)
})
