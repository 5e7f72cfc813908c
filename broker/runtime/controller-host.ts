/**
 * Runs for controller, and does the controller's work while this broker is it: whatever changes in the cluster, it
 * computes what should be (`controller/reconcile.ts`) and writes the difference. It keeps no state that matters: who
 * controls, and under which term, is what the image says, and every write is bound to the term, so that a controller
 * that was replaced without knowing it changes nothing.
 */
import { asError } from '../../client/protocol/assert.ts'
import { type TopicId } from '../../client/protocol/types.ts'
import { type BrokerConfig } from '../config/broker-config.ts'
import { type PolicyOf } from '../controller/brokers.ts'
import { balanceLeaders } from '../controller/elections.ts'
import { sweepSteps } from '../controller/orphans.ts'
import { MAX_PARTITIONS_OF_STEP, reconcile, stepsOf } from '../controller/reconcile.ts'
import { type ControllerRecord, type Step } from '../controller/records.ts'
import { type Env } from '../env.ts'
import { type MetaStore, MetaStoreError } from '../metastore/metastore.ts'
import { type ClusterMetadata } from './cluster-metadata.ts'
import { type Membership } from './membership.ts'
import { Pauses } from './pauses.ts'
import { topicPolicies } from './topic-policy.ts'

export interface ControllerHostOptions {
  readonly env: Pick<Env, 'clock' | 'timers' | 'random' | 'log'>
  readonly store: MetaStore
  readonly metadata: ClusterMetadata
  readonly brokerId: number
  readonly membership: Pick<Membership, 'lease' | 'onRegistered'>
  /** What holds now. */
  readonly config: () => BrokerConfig
  /** The store refuses us for good: the broker must stop. */
  readonly onFatal: (error: Error) => void
}

const PARALLEL_STEPS = 8
/** All brokers see at the same moment that there is no controller: they do not all run at once. */
const CAMPAIGN_JITTER_MS = 50
/** Whoever is making or deleting a topic has long given up by then. */
const ORPHAN_AGE_MS = 600_000
const HOUSEKEEPING_MS = 60_000
/** Of the store's history so much is kept, and no more: watches that were cut off go on from within it. */
const HISTORY_MS = 3_600_000
const HISTORY_REVISIONS = 10_000

export class ControllerHost {
  readonly #options: ControllerHostOptions
  readonly #pauses: Pauses
  readonly #policyOf: PolicyOf
  /** What has changed since it was last looked at. */
  #touched = new Set<TopicId>()
  #everythingTouched = true
  #term = -1
  #partitionsOfStep = MAX_PARTITIONS_OF_STEP
  #orphanSince = new Map<TopicId, number>()
  #history: { readonly revision: number; readonly atMs: number }[] = []
  #compacted = 0
  #housekeepingAtMs = 0
  #balanceAtMs = 0
  #unsubscribe: (() => void) | null = null
  #running: Promise<void> | null = null
  #isClosed = false
  #wake: (() => void) | null = null

  constructor(options: ControllerHostOptions) {
    this.#options = options
    this.#pauses = new Pauses(options.env)
    this.#policyOf = topicPolicies(options.config)
  }

  /** As far as this broker knows; only the store knows for certain. */
  get isController(): boolean {
    const { metadata, membership } = this.#options
    const { controller } = metadata.image.brokers
    return controller !== null && controller.lease !== null && controller.lease === membership.lease
  }

