/**
 * This broker's place in the cluster: its registration, which lives and dies with a lease, and what follows from it -
 * the broker epoch, and until when others must take this broker for alive. It must not decide what becomes of
 * partitions: that a broker came or went is for the controller to see.
 *
 * A registration that was lost (the lease has run out, or somebody has ended it) is made anew, under a new epoch. Until
 * then, and until the controller has let the new one in, this broker leads nothing.
 */
import { asError } from '../../client/protocol/assert.ts'
import { decideShutdown, ledBy } from '../controller/brokers.ts'
import { type BrokerEndpoint, type ControllerRecord, type Step } from '../controller/records.ts'
import { type Env, type TimerHandle } from '../env.ts'
import { type LeaseId, type MetaStore, MetaStoreError } from '../metastore/metastore.ts'
import { type ClusterMetadata } from './cluster-metadata.ts'
import { Pauses } from './pauses.ts'

export interface MembershipOptions {
  readonly env: Pick<Env, 'clock' | 'timers' | 'random' | 'log'>
  readonly store: MetaStore
  readonly metadata: ClusterMetadata
  readonly brokerId: number
  /** Of the data folder, whose lock this process holds. */
  readonly folder: string
  /** Drawn anew by every start of the process. */
  readonly incarnation: string
  readonly rack: string | null
  /** The broker epoch that the data folder was closed cleanly under; -1: it was not. */
  readonly cleanEpoch: number
  readonly sessionTimeoutMs: number
  /** The store refuses us for good: the broker must stop. */
  readonly onFatal: (error: Error) => void
}

/** Of the time to live: what clocks that run at different speeds, and a slow event loop, may take of it. */
const MARGIN = 0.1
/** Renewals in a time to live. */
const RENEWALS = 4
const SHUTDOWN_RETRY_MS = 200
/** How often one that has withdrawn looks whether it may come back. */
const WITHDRAWN_LOOK_MS = 250

interface Registration {
  readonly lease: LeaseId
  readonly brokerEpoch: number
}

export class Membership {
  readonly #options: MembershipOptions
  readonly #pauses: Pauses
  readonly #registeredListeners = new Set<(brokerEpoch: number) => void>()
  readonly #lostListeners = new Set<() => void>()
  /** Epochs that this data folder was complete under, and has lost nothing since. */
  readonly #intact = new Set<number>()
  #endpoints: readonly BrokerEndpoint[] = []
  #registration: Registration | null = null
  #aliveUntilMs = Number.NEGATIVE_INFINITY
  #renewal: TimerHandle | null = null
  #registering: Promise<void> | null = null
  #unsubscribe: (() => void) | null = null
  #isWithdrawn = false
  #isClosed = false

  constructor(options: MembershipOptions) {
    this.#options = options
    this.#pauses = new Pauses(options.env)
    if (options.cleanEpoch !== -1) this.#intact.add(options.cleanEpoch)
  }

  /** -1 while this broker is not registered. */
  get brokerEpoch(): number {
    return this.#registration?.brokerEpoch ?? -1
  }

  /** The lease that the registration lives by; null while there is none. */
  get lease(): LeaseId | null {
    return this.#registration?.lease ?? null
  }

  /**
   * Until then, on the monotonic clock, nobody else can have been told that this broker is gone by its lease running
   * out; from then on it must not act as a leader until a renewal has succeeded.
   */
  servingUntilMs(): number {
    return this.#registration === null ? Number.NEGATIVE_INFINITY : this.#aliveUntilMs
  }

