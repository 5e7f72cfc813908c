/**
 * The producer id that the cluster gives an idempotent producer (KIP-98). One for all partitions; each partition
 * counts its epochs on from the one given. Where a partition has used them up, another id is asked for.
 */
import { type Cluster } from '../cluster.ts'
import { protocolError } from '../errors.ts'
import { API } from '../protocol/apis.ts'
import { ErrorCode } from '../protocol/errors.ts'
import { type ProducerEpoch } from '../protocol/types.ts'
import { type ProducerIdentity } from './partition-queue.ts'

export class IdentitySource {
  readonly #cluster: Cluster
  readonly #signal: AbortSignal
  #current: ProducerIdentity | null = null
  #asking: Promise<ProducerIdentity> | null = null

  constructor(cluster: Cluster, signal: AbortSignal) {
    this.#cluster = cluster
    this.#signal = signal
  }

  get current(): ProducerIdentity | null {
    return this.#current
  }

  /** A fresh identity; callers at the same time share it. Rejects with KafkaError or AbortError. */
  renew(): Promise<ProducerIdentity> {
    this.#asking ??= this.#ask().finally(() => {
      this.#asking = null
    })
    return this.#asking
  }

  async #ask(): Promise<ProducerIdentity> {
    const response = await this.#cluster.request(
      API.InitProducerId,
      { transactionalId: null, transactionTimeoutMs: 0x7fff_ffff },
      {
        target: 'any',
        signal: this.#signal,
        check: (answer, broker) => {
          if (answer.errorCode === ErrorCode.NONE) return
          throw protocolError(answer.errorCode, { api: 'InitProducerId', broker })
        },
      },
    )
    this.#current = {
      producerId: response.producerId,
      producerEpoch: response.producerEpoch as ProducerEpoch,
    }
    return this.#current
  }
}
