/**
 * A producer that gives up soon and goes on: while its way to the brokers is blocked, its batches run out of time, are
 * still in a socket whose window is full, and make room for others of the same length for other topics. What of all
 * that was blocked arrives in the end must be what was meant for where it arrives.
 */
import { type SeededRandom } from '../../broker/env-memory/random.ts'
import { type Producer } from '../../client/producer/producer.ts'
import { type ProducerOptions } from '../../client/producer/types.ts'
import { ProducerActor, type ProducerActorOptions } from './workload.ts'
import { type SimProcess } from './world/process.ts'

export interface HastyOptions extends ProducerActorOptions {
  /** Nothing of what it sends arrives for so long. */
  readonly block: (forMs: number) => void
}

const REQUEST_TIMEOUT_MS = 8000
/** Two or three records. Of 512 bytes and more, so that a request holds the batch itself, and not a copy of it. */
const BATCH_BYTES = 1024
const PADDING_BYTES = 300

export class HastyActor extends ProducerActor {
  readonly #block: (forMs: number) => void
  #deliveryTimeoutMs = 0

  constructor(options: HastyOptions) {
    super({ ...options, padding: PADDING_BYTES })
    this.#block = options.block
  }

  protected override settings(random: SeededRandom): ProducerOptions {
    // Some try again what has failed, most have no time for that.
    this.#deliveryTimeoutMs = 150 + random.int(random.int(4) === 0 ? 6000 : 500)
    return {
      lingerMs: 0,
      deliveryTimeoutMs: this.#deliveryTimeoutMs,
      requestTimeoutMs: REQUEST_TIMEOUT_MS,
      maxInFlightRequests: 2 + random.int(4),
      batchBytes: BATCH_BYTES,
    }
  }

  protected override async burst(producer: Producer, process: SimProcess): Promise<void> {
    const { random } = this.machine
    // Connections are open, and it knows how large its batches are, before its way is blocked.
    await this.#rush(producer, process, 400)
    const blockMs = Math.min(this.#deliveryTimeoutMs, 600) * (1 + 2 * random.float())
    this.#block(blockMs)
    await this.#rush(producer, process, blockMs + 100)
  }

  async #rush(producer: Producer, process: SimProcess, forMs: number): Promise<void> {
    const { random } = this.machine
    const untilMs = process.monotonicMs() + forMs
    while (process.monotonicMs() < untilMs && !this.isStopping) {
      this.send(producer)
      await process.sleep(random.int(50))
    }
  }
}
