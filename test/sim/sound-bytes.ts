/**
 * Whether what arrives makes sense to whoever reads it. The simulated network changes no byte and nobody in it is
 * hostile, so a batch that a broker calls damaged, a request or an answer that cannot be read, and what a follower
 * cannot append are each the fault of whoever sent it: most of all of memory that was used again too early. Retries
 * would hide all of these. It watches the parts that notice, and changes nothing of them.
 */
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { PartitionHost } from '../../broker/runtime/partition-host.ts'
import { Counters } from '../../broker/server/counters.ts'
import { connectionClosed } from '../../client/diagnostics.ts'
import { PartitionQueue } from '../../client/producer/partition-queue.ts'
import { ErrorCode, errorName } from '../../client/protocol/errors.ts'
import { replace } from './gardening.ts'
import { Violation } from './world/violation.ts'

/** Answers to Produce that say: these are no sound records. */
const UNSOUND: ReadonlySet<number | null> = new Set([
  ErrorCode.CORRUPT_MESSAGE,
  ErrorCode.INVALID_RECORD,
  ErrorCode.INVALID_TIMESTAMP,
  ErrorCode.UNSUPPORTED_COMPRESSION_TYPE,
])

export class SoundBytes {
  readonly #undo: readonly (() => void)[]

  /** `fail` is told of a Violation. */
  constructor(fail: (error: Violation) => void) {
    const found = (check: string, message: string): void => fail(new Violation(check, message))
    const closed = (message: unknown): void => {
      const { broker, error } = message as { broker: string; error: { code: string; message: string } }
      if (error.code === 'MALFORMED_RESPONSE') found('unreadable-response', `of ${broker}: ${error.message}`)
    }
    subscribe(connectionClosed.name, closed)
    this.#undo = [
      () => void unsubscribe(connectionClosed.name, closed),
      watchProducers(found),
      watchServers(found),
      watchFollowers(found),
    ]
  }

  /** Watches no more. */
  end(): void {
    for (const undo of this.#undo) undo()
  }
}

type Found = (check: string, message: string) => void

function watchProducers(found: Found): () => void {
  return replace(
    PartitionQueue.prototype,
    'answered',
    original =>
      function (this: PartitionQueue, batch, errorCode) {
        if (errorCode !== null && UNSOUND.has(errorCode))
          found(
            'unsound-batch',
            `${this.topic}-${this.partition}: ${errorName(errorCode)} at ${batch.attempts}.`,
          )
        return original.call(this, batch, errorCode)
      },
  )
}

/** A request that was refused is known when the next one is counted. */
function watchServers(found: Found): () => void {
  return replace(
    Counters.prototype,
    'countRequest',
    original =>
      function (this: Counters, apiKey) {
        if (this.refusedFrames > 0) found('unreadable-request', `${this.refusedFrames} frames were refused`)
        original.call(this, apiKey)
      },
  )
}

function watchFollowers(found: Found): () => void {
  return replace(
    PartitionHost.prototype,
    'replicate',
    original =>
      function (this: PartitionHost, ...what) {
        const outcome = original.apply(this, what)
        // Whoever waits for the outcome learns of a failure, too.
        outcome.then(
          is => {
            if (is === 'corrupt') found('unsound-copy', `${this.name} got what cannot follow its log`)
          },
          () => {},
        )
        return outcome
      },
  )
}
