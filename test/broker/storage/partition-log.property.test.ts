import fc from 'fast-check'
import t from 'tap'
import { SeededRandom } from '../../../broker/env-memory/random.ts'
import { type PartitionLog } from '../../../broker/storage/partition-log.ts'
import { AppendError, type StoredBatch } from '../../../broker/storage/types.ts'
import { BATCH_HEADER_BYTES, forEachBatch } from '../../../client/protocol/batch.ts'
import { at, batch, CONFIG, readAll, world } from './helpers.ts'
import { verifyIndexes } from './verify-indexes.ts'

// A log against the plainest model of one: a list of batches. Whatever happens, the log holds the same bytes; after
// a crash it holds at least what was synced, and a prefix of what was appended.

type Step =
  | { do: 'append'; count: number; size: number; time: number }
  | { do: 'write' }
  | { do: 'sync' }
  | { do: 'roll' }
  | { do: 'read'; where: number; maxBytes: number; atLeastOne: boolean }
  | { do: 'truncate'; where: number }
  | { do: 'delete'; where: number }
  | { do: 'restart'; clean: boolean }
  | { do: 'crash'; keep: 'none' | 'all' | 'random'; seed: number }
  | { do: 'full' }

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 10,
    arbitrary: fc.record({
      do: fc.constant('append' as const),
      count: fc.integer({ min: 1, max: 5 }),
      size: fc.oneof(fc.integer({ min: 0, max: 300 }), fc.integer({ min: 0, max: 30_000 })),
      time: fc.integer({ min: 0, max: 50 }),
    }),
  },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('write' as const) }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('sync' as const) }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('roll' as const) }) },
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant('read' as const),
      where: fc.double({ min: 0, max: 1, noNaN: true }),
      maxBytes: fc.integer({ min: 0, max: 100_000 }),
      atLeastOne: fc.boolean(),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constant('truncate' as const),
      where: fc.double({ min: 0, max: 1, noNaN: true }),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constant('delete' as const),
      where: fc.double({ min: 0, max: 1, noNaN: true }),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('restart' as const), clean: fc.boolean() }) },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant('crash' as const),
      keep: fc.constantFrom('none' as const, 'all' as const, 'random' as const),
      seed: fc.integer(),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('full' as const) }) },
)

class Model {
  /** All batches that the log should have, in order. */
  batches: StoredBatch[] = []
  /** How many of them are known to be durable. */
  durable = 0
  endOffset = 0

  bytes(from = 0): Buffer {
    return Buffer.concat(this.batches.slice(from).map(each => each.bytes))
  }

  cut(length: number): void {
    this.batches.length = length
    this.durable = Math.min(this.durable, length)
    this.endOffset = this.batches.at(-1) === undefined ? this.endOffset : this.batches.at(-1)!.lastOffset + 1
  }
}

async function run(steps: Step[], tailCacheBytes: number, preallocate: boolean): Promise<void> {
  const place = world({ shared: { tailCacheBytes, maxOpenFiles: 2, readBufferBytes: 4 * 1024 * 1024 } })
  const config = { ...CONFIG, indexIntervalBytes: 200, segmentBytes: 100_000, preallocate }
  const model = new Model()
  let { log } = await place.open({ config })

  for (const each of steps) {
    switch (each.do) {
      case 'append': {
        const timestamp = 1000 + each.time
        const next = batch(model.endOffset, each.count, Math.floor(each.size / each.count), { timestamp })
        log.append(next)
        model.batches.push(next)
        model.endOffset += each.count
        break
      }
      case 'write':
        await log.writePending()
        break
      case 'sync': {
        await log.writePending()
        const durable = await log.sync()
        check(durable === model.endOffset, 'a sync covers all that is written')
        model.durable = model.batches.length
        break
      }
      case 'roll':
        log.roll(log.endOffset)
        break
      case 'read':
        await read(log, model, each)
        break
      case 'truncate': {
        const offset = Math.floor(each.where * model.endOffset)
        const end = await log.truncateTo(at(offset))
        const kept = model.batches.filter(other => other.lastOffset < offset).length
        if (offset < model.endOffset) {
          model.cut(kept)
          if (kept === 0) model.endOffset = end
        }
        check(end === model.endOffset, 'the log ends where the model does')
        break
      }
      case 'delete': {
        await log.writePending()
        const offset = Math.floor(each.where * model.endOffset)
        await log.deleteSegmentsBefore(at(offset))
        drop(model, log.firstOffset)
        // Otherwise the files are there to be recycled.
        if (offset % 2 === 0) await log.purgeDeleted(0)
        break
      }
      case 'restart': {
        await log.close(each.clean)
        if (!each.clean) {
          // The process ended, the system did not: what was written is there, what was pending is not.
          const kept = model.batches.filter(other => other.lastOffset < log.writtenOffset).length
          model.cut(kept)
          model.endOffset = log.writtenOffset
        }
        const recoveryPoint = at(model.batches[model.durable - 1]?.lastOffset ?? 0)
        ;({ log } = await place.open({ config, cleanShutdown: each.clean, recoveryPoint }))
        model.endOffset = log.endOffset
        break
      }
      case 'crash': {
        const recoveryPoint = log.durableOffset
        place.disk.crash({ keep: each.keep, random: new SeededRandom(each.seed) })
        await log.close(false)
        ;({ log } = await world({ disk: place.disk }).open({
          config,
          recoveryPoint,
          logStartOffset: log.firstOffset,
        }))
        const survived = await count(log, model)
        check(survived >= model.durable, `every durable batch survives: ${survived} of ${model.durable}`)
        model.cut(survived)
        model.durable = survived
        model.endOffset = log.endOffset
        break
      }
      case 'full': {
        place.disk.capacityBytes = place.disk.usedBytes
        try {
          await log.writePending()
        } catch (error) {
          check(error instanceof AppendError, 'a write that fails says what is lost')
          check(log.writtenOffset === error.endOffset, 'it says where the log ends now')
          model.cut(model.batches.filter(other => other.lastOffset < error.endOffset).length)
          model.endOffset = error.endOffset
        }
        place.disk.capacityBytes = Infinity
        break
      }
      default:
        each satisfies never
    }
    check(
      log.endOffset === model.endOffset,
      `the log ends at ${log.endOffset}, the model at ${model.endOffset}`,
    )
  }
  await log.writePending()
  const all = await readAll(log, log.firstOffset, 50_000)
  check(all.equals(model.bytes()), 'the log holds the bytes of the model')
  await log.close(true)
  await verifyIndexes(place.disk, log.directory)
  check(place.shared.readBuffers.bytesInUse === 0, 'all read buffers came back')
  ;({ log } = await place.open({ config, cleanShutdown: true }))
  check((await readAll(log, log.firstOffset)).equals(model.bytes()), 'a clean restart changes nothing')
  await log.close(false)
}

