/**
 * Which batches a producer is known by after a restart: were they compacted away, the sequences that a restart finds
 * would be older than the producer's own, and what it sends next would be refused or, worse, taken twice.
 */
import { type BatchHeader } from '../../../client/protocol/batch.ts'
import { type Offset } from '../../../client/protocol/types.ts'
import { type ProducerState } from '../producer-state.ts'

/**
 * Whether a batch must stay, if only as a header. `durableOffset`: what lies beyond may be lost in a power cut, and
 * then it is the batch before it that counts.
 */
export function lastSequences(
  producers: ProducerState,
  durableOffset: Offset,
): (header: BatchHeader) => boolean {
  return header => {
    const entry = producers.entry(header.producerId)
    if (entry === undefined || header.producerEpoch > entry.producerEpoch) return false
    // A producer that has begun an epoch and written nothing in it yet is known by the marker that began it.
    if (entry.batches.length === 0) return header.isControl && header.producerEpoch === entry.producerEpoch
    const last = entry.batches.findLast(batch => batch.lastOffset < durableOffset)
    // Of more batches than are remembered none is on disk: the one before them is not known, so any may be it.
    if (last === undefined) return true
    return header.lastOffset === last.lastOffset
  }
}
