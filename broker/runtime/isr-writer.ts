/**
 * Writes the changes of ISRs that this broker's leaders propose: those of one turn together, because a broker that
 * dies takes a thousand ISRs with it. What may be written is decided in `controller/in-sync.ts`; this file sees to it
 * that a leader is told "refused" only when its proposal can no longer be carried out by anybody, as it then counts the
 * replicas of the former ISR alone.
 */

import { asError } from '../../client/protocol/assert.ts'
import { type PolicyOf } from '../controller/brokers.ts'
import { decideIsr } from '../controller/in-sync.ts'
import { type Condition, type ControllerRecord, MAX_STEP_SIZE, type Step } from '../controller/records.ts'
import { type Env } from '../env.ts'
import { MetaStoreError } from '../metastore/metastore.ts'
import { type ClusterMetadata, type StepOutcome } from './cluster-metadata.ts'
import { type IsrProposal } from './partition-types.ts'
import { Pauses } from './pauses.ts'

export interface IsrWriterOptions {
  readonly env: Pick<Env, 'timers' | 'random' | 'log'>
  readonly metadata: ClusterMetadata
  /** This broker, under its present registration; epoch -1: it has none. */
  readonly self: () => { readonly broker: number; readonly brokerEpoch: number }
  readonly policyOf: PolicyOf
  /**
   * The answer to a proposal: the revision that carries it, or null where it is refused and the partition is as it was.
   * Not called where the partition has changed otherwise: whoever follows the image tells its leader.
   */
  readonly decided: (proposal: IsrProposal, decision: { readonly revision: number } | null) => void
  /** The store refuses us for good: the broker must stop. */
  readonly onFatal: (error: Error) => void
}

const PARALLEL_STEPS = 8

interface Decided {
  readonly proposal: IsrProposal
  readonly step: Step
}

export class IsrWriter {
  readonly #options: IsrWriterOptions
  readonly #pauses: Pauses
  #proposals = new Map<string, IsrProposal>()
  #isScheduled = false
  #isClosed = false

  constructor(options: IsrWriterOptions) {
    this.#options = options
    this.#pauses = new Pauses(options.env)
  }

  /**
   * Answered by `decided`, never from within this call. A later proposal for a partition takes the place of one that
   * waits.
   */
  propose(proposal: IsrProposal): void {
    if (this.#isClosed) return
    this.#proposals.set(`${proposal.topicId}/${proposal.partition}`, proposal)
    if (this.#isScheduled) return
    this.#isScheduled = true
    this.#options.env.timers.endOfTurn(() => {
      this.#flush().catch((error: unknown) => this.#fail(error))
    })
  }

  /** Nothing more is written, and nobody is answered any more. */
  close(): void {
    this.#isClosed = true
    this.#pauses.end()
  }

  /** One at a time: what comes meanwhile is gathered for the next one. */
  async #flush(): Promise<void> {
    while (this.#proposals.size > 0 && !this.#isClosed) {
      const proposals = [...this.#proposals.values()]
      this.#proposals = new Map()
      await this.#write(proposals, MAX_STEP_SIZE)
    }
    this.#isScheduled = false
  }

  /** Those whose step failed are decided on anew, in smaller steps, until all are answered. */
  async #write(proposals: readonly IsrProposal[], size: number): Promise<void> {
    const batches = batchesOf(this.#decide(proposals), size)
    const failed: IsrProposal[] = []
    let next = 0
    const worker = async (): Promise<void> => {
      while (next < batches.length && !this.#isClosed) {
        const batch = batches[next++]!
        const isDone = await this.#performSurely(mergedStep(batch))
        if (this.#isClosed) return
        for (const { proposal } of batch) {
          if (isDone) this.#answerDone(proposal)
          else failed.push(proposal)
        }
      }
    }
    await Promise.all(Array.from({ length: Math.min(PARALLEL_STEPS, batches.length) }, worker))
    if (failed.length > 0 && !this.#isClosed) await this.#write(failed, Math.max(1, size >> 2))
  }

  /** Answers what is refused. The image shows all that the store has told us by now. */
  #decide(proposals: readonly IsrProposal[]): Decided[] {
    const { metadata, self, policyOf, env } = this.#options
    const decided: Decided[] = []
    for (const proposal of proposals) {
      const decision = decideIsr(metadata.image, proposal, self(), policyOf)
      if (decision.refusal === null && decision.step !== null) {
        decided.push({ proposal, step: decision.step })
        continue
      }
      if (decision.refusal !== null) {
        const { topicId, partition } = proposal
        env.log.debug('A change of an ISR is refused', {
          topicId,
          partition,
          reason: decision.refusal.message,
        })
      }
      if (this.#revisionOf(proposal) === proposal.revision) this.#options.decided(proposal, null)
    }
    return decided
  }

  #answerDone(proposal: IsrProposal): void {
    const revision = this.#revisionOf(proposal)
    if (revision !== null && revision !== proposal.revision) this.#options.decided(proposal, { revision })
  }

  #revisionOf({ topicId, partition }: IsrProposal): number | null {
    const topic = this.#options.metadata.image.topicById(topicId)
    return topic?.partitions[partition]?.revision ?? null
  }

  /**
   * Carries out the step, again and again until it is certain what became of it. Its guards are revisions, which never
   * come back: of all attempts one succeeds at most, and once one has failed none can succeed any more.
   */
  async #performSurely(step: Step): Promise<boolean> {
    for (let attempt = 1; !this.#isClosed; attempt++) {
      const outcome = await this.#perform(step)
      if (outcome === 'done' || outcome === 'failed') return outcome === 'done'
      await this.#pauses.backOff(attempt)
    }
    return false
  }

  async #perform(step: Step): Promise<StepOutcome> {
    try {
      return await this.#options.metadata.perform(step)
    } catch (error) {
      const isPassing =
        error instanceof MetaStoreError && (error.code === 'UNAVAILABLE' || error.code === 'UNKNOWN_OUTCOME')
      if (!isPassing) throw error
      this.#options.env.log.warn('The metadata store cannot be reached: changes of ISRs wait for it', {
        error,
      })
      return 'unknown'
    }
  }

  #fail(error: unknown): void {
    if (this.#isClosed || (error instanceof MetaStoreError && error.code === 'CLOSED')) return
    this.#options.onFatal(asError(error))
  }
}

/** As many together as fit into one step. */
function batchesOf(decided: readonly Decided[], size: number): Decided[][] {
  const batches: Decided[][] = []
  let batch: Decided[] = []
  let conditions = new Set<string>()
  for (const item of decided) {
    const keys = item.step.conditions.map(keyOf)
    const added = keys.filter(key => !conditions.has(key)).length
    if (batch.length > 0 && (conditions.size + added > size || batch.length >= size)) {
      batches.push(batch)
      batch = []
      conditions = new Set()
    }
    batch.push(item)
    for (const key of keys) conditions.add(key)
  }
  if (batch.length > 0) batches.push(batch)
  return batches
}

function mergedStep(batch: readonly Decided[]): Step {
  const conditions = new Map<string, Condition>()
  const records: ControllerRecord[] = []
  for (const { step } of batch) {
    for (const condition of step.conditions) conditions.set(keyOf(condition), condition)
    records.push(...step.records)
  }
  return { conditions: [...conditions.values()], records }
}

function keyOf(condition: Condition): string {
  return JSON.stringify(condition)
}
