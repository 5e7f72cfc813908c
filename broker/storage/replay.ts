/**
 * What the state in memory is rebuilt from when a partition is opened: the newest producer snapshot, and the
 * headers of the batches after it.
 */
import { readBatchHeader } from '../../client/protocol/batch.ts'
import { type Offset } from '../../client/protocol/types.ts'
import { type LogReader, segmentNumber } from './log-reader.ts'
import { scanBatches } from './scan.ts'
import { type Segment } from './segment.ts'
import { type SharedStorage } from './shared-storage.ts'
import { type Snapshots } from './snapshots.ts'
import { CorruptLogError, type Replay } from './types.ts'

export interface ReplayOptions {
  readonly shared: SharedStorage
  readonly segments: readonly Segment[]
  readonly reader: LogReader
  readonly snapshots: Snapshots
  readonly recoveryPoint: Offset
  readonly cleanShutdown: boolean
  readonly replay?: Replay
}

export async function replayLog(options: ReplayOptions): Promise<void> {
  const { segments, snapshots, replay, cleanShutdown, recoveryPoint } = options
  const endOffset = segments.at(-1)!.endOffset
  const snapshot = await snapshots.newest(endOffset)
  if (replay === undefined) return
  replay.snapshot(snapshot)
  // A log that was closed cleanly without a snapshot has no producers to remember, as Kafka sees it.
  const fromSnapshot = snapshot?.offset ?? (cleanShutdown ? endOffset : segments[0]!.baseOffset)
  const from = cleanShutdown ? fromSnapshot : (Math.min(fromSnapshot, recoveryPoint) as Offset)
  for (let i = Math.max(0, segmentNumber(segments, from)); i < segments.length; i++) {
    await replaySegment(options, segments[i]!, from, replay)
  }
}

async function replaySegment(
  { shared, reader }: ReplayOptions,
  segment: Segment,
  from: Offset,
  replay: Replay,
): Promise<void> {
  if (segment.endOffset <= from || segment.writtenBytes === 0) return
  const start = await reader.positionOf(segment, from)
  const end = await shared.files.with(segment.path, file =>
    scanBatches({
      file,
      start,
      end: segment.writtenBytes,
      minOffset: segment.baseOffset,
      maxOffset: (segment.endOffset - 1) as Offset,
      visit: (bytes, at) => {
        const header = readBatchHeader(bytes, at)
        if (header.lastOffset >= from) replay.batch(header)
      },
    }),
  )
  if (end.problem !== null) {
    throw new CorruptLogError(
      segment.path,
      end.position,
      `the log is damaged (${end.problem}) before its recovery point: restore the file, or move it away to lose what is in it`,
    )
  }
}
