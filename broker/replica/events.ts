/**
 * What a replica reacts to and what it wants done. Whoever feeds it carries out the effects in their order, before the
 * next event.
 */
import { type ErrorCode } from '../../client/protocol/errors.ts'
import { type BrokerId, type LeaderEpoch, type Offset } from '../../client/protocol/types.ts'
import { type LogConfig } from '../log/config.ts'
import { type AppendedBatch } from '../log/log-state.ts'
import { type ProducerRow, type ProducerState } from '../log/producer-state.ts'
import { type RecordError } from '../log/record-checks.ts'
import { type SegmentFacts } from '../log/segments.ts'

export type ReplicaRole = 'leader' | 'follower' | 'none'

/** What the cluster's metadata says of a partition's replicas, for its leader, who is one of both. */
export interface Replicas {
  /** Counts the changes: a step of more than one tells that something was missed between. */
  readonly partitionEpoch: number
  /** Of the metadata, at the last change: an older one says nothing new. */
  readonly revision: number
  readonly replicas: readonly BrokerId[]
  readonly isr: readonly BrokerId[]
  /**
   * Who is out of the ISR and may be elected all the same, because nothing was committed since: so nothing may be, for
   * as long as there are any (KIP-966). Absent: nobody.
   */
  readonly elr?: readonly BrokerId[]
}

/** One broker of a proposed ISR, and the epoch that it fetched with; -1 where it has not. */
export interface IsrMember {
  readonly broker: BrokerId
  readonly brokerEpoch: number
}

/**
 * A follower asks for `fetchOffset`: it has everything below, on disk where that counts. Only where the logs agree up
 * to there: an offset in a log that has parted from this one means nothing.
 */
export interface FollowerFetchedEvent {
  readonly type: 'follower-fetched'
  readonly replica: BrokerId
  readonly brokerEpoch: number
  readonly fetchOffset: Offset
  readonly logStartOffset: Offset
  /** It is active under that very epoch: it may join the ISR. */
  readonly mayJoin: boolean
}

/** A batch as the leader has stored it, checked (`splitBatches`), and what the leader says of its log. */
export interface ReplicateEvent {
  readonly type: 'replicate'
  /** Of the leader that sent it: what comes from an older one is not appended. */
  readonly epoch: LeaderEpoch
  /** Null: there was nothing new. */
  readonly records: Uint8Array | null
  readonly highWatermark: number
  readonly logStartOffset: number
  readonly wallMs: number
  readonly active: SegmentFacts
}

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
  /**
   * Leads from now on, or goes on to with other replicas or another ISR. Ignored where it is older than what is
   * known.
   */
  | ({ readonly type: 'become-leader'; readonly epoch: LeaderEpoch } & Replicas)
  /** Another one leads, or nobody: whoever waits is refused. Ignored where it is older than what is known. */
  | { readonly type: 'become-follower'; readonly epoch: LeaderEpoch }
  /** The partition leaves this broker: whoever waits is answered with `error`. */
  | { readonly type: 'resign'; readonly error: ErrorCode }
  | FollowerFetchedEvent
  /** The change of the ISR that was proposed under this revision will not be. */
  | { readonly type: 'isr-refused'; readonly epoch: LeaderEpoch; readonly revision: number }
  | ReplicateEvent
  /** The files were cut; see `LogState.truncated`. */
  | { readonly type: 'truncated'; readonly endOffset: Offset; readonly producers: ProducerState | null }
  /** The files are empty, and begin at `offset`. */
  | { readonly type: 'started-over'; readonly offset: Offset }
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
  /** `isr` is to replace the one of `revision`. */
  | { readonly type: 'propose-isr'; readonly revision: number; readonly isr: readonly IsrMember[] }
  /**
   * What readers may see has changed: high watermark, last stable offset, log start, or leadership. What is written and
   * not committed concerns followers alone: whoever sends `written` tells them.
   */
  | { readonly type: 'wake' }
  /** Send a `tick` at this time of the monotonic clock; replaces an earlier one that is still to come. */
  | { readonly type: 'set-timer'; readonly atMs: number }
  /** The leader epochs have changed; the checkpoint is to be written anew. */
  | { readonly type: 'save-epochs' }
  /** The log start has moved: segments below may be deleted. */
  | { readonly type: 'start-moved'; readonly offset: Offset }
