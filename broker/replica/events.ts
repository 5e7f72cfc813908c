/**
 * What a replica reacts to and what it wants done. Whoever feeds it carries out the effects in their order, before the
 * next event.
 */
import { type ErrorCode } from '../../client/protocol/errors.ts'
import { type BrokerId, type LeaderEpoch, type Offset } from '../../client/protocol/types.ts'
import { type LogConfig } from '../log/config.ts'
import { type AppendedBatch } from '../log/log-state.ts'
import { type ProducerRow } from '../log/producer-state.ts'
import { type RecordError } from '../log/record-checks.ts'
import { type SegmentFacts } from '../log/segments.ts'

/** A batch to append. It is answered by exactly one `reply` with the same token. */
export interface ProduceEvent<Token> {
  readonly type: 'produce'
  readonly token: Token
  /** Stamped in place where it is accepted. */
  readonly records: Uint8Array
  readonly acks: -1 | 0 | 1
  /** Infinity: the answer waits for as long as it takes. */
  readonly timeoutMs: number
  /** The broker has made the batch itself: it is not held to what clients are held to. */
  readonly isInternal?: boolean
  /** The broker's clock, for timestamps. */
  readonly wallMs: number
  /** The segment that is appended to now. */
  readonly active: SegmentFacts
  /** The coordinator has confirmed that the batch's transaction is open here. */
  readonly transactionVerified: boolean
}

export type ReplicaEvent<Token> =
  | ProduceEvent<Token>
  /** Everything below `endOffset` is in the page cache. */
  | { readonly type: 'written'; readonly endOffset: Offset }
  /** The disk did not take what begins at `endOffset`; the files end there. */
  | { readonly type: 'write-failed'; readonly endOffset: Offset; readonly message: string }
  /** Everything below `endOffset` survives a power cut. */
  | { readonly type: 'synced'; readonly endOffset: Offset }
  /** Time has passed: requests may have timed out, flush.ms may be over. */
  | { readonly type: 'tick' }
  | {
      readonly type: 'become-leader'
      readonly epoch: LeaderEpoch
      /** All replicas of the partition and those in sync, this one among both. */
      readonly replicas: readonly BrokerId[]
      readonly isr: readonly BrokerId[]
    }
  /** No longer the leader: whoever waits is answered with `error`. */
  | { readonly type: 'resign'; readonly error: ErrorCode }
  /** A follower asks for `fetchOffset`: it has everything below, on disk where that counts. */
  | { readonly type: 'follower-fetched'; readonly replica: BrokerId; readonly fetchOffset: Offset }
  /**
   * The controller has confirmed `isr`, or (`maximalIsr` larger) an expansion was proposed: until it is decided, the
   * high watermark waits for the members of both.
   */
  | {
      readonly type: 'isr-changed'
      readonly isr: readonly BrokerId[]
      readonly maximalIsr: readonly BrokerId[]
    }
  /** Records below are no longer offered: DeleteRecords or retention. Not beyond the high watermark. */
  | { readonly type: 'move-start'; readonly offset: Offset }
  | { readonly type: 'configure'; readonly config: LogConfig }

export interface ProduceReply<Token> {
  readonly type: 'reply'
  readonly token: Token
  readonly error: ErrorCode
  readonly message: string | null
  readonly recordErrors?: readonly RecordError[] | undefined
  readonly baseOffset: Offset | -1
  readonly logAppendTimeMs: number
}

export type ReplicaEffect<Token> =
  /** From this offset on (the `append` follows) a new segment. `producers` are as they were before. */
  | { readonly type: 'roll'; readonly baseOffset: Offset; readonly producers: readonly ProducerRow[] }
  | { readonly type: 'append'; readonly batch: AppendedBatch }
  /** Make durable what is written by then; `synced` or the end of the broker follows. */
  | { readonly type: 'sync' }
  | ProduceReply<Token>
  /** What readers may see has changed: high watermark, last stable offset, log start, or leadership. */
  | { readonly type: 'wake' }
  /** Send a `tick` at this time of the monotonic clock; replaces an earlier one that is still to come. */
  | { readonly type: 'set-timer'; readonly atMs: number }
  /** The leader epochs have changed; the checkpoint is to be written anew. */
  | { readonly type: 'save-epochs' }
  /** The log start has moved: segments below may be deleted. */
  | { readonly type: 'start-moved'; readonly offset: Offset }