/** What the log has after a crash must be a prefix of the model. */
async function count(log: PartitionLog, model: Model): Promise<number> {
  const bytes = await readAll(log, log.firstOffset)
  let survived = 0
  let position = 0
  // Segments that were deleted may have come back, their batches before those of the model.
  const first = model.batches[0]?.baseOffset ?? Infinity
  forEachBatch(bytes, (start, byteLength) => {
    const piece = bytes.subarray(start, start + byteLength)
    const isOld = Number(piece.readBigInt64BE(0)) < first
    if (isOld) return
    const expected = model.batches[survived]
    check(expected !== undefined && piece.equals(expected.bytes), 'what survives is what was appended')
    survived++
    position = start + byteLength
  })
  check(position === 0 || position === bytes.length, 'the log ends with a whole batch')
  return survived
}

function drop(model: Model, firstOffset: number): void {
  const gone = model.batches.findIndex(other => other.baseOffset >= firstOffset)
  const number = gone < 0 ? model.batches.length : gone
  model.batches.splice(0, number)
  model.durable = Math.max(0, model.durable - number)
}

async function read(
  log: PartitionLog,
  model: Model,
  { where, maxBytes, atLeastOne }: { where: number; maxBytes: number; atLeastOne: boolean },
): Promise<void> {
  const written = log.writtenOffset
  const offset = at(Math.max(log.firstOffset, Math.floor(where * written)))
  const slices = await log.read(offset, maxBytes, written, atLeastOne)
  const got = Buffer.concat(slices.slices)
  slices.release()
  const first = model.batches.findIndex(other => other.lastOffset >= offset)
  const rest = first < 0 ? [] : model.batches.slice(first).filter(other => other.lastOffset < written)
  let whole = 0
  forEachBatch(got, () => void whole++)
  check(
    got.equals(Buffer.concat(rest.slice(0, whole).map(each => each.bytes))),
    'a read gives whole batches in order',
  )
  check(got.length === slices.byteLength, 'the length is told')
  const isAllowed = got.length <= maxBytes || (whole === 1 && atLeastOne)
  check(isAllowed, 'a read keeps its bound')
  if (rest.length > 0 && atLeastOne) check(whole > 0, 'at least one batch is given')
  if (rest[0] !== undefined && rest[0].bytes.length <= maxBytes) check(whole > 0, 'what fits is given')
  check(BATCH_HEADER_BYTES === 61, 'the header is what it is')
}

function check(condition: boolean, message: string): asserts condition {
  if (!condition) throw new Error(message)
}

const APPEND: Step = { do: 'append', count: 1, size: 0, time: 0 }

t.test('a log behaves as a list of batches, through restarts, crashes and a full disk', async t => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(step, { maxLength: 60 }),
      fc.constantFrom(0, 2000, 1_000_000),
      fc.boolean(),
      (steps, tailCacheBytes, preallocate) => run(steps, tailCacheBytes, preallocate),
    ),
    {
      numRuns: Number(process.env['RUNS'] ?? 1500),
      endOnFailure: false,
      // Found so: a segment that is deleted before its first sync keeps the room that was preallocated.
      examples: [[[APPEND, { do: 'roll' }, APPEND, { do: 'delete', where: 0.5 }], 0, true]],
    },
  )
  t.pass('the model agrees')
})
