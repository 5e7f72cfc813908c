/**
 * What the steps of a replica leave to be told: answers to those who produced, readers that may read on, an ISR that
 * the leader wants. It is told after the machine is at rest, for an answer may lead to the next request in the same
 * call.
 *
 * It decides nothing but what may not be said any more: a broker whose disk failed, or whose registration has run out,
 * tells nobody that records are committed.
 */
import { asError } from '../../client/protocol/assert.ts'
import { ErrorCode } from '../../client/protocol/errors.ts'
import { type Offset } from '../../client/protocol/types.ts'
import { type ProduceReply } from '../replica/events.ts'
import { type HostServices, type Reply } from './host-services.ts'
import { type IsrProposal, type ProduceOutcome } from './partition-types.ts'
import { type Waiter } from './purgatory.ts'

/** The replica that it speaks for. */
export interface Speaker {
  /** Readers of committed records. */
  readonly waiters: ReadonlySet<Waiter>
  /** Followers' fetches: they wait for what is written, committed or not, and for the end of the leadership. */
  readonly replicaWaiters: ReadonlySet<Waiter>
  readonly logStartOffset: Offset
  /** In which epoch it leads and answers requests; -1: it does not. */
  readonly ledEpoch: number
  /** Whether the broker's registration in the cluster has not run out. */
  readonly isRegistered: boolean
}

type OutboxServices = Pick<HostServices, 'cluster' | 'halted' | 'fatal'>

export class ReplicaOutbox {
  readonly #speaker: Speaker
  readonly #services: OutboxServices
  #replies: ProduceReply<Reply>[] = []
  #proposal: IsrProposal | null = null
  #wakePending = false
  #isDelivering = false
  /** The epoch that it led in when followers were last woken, -1 for none. */
  #epochToldToReplicas = -1

  constructor(speaker: Speaker, services: OutboxServices) {
    this.#speaker = speaker
    this.#services = services
  }

  /** Within a call of `deliver`: what happens now came from somebody who was just told. */
  get isDelivering(): boolean {
    return this.#isDelivering
  }

  reply(reply: ProduceReply<Reply>): void {
    this.#replies.push(reply)
  }

  /** Readers may read further, or otherwise. */
  wake(): void {
    this.#wakePending = true
  }

  /** Takes the place of one that has not been told yet. */
  propose(proposal: IsrProposal): void {
    this.#proposal = proposal
  }

  /** Tells all there is, also what comes of it; nothing where that is being done already, further up the stack. */
  deliver(): void {
    if (this.#isDelivering) return
    this.#isDelivering = true
    try {
      while (this.#replies.length > 0 || this.#wakePending || this.#proposal !== null) {
        const proposal = this.#proposal
        this.#proposal = null
        if (proposal !== null) this.#services.cluster?.proposeIsr(proposal)
        if (this.#wakePending) {
          this.#wakePending = false
          for (const waiter of this.#speaker.waiters) waiter.wake()
          this.#wakeReplicas()
        }
        const replies = this.#replies
        this.#replies = []
        for (const reply of replies) this.#answer(reply)
      }
    } catch (error) {
      this.#services.fatal(asError(error))
    } finally {
      this.#isDelivering = false
    }
  }

  /** Answers one request with what is no offset. */
  refuse(reply: Reply, error: ErrorCode, message: string): void {
    reply(this.#outcome(error, message, -1, -1))
  }

  /** Not for every high watermark: only when it leads no longer, or in another epoch. */
  #wakeReplicas(): void {
    const { ledEpoch, replicaWaiters } = this.#speaker
    if (ledEpoch === this.#epochToldToReplicas) return
    this.#epochToldToReplicas = ledEpoch
    for (const waiter of replicaWaiters) waiter.wake()
  }

  #answer(reply: ProduceReply<Reply>): void {
    const { error, message, baseOffset, logAppendTimeMs, recordErrors } = reply
    if (error === ErrorCode.NONE && this.#services.halted()) {
      this.refuse(reply.token, ErrorCode.KAFKA_STORAGE_ERROR, 'the broker stops: its disk failed')
      return
    }
    if (error === ErrorCode.NONE && !this.#speaker.isRegistered) {
      const why =
        'the registration of this broker has run out: whether the records are committed another one decides'
      this.refuse(reply.token, ErrorCode.NOT_LEADER_OR_FOLLOWER, why)
      return
    }
    const outcome = this.#outcome(error, message, baseOffset, logAppendTimeMs)
    reply.token(recordErrors === undefined ? outcome : { ...outcome, recordErrors })
  }

  #outcome(
    error: ErrorCode,
    errorMessage: string | null,
    baseOffset: number,
    logAppendTimeMs: number,
  ): ProduceOutcome {
    const { logStartOffset } = this.#speaker
    return { error, errorMessage, baseOffset, logAppendTimeMs, logStartOffset }
  }
}
