import { ManualClock } from '../../../broker/env-memory/clock.ts'
import { MemoryDisk, type MemoryDiskOptions } from '../../../broker/env-memory/disk.ts'
import { CollectingLog } from '../../../broker/env-memory/log.ts'
import { type OpenedLog, type OpenLogOptions, PartitionLog } from '../../../broker/storage/partition-log.ts'
import { SharedStorage, type SharedStorageOptions } from '../../../broker/storage/shared-storage.ts'
import { type LogSlices, type SegmentConfig, type StoredBatch } from '../../../broker/storage/types.ts'
import { encodeBatch } from '../../../client/protocol/record.ts'
import { type LeaderEpoch, NO_LEADER_EPOCH, type Offset } from '../../../client/protocol/types.ts'

export const at = (n: number): Offset => n as Offset

export const DIRECTORY = '/data/orders-0'

export const CONFIG: SegmentConfig = {
  segmentBytes: 1024 * 1024,
  indexBytes: 64 * 1024,
  indexIntervalBytes: 4096,
  preallocate: false,
}

/** A real batch of `count` records, the first at `baseOffset`, with about `valueBytes` in each. */
export function batch(
  baseOffset: number,
  count = 1,
  valueBytes = 10,
  options: { timestamp?: number; leaderEpoch?: number; fill?: string } = {},
): StoredBatch {
  const timestamp = options.timestamp ?? 1000 + baseOffset
  const leaderEpoch = (options.leaderEpoch ?? NO_LEADER_EPOCH) as LeaderEpoch
  const value = (options.fill ?? String.fromCharCode(97 + (baseOffset % 26))).repeat(valueBytes)
  const records = Array.from({ length: count }, (_, i) => ({ key: `${baseOffset + i}`, value, timestamp }))
  const bytes = encodeBatch(records, { baseOffset: at(baseOffset), leaderEpoch })
  return {
    bytes,
    owner: null,
    baseOffset: at(baseOffset),
    lastOffset: at(baseOffset + count - 1),
    maxTimestamp: timestamp,
    leaderEpoch,
  }
}

export interface World {
  readonly disk: MemoryDisk
  readonly clock: ManualClock
  readonly log: CollectingLog
  readonly shared: SharedStorage
  open(options?: Partial<OpenLogOptions>): Promise<OpenedLog>
}

export function world(
  options: {
    disk?: MemoryDisk
    diskOptions?: MemoryDiskOptions
    shared?: Partial<SharedStorageOptions>
  } = {},
): World {
  const disk = options.disk ?? new MemoryDisk({ trackCrashes: true, ...options.diskOptions })
  const clock = new ManualClock()
  const log = new CollectingLog()
  const shared = new SharedStorage({ disk, clock, log, ...options.shared })
  return {
    disk,
    clock,
    log,
    shared,
    async open(open) {
      // The data folder is somebody else's to make durable.
      await disk.makeDirectory('/data')
      await disk.syncDirectory('/')
      return PartitionLog.open({
        shared,
        directory: DIRECTORY,
        config: CONFIG,
        logStartOffset: at(0),
        recoveryPoint: at(0),
        cleanShutdown: false,
        ...open,
      })
    },
  }
}

/** Copies of the bytes that a read gave, released at once. */
export async function take(read: LogSlices | Promise<LogSlices>): Promise<Buffer> {
  const slices = await read
  const bytes = Buffer.concat(slices.slices)
  slices.release()
  return bytes
}

/** Everything from `offset` to the end of what is written, by reads of `maxBytes`. */
export async function readAll(log: PartitionLog, offset: Offset, maxBytes = 1024 * 1024): Promise<Buffer> {
  const pieces: Buffer[] = []
  for (let next = offset; next < log.writtenOffset; ) {
    const slices = await log.read(next, maxBytes, log.writtenOffset, true)
    pieces.push(Buffer.concat(slices.slices))
    const before = next
    next = slices.nextOffset
    slices.release()
    if (next === before) break
  }
  return Buffer.concat(pieces)
}