  /** Runs for controller from now on, whenever there is none. */
  start(): void {
    const { metadata, membership } = this.#options
    const subscriptions = [
      metadata.onChange(records => this.#changed(records)),
      membership.onRegistered(() => this.#wake?.()),
    ]
    this.#unsubscribe = () => subscriptions.forEach(unsubscribe => void unsubscribe())
    this.#running = this.#run().catch((error: unknown) => this.#fail(error))
  }

  /** Ends what is under way, and gives the office back. Call it while the registration still lives. */
  async close(): Promise<void> {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#unsubscribe?.()
    this.#pauses.end()
    this.#wake?.()
    await this.#running
    const { metadata, env } = this.#options
    if (!this.isController) return
    const term = metadata.image.brokers.controller!.term
    try {
      await metadata.perform({
        conditions: [{ type: 'controller-term', term }],
        records: [{ type: 'controller-gone' }],
      })
    } catch (error) {
      if (!(error instanceof MetaStoreError)) throw error
      env.log.warn('The office of controller could not be given back; it ends with the lease', { error })
    }
  }

  // ------------------------------------------------------------------------------------------- the loop

  async #run(): Promise<void> {
    for (let failures = 0; !this.#isClosed; ) {
      try {
        if (this.isController) await this.#control()
        else await this.#stand()
        failures = 0
      } catch (error) {
        if (!isPassing(error)) throw error
        failures++
        this.#options.env.log.warn('The controller cannot reach the metadata store; it tries again', {
          error,
        })
        await this.#pauses.backOff(failures)
      }
    }
  }

  #changed(records: readonly ControllerRecord[]): void {
    let isNews = false
    for (const record of records) {
      switch (record.type) {
        case 'partition':
        case 'topic':
        case 'topic-name':
          this.#touched.add(record.topicId)
          isNews = true
          break
        case 'broker-registered':
        case 'broker-gone':
        case 'broker-state':
        case 'broker-forgotten':
        case 'broker-configs':
        case 'controller':
        case 'controller-gone':
          this.#everythingTouched = true
          isNews = true
          break
        default:
          break
      }
    }
    if (isNews) this.#wake?.()
  }

  /** Until something of interest changes, or for so long; at once where it has changed already. */
  async #idle(forMs: number): Promise<void> {
    if (this.#everythingTouched || this.#touched.size > 0 || this.#isClosed) return
    const { timers } = this.#options.env
    await new Promise<void>(resolve => {
      const timer = timers.set(forMs, () => this.#wake?.())
      this.#wake = () => {
        this.#wake = null
        timers.clear(timer)
        resolve()
      }
    })
  }

  // --------------------------------------------------------------------------------------- being elected

  async #stand(): Promise<void> {
    const { metadata, env, membership } = this.#options
    if (membership.lease === null || metadata.image.brokers.controller !== null) {
      // Nothing of what is seen here needs to be done by us.
      this.#touched.clear()
      this.#everythingTouched = false
      await this.#idle(HOUSEKEEPING_MS)
      return
    }
    await this.#pauses.for(env.random.float() * CAMPAIGN_JITTER_MS)
    await this.#campaign()
  }

  async #campaign(): Promise<void> {
    const { metadata, brokerId, membership } = this.#options
    const { lease } = membership
    const { controller, controllerEpoch } = metadata.image.brokers
    if (lease === null || controller !== null || this.#isClosed) return
    const { epoch, revision } = controllerEpoch
    await metadata.perform({
      conditions: [{ type: 'no-controller' }, { type: 'controller-epoch-unchanged', revision }],
      records: [
        { type: 'controller', broker: brokerId, term: -1, lease },
        { type: 'controller-epoch', epoch: epoch + 1 },
      ],
    })
  }

  // ----------------------------------------------------------------------------------------- controlling

  async #control(): Promise<void> {
    const { metadata } = this.#options
    const { term } = metadata.image.brokers.controller!
    if (term !== this.#term) this.#begin(term)
    const touched = this.#everythingTouched ? 'everything' : this.#touched
    this.#everythingTouched = false
    this.#touched = new Set()
    const steps = reconcile(metadata.image, touched, this.#policyOf, term, this.#partitionsOfStep)
    if (steps.length > 0) {
      await this.#carryOut(steps)
      return
    }
    this.#partitionsOfStep = MAX_PARTITIONS_OF_STEP
    await this.#housekeep(term)
    await this.#idle(this.#untilNextChore())
  }

  #begin(term: number): void {
    const { env, metadata, config } = this.#options
    const nowMs = env.clock.monotonicMs()
    this.#term = term
    this.#everythingTouched = true
    this.#orphanSince = new Map()
    this.#history = []
    this.#compacted = 0
    this.#housekeepingAtMs = nowMs
    this.#balanceAtMs = nowMs + balanceIntervalMs(config())
    env.log.info('This broker is the controller', {
      term,
      controllerEpoch: metadata.image.brokers.controllerEpoch.epoch,
    })
  }

  /** Steps of one round, side by side. Where one fails the state has moved: the next round decides anew. */
  async #carryOut(steps: readonly Step[]): Promise<void> {
    const { metadata } = this.#options
    let next = 0
    const failures: unknown[] = []
    const worker = async (): Promise<void> => {
      while (next < steps.length && !this.#isClosed && failures.length === 0) {
        const outcome = await metadata.perform(steps[next++]!)
        if (outcome === 'done') continue
        this.#everythingTouched = true
        if (outcome === 'failed') this.#partitionsOfStep = Math.max(1, this.#partitionsOfStep >> 2)
      }
    }
    const guarded = (): Promise<void> => worker().catch((error: unknown) => void failures.push(error))
    await Promise.all(Array.from({ length: Math.min(PARALLEL_STEPS, steps.length) }, guarded))
    if (failures.length === 0) return
    this.#everythingTouched = true
    throw failures.find(error => !isPassing(error)) ?? failures[0]
  }

  // ------------------------------------------------------------------------------------------- chores

  #untilNextChore(): number {
    const nowMs = this.#options.env.clock.monotonicMs()
    return Math.max(0, Math.ceil(Math.min(this.#housekeepingAtMs, this.#balanceAtMs) - nowMs))
  }

  async #housekeep(term: number): Promise<void> {
    const { env, config } = this.#options
    const nowMs = env.clock.monotonicMs()
    if (nowMs >= this.#balanceAtMs) {
      this.#balanceAtMs = nowMs + balanceIntervalMs(config())
      await this.#balance(term)
    }
    if (nowMs >= this.#housekeepingAtMs) {
      this.#housekeepingAtMs = nowMs + HOUSEKEEPING_MS
      await this.#sweep(term, nowMs)
      await this.#compact(nowMs)
    }
  }

  async #balance(term: number): Promise<void> {
    const { config, metadata, env } = this.#options
    const { values } = config()
    if (!values['auto.leader.rebalance.enable']) return
    const percentage = values['leader.imbalance.per.broker.percentage']
    const changes = balanceLeaders(metadata.image, percentage, this.#policyOf)
    if (changes.length === 0) return
    env.log.info('Leadership goes back to preferred replicas', { partitions: changes.length })
    await this.#carryOut(stepsOf(changes, term))
  }

  /** Only what has been lying there for long: what looks left behind may be a topic that is being made just now. */
  async #sweep(term: number, nowMs: number): Promise<void> {
    const { metadata, env } = this.#options
    const orphans = metadata.image.orphans()
    const before = this.#orphanSince
    this.#orphanSince = new Map()
    const due: ControllerRecord[] = []
    for (const record of orphans) {
      if (!('topicId' in record)) continue
      const since = before.get(record.topicId) ?? nowMs
      this.#orphanSince.set(record.topicId, since)
      if (nowMs - since >= ORPHAN_AGE_MS) due.push(record)
    }
    if (due.length === 0) return
    env.log.info('Removing the rest of topics whose creation or deletion was cut short', {
      records: due.length,
    })
    for (const step of sweepSteps(metadata.image, due, term)) {
      if ((await metadata.perform(step)) !== 'done') return
    }
  }

  async #compact(nowMs: number): Promise<void> {
    const { metadata, store, env } = this.#options
    const { revision } = metadata
    this.#history.push({ revision, atMs: nowMs })
    while (this.#history.length > 1 && this.#history[1]!.atMs <= nowMs - HISTORY_MS) this.#history.shift()
    const oldest = this.#history[0]!
    const byAge = oldest.atMs <= nowMs - HISTORY_MS ? oldest.revision : 0
    const upTo = Math.max(byAge, revision - HISTORY_REVISIONS)
    if (upTo <= this.#compacted || upTo <= 1) return
    this.#compacted = upTo
    try {
      await store.compact(upTo)
    } catch (error) {
      // Another controller has forgotten more already.
      if (!(error instanceof MetaStoreError) || error.code === 'CLOSED') throw error
      env.log.debug('The history of the metadata store could not be shortened', { error })
    }
  }

  #fail(error: unknown): void {
    if (this.#isClosed || (error instanceof MetaStoreError && error.code === 'CLOSED')) return
    this.#options.onFatal(asError(error))
  }
}

function balanceIntervalMs({ values }: BrokerConfig): number {
  return Math.min(values['leader.imbalance.check.interval.seconds'] * 1000, 2 ** 31 - 1)
}

/** LEASE_NOT_FOUND: this broker has lost its registration, and with it the office. */
function isPassing(error: unknown): boolean {
  return (
    error instanceof MetaStoreError &&
    (error.code === 'UNAVAILABLE' || error.code === 'UNKNOWN_OUTCOME' || error.code === 'LEASE_NOT_FOUND')
  )
}
