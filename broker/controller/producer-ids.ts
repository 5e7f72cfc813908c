/**
 * Gives out producer ids in blocks: one durable write for a thousand ids, and an id that was in a block is never given
 * out again, whatever became of the broker that held it.
 */
import { type ClusterImage } from './image.ts'
import { type Change } from './records.ts'

/** As in Kafka. */
export const PRODUCER_ID_BLOCK = 1000n

export interface ProducerIdBlock {
  readonly first: bigint
  /** Not included. */
  readonly end: bigint
  readonly change: Change
}

export function decideProducerIdBlock(image: ClusterImage): ProducerIdBlock {
  const { next, revision } = image.nextProducerId
  const end = next + PRODUCER_ID_BLOCK
  const change: Change = {
    steps: [
      {
        conditions: [{ type: 'producer-ids-unchanged', revision }],
        records: [{ type: 'next-producer-id', next: end }],
      },
    ],
  }
  return { first: next, end, change }
}
