/**
 * A broker in a process of its own, under attack through real sockets. It must live, serve a healthy client, keep its
 * event loop free, and hold no more memory and no more descriptors than before. One broker serves all cases: what one
 * leaves behind the next ones meet.
 */
import { API } from '../../client/protocol/apis.ts'
import { forEachBatch, validateBatch } from '../../client/protocol/batch.ts'
import { decodeRecords, encodeBatch } from '../../client/protocol/record.ts'
import { type Chance } from './chance.ts'
import { expectationOf, type Input, makeInput } from './requests.ts'
import { LONGEST_MS } from './runner.ts'
import { demand, Hang, type Probe, type Target, Violation } from './target.ts'
import { type Vocabulary } from './values.ts'
import { network, type RawClient, WatchedBroker } from './watched-broker.ts'
import { HostilePeer } from './world.ts'

const TOPICS = ['alpha', 'beta', 'healthy']
const INPUTS = 100
const PEERS = 8
const REPEATS = 3
/** Until then caches fill and code is compiled. */
const WARM_UP_CASES = 20
const CHECK_EVERY = 10
const MEMORY_MB = 150
const DESCRIPTORS = 60
/** What one case may have in memory at a time, whatever it sends: bombs are not opened, lengths not believed. */
const PEAK_MB = 400

interface Baseline {
  readonly rssMb: number
  readonly descriptors: number
  readonly peakRssMb: number
}

let broker: WatchedBroker | null = null
let healthy: RawClient | null = null
let baseline: Baseline | null = null
let cases = 0
let produced = 0

export const processTarget: Target = {
  name: 'process',
  share: 3,
  run: async (chance, probe) => {
    probe.pause()
    try {
      await runCase(chance, probe)
    } catch (error) {
      await discard()
      throw error
    }
  },
  close: discard,
  memoryMb: async () => (broker === null ? null : (await broker.vitals(true)).rssMb),
}

async function discard(): Promise<void> {
  healthy?.destroy()
  await broker?.[Symbol.asyncDispose]()
  broker = null
  healthy = null
  baseline = null
  cases = 0
  produced = 0
}

async function runCase(chance: Chance, probe: Probe): Promise<void> {
  const { target, client } = await ready()
  const words = await prepare(client)
  const inputs = Array.from({ length: INPUTS }, (_, number) => makeInput(chance, words, number))
  const served = new Set(
    (await client.request(API.ApiVersions, 3, ABOUT)).apiKeys.map(({ apiKey }) => apiKey),
  )
  await target.vitals(false)
  await attack(target, inputs, served, chance.fork(), probe)
  await demandHealthy(client)
  target.demandAlive()
  const { longestMs } = await target.vitals(false)
  if (longestMs > LONGEST_MS) await findSlow(target, client, inputs)
  cases++
  if (cases % CHECK_EVERY === 0) await demandModest(target)
}

const ABOUT = { clientSoftwareName: 'fuzz', clientSoftwareVersion: '1' }

async function ready(): Promise<{ target: WatchedBroker; client: RawClient }> {
  if (broker === null) {
    broker = await WatchedBroker.start({
      'auto.create.topics.enable': 'false',
      'log.segment.delete.delay.ms': '0',
      'log.flush.before.ack': 'false',
    })
    healthy = await broker.connect()
  }
  broker.demandAlive()
  return { target: broker, client: healthy! }
}

/** The topics that are meant are there, and no others: what a case has made goes with the next one. */
async function prepare(client: RawClient): Promise<Vocabulary> {
  const { topics } = await client.request(API.Metadata, 12, { topics: null })
  const names = topics.map(({ name }) => name ?? '')
  const surplus = names.filter(name => !TOPICS.includes(name))
  for (let at = 0; at < surplus.length; at += 50) {
    await client.request(API.DeleteTopics, 5, { topicNames: surplus.slice(at, at + 50), timeoutMs: 10_000 })
  }
  const missing = TOPICS.filter(name => !names.includes(name))
  if (missing.includes('healthy')) produced = 0
  if (missing.length > 0) {
    const created = await client.request(API.CreateTopics, 5, {
      timeoutMs: 10_000,
      topics: missing.map(name => ({
        name,
        numPartitions: name === 'alpha' ? 2 : 1,
        replicationFactor: -1,
        assignments: [],
        configs:
          name === 'healthy'
            ? [
                { name: 'max.message.bytes', value: '1048588' },
                { name: 'min.insync.replicas', value: '1' },
                { name: 'retention.ms', value: '-1' },
                { name: 'message.timestamp.type', value: 'CreateTime' },
                { name: 'cleanup.policy', value: 'delete' },
              ]
            : [{ name: 'retention.bytes', value: '1048576' }],
      })),
    })
    for (const { errorCode } of created.topics)
      demand(errorCode === 0, `a topic cannot be made: error ${errorCode}`)
  }
  const { topics: known } = await client.request(API.Metadata, 12, {
    topics: [{ name: 'alpha' }, { name: 'beta' }],
  })
  return { topics: ['alpha', 'beta'], topicIds: known.map(({ topicId }) => topicId) }
}

