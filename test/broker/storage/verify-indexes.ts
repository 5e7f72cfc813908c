import { type Disk } from '../../../broker/env.ts'
import { parseFileName } from '../../../broker/storage/file-names.ts'
import { OffsetIndex } from '../../../broker/storage/offset-index.ts'
import { recordTimestamp } from '../../../broker/storage/segment.ts'
import { TimeIndex } from '../../../broker/storage/time-index.ts'
import { batchLastOffset, forEachBatch } from '../../../client/protocol/batch.ts'

/**
 * Checks the index files of a folder as Kafka's dump tool does: every entry tells the truth about the log. What waits to
 * be removed is read by nobody: a segment that went before its first sync has not been trimmed.
 */
export async function verifyIndexes(disk: Disk, directory: string): Promise<void> {
  for (const { name } of await disk.list(directory)) {
    const file = parseFileName(name)
    if (file === null || file.suffix !== '.log' || file.mark !== '') continue
    const log = await disk.readFile(`${directory}/${name}`)
    const lastOffsets = new Map<number, number>()
    const timestamps = new Map<number, number>()
    const walk = forEachBatch(log, position => {
      lastOffsets.set(position, batchLastOffset(log, position))
      timestamps.set(batchLastOffset(log, position), recordTimestamp(log, position))
    })
    expect(walk.problem === null, `${name} has whole batches only`)
    const indexPath = `${directory}/${name.replace('.log', '.index')}`
    if ((await disk.size(indexPath)) === null) continue
    const offsets = OffsetIndex.parse(await disk.readFile(indexPath), file.baseOffset)
    if (typeof offsets === 'string') throw new Error(`${indexPath}: ${offsets}`)
    for (let i = 0; i < offsets.count; i++) {
      const { offset, position } = offsets.entry(i)
      expect(lastOffsets.get(position) === offset, `${indexPath}: entry ${i} names the batch at its position`)
    }
    const timePath = indexPath.replace('.index', '.timeindex')
    const times = TimeIndex.parse(await disk.readFile(timePath), file.baseOffset)
    if (typeof times === 'string') throw new Error(`${timePath}: ${times}`)
    for (let i = 0; i < times.count; i++) {
      const { timestamp, offset } = times.entry(i)
      expect(timestamps.get(offset) === timestamp, `${timePath}: entry ${i} has the timestamp of its batch`)
      for (const [lastOffset, other] of timestamps) {
        if (lastOffset < offset) expect(other < timestamp, `${timePath}: entry ${i} is the first of its time`)
      }
    }
    const largest = Math.max(-1, ...timestamps.values())
    if (largest >= 0) expect(times.last?.timestamp === largest, `${timePath} ends with the largest timestamp`)
  }
}

function expect(condition: boolean, message: string): void {
  if (!condition) throw new Error(message)
}