  /** What the clean-shutdown marker must name: the registration that others may still count on. */
  get epochForMarker(): number {
    const known = this.#options.metadata.image.brokers.state(this.#options.brokerId)
    if (known !== undefined && this.#intact.has(known.brokerEpoch)) return known.brokerEpoch
    return this.brokerEpoch
  }

  /** Called after each registration, when the image shows it. */
  onRegistered(listener: (brokerEpoch: number) => void): () => void {
    this.#registeredListeners.add(listener)
    return () => this.#registeredListeners.delete(listener)
  }

  /** Called when the registration is known to be lost; another one is under way. */
  onLost(listener: () => void): () => void {
    this.#lostListeners.add(listener)
    return () => this.#lostListeners.delete(listener)
  }

  /**
   * Resolves when this broker is registered, however long that takes; the controller then has yet to let it in. Rejects
   * with a `MetaStoreError` that will not pass.
   */
  async start(endpoints: readonly BrokerEndpoint[]): Promise<void> {
    this.#endpoints = endpoints
    this.#unsubscribe = this.#options.metadata.onChange(records => this.#changed(records))
    this.#registering = this.#register()
    await this.#registering
  }

  /**
   * Asks to be relieved of all that this broker leads, and resolves when it leads nothing, or when `timeoutMs` has
   * passed. True in the first case.
   */
  async shutDown(timeoutMs: number): Promise<boolean> {
    const { env, metadata, brokerId } = this.#options
    const deadlineMs = env.clock.monotonicMs() + timeoutMs
    while (!this.#isClosed && this.#registration !== null) {
      const step = decideShutdown(metadata.image, brokerId, this.brokerEpoch)
      if (step !== null) await this.#performQuietly(step)
      if (!metadata.image.brokers.isActive(brokerId) && ledBy(metadata.image, brokerId) === 0) return true
      const leftMs = deadlineMs - env.clock.monotonicMs()
      if (leftMs <= 0) break
      await this.#pauses.untilChange(metadata, Math.min(leftMs, SHUTDOWN_RETRY_MS))
    }
    const led = ledBy(metadata.image, brokerId)
    if (led > 0) env.log.warn('This broker stops while it still leads partitions', { partitions: led })
    return led === 0
  }

  /**
   * Ends the registration, and makes no other one before `resume`: this broker is there, but of no use to the others. It
   * stops to serve at once.
   */
  withdraw(): void {
    this.#isWithdrawn = true
    this.#aliveUntilMs = Number.NEGATIVE_INFINITY
    const { lease } = this
    if (lease !== null) this.#revoke(lease).catch((error: unknown) => this.#fail(error))
  }

  resume(): void {
    this.#isWithdrawn = false
  }

  /**
   * Stays registered no longer; `clean`: the registration is ended at once, else it ends with its lease, as after a
   * crash. Call it when nothing is served any more.
   */
  async close(clean: boolean): Promise<void> {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#unsubscribe?.()
    if (this.#renewal !== null) this.#options.env.timers.clear(this.#renewal)
    this.#pauses.end()
    await this.#registering?.catch(() => {})
    const registration = this.#registration
    this.#registration = null
    if (!clean || registration === null) return
    await this.#revoke(registration.lease)
  }

  // ----------------------------------------------------------------------------------------- registering

  async #register(): Promise<void> {
    const { env } = this.#options
    for (let attempt = 1; !this.#isClosed; attempt++) {
      try {
        while (this.#isWithdrawn && !this.#isClosed) await this.#pauses.for(WITHDRAWN_LOOK_MS)
        if (await this.#tryRegister()) return
      } catch (error) {
        if (!isPassing(error)) throw error
        env.log.warn('This broker could not register; it tries again', { attempt, error })
      }
      await this.#pauses.backOff(attempt)
    }
  }

  /** One lease, and all that it takes to know whether the registration lives by it. */
  async #tryRegister(): Promise<boolean> {
    const { env, store, metadata, sessionTimeoutMs, brokerId } = this.#options
    const grantedAtMs = env.clock.monotonicMs()
    const { id: lease, ttlMs } = await store.grantLease(sessionTimeoutMs)
    try {
      // What came back from a former self of this process, or of this folder, must be gone first.
      if (!(await this.#awaitFreeId(ttlMs))) return false
      // The wait may have taken longer than the lease lives: LEASE_NOT_FOUND then.
      const renewedAtMs = env.clock.monotonicMs()
      const renewed = renewedAtMs - grantedAtMs > ttlMs / RENEWALS
      if (renewed) await store.keepAlive(lease)
      const outcome = await metadata.perform(this.#registrationStep(lease))
      const own = metadata.image.brokers.get(brokerId)
      if (own?.lease === lease) {
        this.#registered({ lease, brokerEpoch: own.brokerEpoch }, ttlMs, renewed ? renewedAtMs : grantedAtMs)
        return true
      }
      // It may happen yet, but not without its lease.
      if (outcome === 'unknown')
        env.log.warn('Nobody can tell whether this broker is registered; it registers anew')
    } catch (error) {
      await this.#revoke(lease)
      throw error
    }
    await this.#revoke(lease)
    return false
  }

  #registrationStep(lease: LeaseId): Step {
    const { brokerId: broker, folder, incarnation, rack, metadata } = this.#options
    const known = metadata.image.brokers.state(broker)?.brokerEpoch ?? -1
    return {
      conditions: [{ type: 'broker-not-registered', broker }],
      records: [
        {
          type: 'broker-registered',
          broker,
          brokerEpoch: -1,
          lease,
          incarnation,
          folder,
          endpoints: this.#endpoints,
          rack,
          // The folder has all that it had when the cluster last counted on it.
          cleanEpoch: this.#intact.has(known) ? known : -1,
        },
      ],
    }
  }

  /** False: somebody still is registered under this id, and has to go first. */
  async #awaitFreeId(ttlMs: number): Promise<boolean> {
    const { env, metadata, brokerId, folder } = this.#options
    const former = metadata.image.brokers.get(brokerId)
    if (former === undefined) return true
    if (former.folder === folder && former.lease !== null) {
      env.log.info('The registration of this broker before its last stop is ended', {
        brokerEpoch: former.brokerEpoch,
      })
      await this.#revoke(former.lease)
      await metadata.catchUp()
      return metadata.image.brokers.get(brokerId) === undefined
    }
    env.log.warn(
      'Another broker is registered under this id, with another data folder. This one waits until it is gone. ' +
        'Where that is not the former self of this broker, one of them needs another node.id.',
      { brokerId, incarnation: former.incarnation, endpoints: former.endpoints },
    )
    await this.#pauses.untilChange(metadata, ttlMs / RENEWALS)
    return metadata.image.brokers.get(brokerId) === undefined
  }

  #registered(registration: Registration, ttlMs: number, sinceMs: number): void {
    const { env, brokerId } = this.#options
    if (this.#isClosed) return
    this.#registration = registration
    this.#intact.add(registration.brokerEpoch)
    this.#aliveUntilMs = sinceMs + ttlMs * (1 - MARGIN)
    env.log.info('This broker is registered', { brokerId, brokerEpoch: registration.brokerEpoch, ttlMs })
    this.#scheduleRenewal(registration, ttlMs)
    for (const listener of this.#registeredListeners) listener(registration.brokerEpoch)
    // It was under way when this broker withdrew.
    if (this.#isWithdrawn) this.withdraw()
  }

  // ------------------------------------------------------------------------------------------- staying

  #scheduleRenewal(registration: Registration, ttlMs: number): void {
    this.#renewal = this.#options.env.timers.set(ttlMs / RENEWALS, () => {
      // The next one does not wait for this one: an answer that never comes must not cost the lease.
      this.#scheduleRenewal(registration, ttlMs)
      this.#renew(registration).catch((error: unknown) => this.#fail(error))
    })
  }

  async #renew(registration: Registration): Promise<void> {
    const { env, store } = this.#options
    const sentAtMs = env.clock.monotonicMs()
    try {
      const ttlMs = await store.keepAlive(registration.lease)
      if (this.#registration !== registration || this.#isWithdrawn) return
      this.#aliveUntilMs = Math.max(this.#aliveUntilMs, sentAtMs + ttlMs * (1 - MARGIN))
    } catch (error) {
      if (this.#registration !== registration) return
      if (error instanceof MetaStoreError && error.code === 'LEASE_NOT_FOUND') {
        this.#lost(registration, 'its lease has run out')
        return
      }
      if (!isPassing(error)) throw error
      env.log.warn('The lease of this broker could not be renewed; it is tried again', {
        error,
        leftMs: Math.round(this.#aliveUntilMs - env.clock.monotonicMs()),
      })
    }
  }

  #changed(records: readonly ControllerRecord[]): void {
    const { brokerId, metadata } = this.#options
    const registration = this.#registration
    if (registration === null) return
    if (!records.some(record => 'broker' in record && record.broker === brokerId)) return
    const now = metadata.image.brokers.get(brokerId)
    if (now?.brokerEpoch !== registration.brokerEpoch) this.#lost(registration, 'it was ended')
  }

  #lost(registration: Registration, why: string): void {
    const { env, brokerId } = this.#options
    if (this.#registration !== registration || this.#isClosed) return
    this.#registration = null
    if (this.#renewal !== null) env.timers.clear(this.#renewal)
    env.log.warn(
      `The registration of this broker is lost: ${why}. It registers anew and leads nothing until then`,
      {
        brokerId,
        brokerEpoch: registration.brokerEpoch,
      },
    )
    for (const listener of this.#lostListeners) listener()
    this.#registering = this.#register()
    this.#registering.catch((error: unknown) => this.#fail(error))
  }

  // ------------------------------------------------------------------------------------------- leaving

  /** A lease that cannot be ended runs out. */
  async #revoke(lease: LeaseId): Promise<void> {
    try {
      await this.#options.store.revokeLease(lease)
    } catch (error) {
      if (error instanceof MetaStoreError && error.code === 'LEASE_NOT_FOUND') return
      if (!isPassing(error) && !this.#isClosed) throw error
      this.#options.env.log.warn('A lease could not be ended; it runs out by itself', { error })
    }
  }

  /** What fails is seen by what does not change. */
  async #performQuietly(step: Step): Promise<void> {
    try {
      await this.#options.metadata.perform(step)
    } catch (error) {
      if (!isPassing(error)) throw error
    }
  }

  #fail(error: unknown): void {
    if (this.#isClosed || (error instanceof MetaStoreError && error.code === 'CLOSED')) return
    this.#options.onFatal(asError(error))
  }
}

/** The next attempt may do better. */
function isPassing(error: unknown): boolean {
  return (
    error instanceof MetaStoreError &&
    (error.code === 'UNAVAILABLE' || error.code === 'UNKNOWN_OUTCOME' || error.code === 'LEASE_NOT_FOUND')
  )
}
