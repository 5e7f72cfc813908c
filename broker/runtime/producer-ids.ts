/**
 * Producer ids from the block that this broker holds; the next block is fetched when it runs out. An id leaves here
 * only after its block is durable, so that a broker that crashes and starts again never gives one out twice.
 */
import { type ProducerId } from '../../client/protocol/types.ts'
import { decideProducerIdBlock } from '../controller/producer-ids.ts'
import { type ClusterMetadata } from './cluster-metadata.ts'

export class ProducerIds {
  readonly #metadata: ClusterMetadata
  #next = 0n
  #end = 0n
  #fetching: Promise<boolean> | null = null

  constructor(metadata: ClusterMetadata) {
    this.#metadata = metadata
  }

  /** Null when no block could be had. Rejects when the metadata store fails. */
  async allocate(): Promise<ProducerId | null> {
    while (this.#next === this.#end) {
      this.#fetching ??= this.#fetchBlock().finally(() => {
        this.#fetching = null
      })
      if (!(await this.#fetching)) return null
    }
    return this.#next++ as ProducerId
  }

  async #fetchBlock(): Promise<boolean> {
    const outcome = await this.#metadata.change(() => {
      const { first, end, change } = decideProducerIdBlock(this.#metadata.image)
      return { refusal: null, change, result: { first, end } }
    })
    if (outcome.refusal !== null) return false
    this.#next = outcome.result.first
    this.#end = outcome.result.end
    return true
  }
}
