/**
 * A broker that starts on a damaged data folder: it comes up, or it refuses with a coded error that says why. Where it
 * comes up, everything that it shows can be read to the end, new records can be written, and another start finds the
 * same.
 */
import { createHash } from 'node:crypto'
import { type MemoryDisk } from '../../broker/env-memory/disk.ts'
import { API } from '../../client/protocol/apis.ts'
import { AssertionError } from '../../client/protocol/assert.ts'
import { batchBaseOffset, batchLastOffset, forEachBatch, validateBatch } from '../../client/protocol/batch.ts'
import { ErrorCode, errorName } from '../../client/protocol/errors.ts'
import { batch } from '../broker/api/test-broker.ts'
import { damage } from './damage.ts'
import { anyFolder, diskOf } from './folder.ts'
import { demand, type Probe, type Target, Violation } from './target.ts'
import { World } from './world.ts'

/** Logs here have some hundred batches at most. */
const MAX_FETCHES = 500

interface Partition {
  readonly topic: string
  readonly partition: number
}

/**
 * What a partition showed: where it begins and ends, and a digest of all between, or the error that it
 * answers with.
 */
type Shown = string

export const filesTarget: Target = {
  name: 'files',
  share: 3,
  run: async (chance, probe) => {
    probe.pause()
    const base = await anyFolder(chance)
    const files = new Map(base.files)
    const folders: string[] = []
    const done: string[] = []
    for (let left = 1 + chance.int(3); left > 0; left--) done.push(damage(files, folders, chance))
    // Of a broker that says it stopped cleanly only the ends of its logs are looked at, as in Kafka.
    const isChecked =
      !files.has('/data/.kafka_cleanshutdown') && !files.has('/data/recovery-point-offset-checkpoint')
    const disk = await diskOf(files, folders)
    const note = done.join('; ')
    probe.input(Buffer.alloc(0), note)
    const world = await start(disk, note)
    probe.pause()
    if (world === null) return
    const partitions = await partitionsOf(world)
    const before = new Map<Partition, Shown>()
    for (const each of partitions) before.set(each, await readAll(world, each, isChecked, probe))
    for (const each of partitions) await demandWritable(world, each, before.get(each)!)
    const after = new Map<string, Shown>()
    for (const each of partitions) after.set(keyOf(each), await readAll(world, each, isChecked, probe))
    world.demandAlive()
    await world.stop()
    const again = await start(disk, `second start after ${note}`)
    if (again === null) throw new Violation('a broker that had started refuses its next start')
    for (const each of await partitionsOf(again)) {
      const shown = await readAll(again, each, false, probe)
      const expected = after.get(keyOf(each))
      demand(shown === expected, `${keyOf(each)} shows after a restart ${shown}, before ${expected}`)
    }
    await again.stop()
  },
}

function keyOf({ topic, partition }: Partition): string {
  return `${topic}-${partition}`
}

/** Null where the broker refuses in good order. */
async function start(disk: MemoryDisk, note: string): Promise<World | null> {
  try {
    return await World.start({ seed: 3, disk })
  } catch (error) {
    const { code } = error as { code?: unknown }
    if (error instanceof AssertionError || typeof code !== 'string') {
      throw new Violation(`the broker refuses to start without a code: ${note}`, { cause: error })
    }
    return null
  }
}

async function partitionsOf(world: World): Promise<Partition[]> {
  const { topics } = await world.healthy.request(API.Metadata, 12, { topics: null })
  return topics.flatMap(({ name, partitions }) =>
    partitions.map(({ partitionIndex }) => ({ topic: name ?? '', partition: partitionIndex })),
  )
}

async function readAll(world: World, each: Partition, isChecked: boolean, probe: Probe): Promise<Shown> {
  const start = await offsetAt(world, each, -2)
  const end = await offsetAt(world, each, -1)
  for (const timestamp of [0, 1_700_000_002_000, -3]) await offsetAt(world, each, timestamp)
  if (typeof start === 'string' || typeof end === 'string') return `${start} ${end}`
  const digest = createHash('sha1')
  let offset = start
  for (let fetches = 0; offset < end; fetches++) {
    demand(fetches < MAX_FETCHES, `reading ${keyOf(each)} does not come to its end ${end} from ${offset}`)
    probe.input(Buffer.alloc(0), `fetch ${keyOf(each)} from ${offset}`)
    const answer = await fetch(world, each, offset)
    probe.pause()
    if (answer.errorCode !== 0)
      return `${start} to ${end}: at ${offset} ${errorName(answer.errorCode as ErrorCode)}`
    const next = checkBatches(answer.records ?? Buffer.alloc(0), offset, isChecked, each)
    if (next === offset) return `${start} to ${end}: nothing at ${offset}`
    digest.update(answer.records ?? '')
    offset = next
  }
  return `${start} to ${end}: ${digest.digest('hex')}`
}

async function fetch(
  world: World,
  { topic, partition }: Partition,
  fetchOffset: number,
): Promise<{ errorCode: number; records: Uint8Array | null }> {
  const { responses } = await world.healthy.request(API.Fetch, 12, {
    maxWaitMs: 0,
    minBytes: 1,
    maxBytes: 4000,
    topics: [{ topic, partitions: [{ partition, fetchOffset, partitionMaxBytes: 4000 }] }],
  })
  return responses[0]!.partitions[0]!
}

/** Where the next fetch goes on. */
function checkBatches(records: Uint8Array, from: number, isChecked: boolean, each: Partition): number {
  let next = from
  const walk = forEachBatch(records, (position, byteLength) => {
    const problem = validateBatch(records, position, position + byteLength, 'log')
    const isTold = !isChecked && problem === 'BAD_CHECKSUM'
    demand(
      problem === null || isTold,
      `${keyOf(each)} shows a batch at offset ${next} that is damaged: ${problem}`,
    )
    const base = batchBaseOffset(records, position)
    const last = batchLastOffset(records, position)
    demand(last >= next && last >= base, `${keyOf(each)} shows offsets ${base} to ${last} at ${next}`)
    demand(position > 0 ? base >= next : true, `${keyOf(each)} shows offset ${base} after ${next - 1}`)
    next = last + 1
  })
  demand(walk.problem === null, `${keyOf(each)} shows bytes that are no batch at ${next}: ${walk.problem}`)
  return next
}

async function offsetAt(
  world: World,
  { topic, partition }: Partition,
  timestamp: number,
): Promise<number | string> {
  const { topics } = await world.healthy.request(API.ListOffsets, 7, {
    replicaId: -1,
    topics: [{ name: topic, partitions: [{ partitionIndex: partition, timestamp }] }],
  })
  const { errorCode, offset } = topics[0]!.partitions[0]!
  return errorCode === 0 ? offset : errorName(errorCode as ErrorCode)
}

async function demandWritable(world: World, each: Partition, shown: Shown): Promise<void> {
  const { topic: name, partition: index } = each
  const { responses } = await world.healthy.request(API.Produce, 9, {
    acks: -1,
    timeoutMs: 1000,
    topicData: [{ name, partitionData: [{ index, records: batch(world.env, ['new']) }] }],
  })
  const { errorCode, baseOffset } = responses[0]!.partitionResponses[0]!
  if (errorCode === ErrorCode.KAFKA_STORAGE_ERROR || /^[A-Z]/.test(shown)) return
  demand(errorCode === 0, `${keyOf(each)} cannot be written to: ${errorName(errorCode as ErrorCode)}`)
  const { records, errorCode: readError } = await fetch(world, each, baseOffset)
  demand(
    readError === 0 && records !== null && records.length > 0,
    `${keyOf(each)} does not show what was just written`,
  )
}