async function attack(
  target: WatchedBroker,
  inputs: readonly Input[],
  served: ReadonlySet<number>,
  chance: Chance,
  probe: Probe,
): Promise<void> {
  const peers = new Map<number, HostilePeer>()
  for (const input of inputs) {
    const slot = chance.int(PEERS)
    let peer = peers.get(slot)
    if (peer === undefined || peer.isClosed) {
      peer = new HostilePeer(await network.connect(target.address, 5000))
      peers.set(slot, peer)
    }
    probe.input(input.bytes, input.note)
    probe.pause()
    const { bytes, framed } = input
    if (chance.once(20)) peer.send(bytes.subarray(0, chance.int(bytes.length)), null)
    else peer.send(bytes, framed ? expectationOf(bytes.subarray(4), served) : null)
    const misdeed = chance.int(120)
    if (misdeed < 3) peer.destroy()
    else if (misdeed < 6) peer.end()
    else if (misdeed < 9) peer.pause()
    if (peer.violation !== null) throw new Violation(peer.violation)
    // Answers come in between, so that not all is written before the first is read.
    if (chance.once(8)) await new Promise(resolve => setImmediate(resolve))
  }
  for (let round = 0; round < 20; round++) await new Promise(resolve => setImmediate(resolve))
  for (const peer of peers.values()) {
    peer.destroy()
    if (peer.violation !== null) throw new Violation(peer.violation)
  }
}

async function demandHealthy(client: RawClient): Promise<void> {
  const value = `value ${produced}`
  const records = encodeBatch([{ value, timestamp: Date.now() }])
  const { responses } = await client.request(API.Produce, 9, {
    acks: -1,
    timeoutMs: 10_000,
    topicData: [{ name: 'healthy', partitionData: [{ index: 0, records }] }],
  })
  const result = responses[0]?.partitionResponses[0]
  demand(
    result?.errorCode === 0,
    `a healthy producer gets error ${result?.errorCode}: ${result?.errorMessage}`,
  )
  demand(result.baseOffset === produced, `it gets offset ${result.baseOffset}, and not ${produced}`)
  const fetched = await client.request(API.Fetch, 12, {
    maxWaitMs: 0,
    minBytes: 1,
    maxBytes: 1 << 20,
    topics: [
      { topic: 'healthy', partitions: [{ partition: 0, fetchOffset: produced, partitionMaxBytes: 1 << 20 }] },
    ],
  })
  produced++
  const bytes = fetched.responses[0]?.partitions[0]?.records ?? Buffer.alloc(0)
  const values: string[] = []
  forEachBatch(bytes, position => {
    demand(
      validateBatch(bytes, position, bytes.length, 'log') === null,
      'a healthy consumer gets a damaged batch',
    )
    for (const record of decodeRecords(bytes, position)) values.push(String(record.value))
  })
  demand(values.join() === value, `a healthy consumer gets ${values.join()} for ${value}`)
}

/** Sends the inputs of a slow case again, each alone: only what is slow each time counts. */
async function findSlow(target: WatchedBroker, client: RawClient, inputs: readonly Input[]): Promise<void> {
  let suspects = inputs
  let last: { input: Input; ms: number }[] = []
  for (let round = 0; round < REPEATS && suspects.length > 0; round++) {
    last = []
    for (const input of suspects) {
      await target.vitals(true)
      const peer = new HostilePeer(await network.connect(target.address, 5000))
      peer.send(input.bytes, null)
      // The new connection may be looked at after the one that is there already.
      for (let turn = 0; turn < 5; turn++) await client.request(API.ApiVersions, 3, ABOUT)
      const { longestMs } = await target.vitals(false)
      peer.destroy()
      if (longestMs > LONGEST_MS) last.push({ input, ms: longestMs })
    }
    suspects = last.map(({ input }) => input)
  }
  const [slowest] = last
  if (slowest === undefined) return
  const { input, ms } = slowest
  throw new Hang(
    `kept the event loop ${ms.toFixed(0)} ms, ${REPEATS} times: ${input.note}, ${input.bytes.toString('hex', 0, 4096)}`,
  )
}

async function demandModest(target: WatchedBroker): Promise<void> {
  const { rssMb, descriptors, peakRssMb } = await target.vitals(true)
  if (cases < WARM_UP_CASES) return
  baseline ??= { rssMb, descriptors, peakRssMb }
  demand(rssMb < baseline.rssMb + MEMORY_MB, `memory has grown from ${baseline.rssMb} MB to ${rssMb} MB`)
  demand(
    descriptors < baseline.descriptors + DESCRIPTORS,
    `open descriptors have grown from ${baseline.descriptors} to ${descriptors}`,
  )
  demand(
    peakRssMb < baseline.rssMb + PEAK_MB,
    `at its peak the broker had ${peakRssMb} MB, at rest ${baseline.rssMb} MB`,
  )
}
