/**
 * The watches of a store, on one stream to one member at a time. After a cut each goes on behind the last revision
 * that it was told: never behind the revision that stands in the head of an answer, which may be ahead of events that
 * are still to come. All events of a revision are told together.
 *
 * Progress. Whoever waits for a revision in which nothing was meant for him wants to know that it has passed. Sound
 * versions of etcd answer a question for that behind all events. In others the answer can overtake events; there a
 * watch is for all keys, and what was not asked for is dropped here: each revision shows itself by its own events.
 */
import { assert } from '../../../client/protocol/assert.ts'
import { type RpcStream, type TimerHandle } from '../../env.ts'
import {
  type KeySelector,
  MetaStoreError,
  type Revision,
  type Watch,
  type WatchEvent,
  type WatchListener,
} from '../metastore.ts'
import { isSelected } from '../rules.ts'
import { type EtcdConnection } from './connection.ts'
import { closedError, judge, permissionDenied, reasonOf } from './errors.ts'
import {
  METHODS,
  readWatchResponse,
  type WatchResponse,
  watchCancelRequest,
  watchCreateRequest,
  watchProgressRequest,
} from './messages.ts'
import { type Settings } from './options.ts'
import { ProtobufError } from './protobuf.ts'
import { type Session } from './session.ts'

/** So many intervals without a word: the member is gone, or cut off from us in one direction. */
const SILENT_INTERVALS = 3
/** Events usually come by themselves within this time after the change. */
const FIRST_NUDGE_MS = 20
const NEXT_NUDGE_MS = 100
const ALL_KEYS: KeySelector = { prefix: '' }
const ALL_WATCHES = -1

interface Watcher {
  readonly id: number
  readonly select: KeySelector
  readonly listener: WatchListener
  /** Everything before it has been told. */
  next: Revision
  /** The stream's server has confirmed it. */
  isCreated: boolean
  /** Parts of an answer whose end is still to come. */
  fragments: WatchEvent[]
  wasDenied: boolean
}

/** A stream while it lasts. */
interface Stream {
  readonly session: Session
  readonly rpc: RpcStream
  /** Ends it. With a reason the member has failed us, and the next stream is to another one. */
  readonly end: (reason: string | null, error: Error | null) => void
}

/** How a stream came to its end. */
interface Over {
  readonly reason: string | null
  readonly error: Error | null
}

export class EtcdWatches {
  readonly #settings: Settings
  readonly #connection: EtcdConnection
  readonly #watchers = new Map<number, Watcher>()
  #lastId = 0
  #stream: Stream | null = null
  #isRunning = false
  #isClosed = false
  #lastHeardMs = 0
  #pulse: TimerHandle | null = null
  /** Somebody may wait for everything up to here. */
  #wanted: Revision = 0
  #nudge: TimerHandle | null = null

  constructor(settings: Settings, connection: EtcdConnection) {
    this.#settings = settings
    this.#connection = connection
  }

  add(select: KeySelector, fromRevision: Revision, listener: WatchListener): Watch {
    assert(Number.isSafeInteger(fromRevision) && fromRevision > 0, 'a watch begins at a revision')
    const watcher: Watcher = {
      id: ++this.#lastId,
      select,
      listener,
      next: fromRevision,
      isCreated: false,
      fragments: [],
      wasDenied: false,
    }
    this.#watchers.set(watcher.id, watcher)
    if (this.#isClosed) void Promise.resolve().then(() => this.#finish(watcher, closedError()))
    else if (this.#stream !== null) this.#create(this.#stream, watcher)
    else void this.#run()
    return { cancel: () => this.#cancel(watcher) }
  }

  /** A change has been made at `revision`: whoever watches shall hear soon that it has passed. */
  passed(revision: Revision): void {
    if (revision <= this.#wanted) return
    this.#wanted = revision
    this.#armNudge(FIRST_NUDGE_MS)
  }

  close(): void {
    this.#isClosed = true
    this.#stream?.end(null, null)
    const { timers } = this.#settings.env
    if (this.#nudge !== null) timers.clear(this.#nudge)
    this.#nudge = null
    this.#endAll(closedError())
  }

  // ------------------------------------------------------------------------------------- the stream

  /** One stream after another, as long as anybody watches. */
  async #run(): Promise<void> {
    if (this.#isRunning) return
    this.#isRunning = true
    const { env, requestTimeoutMs } = this.#settings
    try {
      for (let attempt = 1; this.#watchers.size > 0 && !this.#isClosed; attempt++) {
        try {
          const session = await this.#connection.session(env.clock.monotonicMs() + requestTimeoutMs)
          const reason = await this.#serve(session)
          if (this.#isClosed) return
          if (reason !== null)
            env.log.info('a stream of changes of the metadata was cut, it is taken up again', reason)
          attempt = 1
        } catch (error) {
          if (!(error instanceof MetaStoreError)) throw error
          if (error.code !== 'UNAVAILABLE') this.#endAll(error)
        }
        await this.#connection.pause(attempt)
      }
    } finally {
      this.#isRunning = false
    }
  }

  /** Resolves when the stream is over: to why, for the log, or to null where nobody is to blame. */
  async #serve(session: Session): Promise<Record<string, unknown> | null> {
    const over = await new Promise<Over>(resolve => {
      const end: Stream['end'] = (reason, error) => {
        stream.rpc.cancel()
        if (this.#stream === stream) this.#stream = null
        forget()
        resolve({ reason, error })
      }
      const stream: Stream = {
        session,
        end,
        rpc: session.stream(METHODS.watch, {
          received: message => this.#received(stream, message),
          ended: error => end(error === null ? 'etcd has ended it' : reasonOf(error), error),
        }),
      }
      const forget = session.onRetired(() => end('the connection was given up', null))
      this.#stream = stream
      this.#lastHeardMs = this.#settings.env.clock.monotonicMs()
      for (const watcher of Array.from(this.#watchers.values())) this.#create(stream, watcher)
      this.#armPulse(stream)
    })
    if (this.#pulse !== null) this.#settings.env.timers.clear(this.#pulse)
    this.#pulse = null
    return this.#learnFrom(session, over)
  }

  async #learnFrom(session: Session, { reason, error }: Over): Promise<Record<string, unknown> | null> {
    if (reason === null || this.#isClosed) return null
    const failure = error === null ? null : judge(error)
    if (failure?.kind === 'token') {
      await session.renewToken(this.#settings.connectTimeoutMs).catch(() => this.#connection.suspect(session))
      return null
    }
    this.#connection.suspect(session)
    if (failure?.kind === 'refused') throw failure.error
    return { endpoint: session.endpoint.url, reason }
  }

  #create(stream: Stream, watcher: Watcher): void {
    watcher.isCreated = false
    watcher.fragments = []
    const select = stream.session.isSound ? watcher.select : ALL_KEYS
    stream.rpc.send(watchCreateRequest(watcher.id, select, watcher.next).finish())
  }

  #cancel(watcher: Watcher): void {
    if (!this.#watchers.delete(watcher.id)) return
    if (this.#watchers.size === 0) this.#stream?.end(null, null)
    else this.#stream?.rpc.send(watchCancelRequest(watcher.id).finish())
  }

  // ------------------------------------------------------------------------------------- signs of life

  #armPulse(stream: Stream): void {
    const { env, progressIntervalMs } = this.#settings
    this.#pulse = env.timers.set(progressIntervalMs, () => {
      const silentMs = env.clock.monotonicMs() - this.#lastHeardMs
      if (silentMs > SILENT_INTERVALS * progressIntervalMs) {
        stream.end(`no sign of life for ${Math.round(silentMs)} ms`, null)
        return
      }
      stream.rpc.send(watchProgressRequest().finish())
      this.#armPulse(stream)
    })
  }

  #armNudge(delayMs: number): void {
    if (this.#nudge !== null || this.#isClosed || this.#watchers.size === 0) return
    this.#nudge = this.#settings.env.timers.set(delayMs, () => {
      this.#nudge = null
      const isLate = Array.from(this.#watchers.values()).some(({ next }) => next <= this.#wanted)
      if (!isLate || this.#stream?.session.isSound !== true) return
      this.#stream.rpc.send(watchProgressRequest().finish())
      this.#armNudge(NEXT_NUDGE_MS)
    })
  }

  // ------------------------------------------------------------------------------------- answers

  #received(stream: Stream, message: Uint8Array): void {
    if (this.#stream !== stream) return
    this.#lastHeardMs = this.#settings.env.clock.monotonicMs()
    let response: WatchResponse
    try {
      response = readWatchResponse(message)
    } catch (error) {
      if (!(error instanceof ProtobufError)) throw error
      stream.end(`an answer could not be read: ${error.message}`, error)
      return
    }
    if (response.id === ALL_WATCHES && !response.canceled) {
      if (stream.session.isSound) this.#progress(response.revision)
      return
    }
    const watcher = this.#addressee(response)
    // Cancelled, with answers still on their way.
    if (watcher === undefined) return
    if (response.canceled) {
      this.#canceled(stream, watcher, response)
      return
    }
    if (response.created) {
      watcher.isCreated = true
      watcher.wasDenied = false
    }
    this.#changed(stream, watcher, response)
  }

  /** A watch that is refused has no number yet; etcd answers in the order in which it was asked. */
  #addressee({ id }: WatchResponse): Watcher | undefined {
    if (id !== ALL_WATCHES) return this.#watchers.get(id)
    return Array.from(this.#watchers.values()).find(({ isCreated }) => !isCreated)
  }

  #changed(stream: Stream, watcher: Watcher, response: WatchResponse): void {
    if (response.fragment || watcher.fragments.length > 0) {
      watcher.fragments.push(...response.events)
      if (response.fragment) return
    }
    const events = watcher.fragments.length > 0 ? watcher.fragments : response.events
    watcher.fragments = []
    if (events.length > 0) this.#tell(watcher, events)
    // The server's own notice of progress comes in line with the events of this watch.
    else if (!response.created && stream.session.isSound) this.#advance(watcher, response.revision)
  }

  /** An answer holds whole revisions, in order. */
  #tell(watcher: Watcher, events: readonly WatchEvent[]): void {
    let toldLast = true
    let revision = 0
    for (let at = 0; at < events.length && this.#watchers.has(watcher.id); ) {
      revision = revisionOf(events[at]!)
      const wanted: WatchEvent[] = []
      for (; at < events.length && revisionOf(events[at]!) === revision; at++) {
        if (isSelected(keyOf(events[at]!), watcher.select)) wanted.push(events[at]!)
      }
      if (revision < watcher.next) continue
      watcher.next = revision + 1
      toldLast = wanted.length > 0
      if (toldLast) watcher.listener.changed({ revision, events: wanted })
    }
    if (!toldLast && this.#watchers.has(watcher.id)) watcher.listener.changed({ revision, events: [] })
  }

  #progress(revision: Revision): void {
    for (const watcher of Array.from(this.#watchers.values())) {
      if (watcher.isCreated && watcher.fragments.length === 0) this.#advance(watcher, revision)
    }
  }

  #advance(watcher: Watcher, revision: Revision): void {
    if (revision < watcher.next || !this.#watchers.has(watcher.id)) return
    watcher.next = revision + 1
    watcher.listener.changed({ revision, events: [] })
  }

  #canceled(stream: Stream, watcher: Watcher, response: WatchResponse): void {
    const { compactRevision, cancelReason } = response
    if (compactRevision > 0) {
      this.#finish(
        watcher,
        new MetaStoreError(
          'COMPACTED',
          `Revision ${watcher.next} has been compacted; the oldest that is kept is ${compactRevision}. Read the state ` +
            'anew and go on from its revision.',
          { compactRevision },
        ),
      )
      return
    }
    // An old token is refused with the same words as a missing right.
    const isDenied = /permission denied/i.test(cancelReason)
    if (isDenied && (watcher.wasDenied || this.#settings.credentials === null)) {
      this.#finish(watcher, permissionDenied(cancelReason))
      return
    }
    watcher.wasDenied = isDenied
    stream.end(cancelReason === '' ? 'etcd has cancelled a watch' : cancelReason, null)
  }

  #finish(watcher: Watcher, error: MetaStoreError): void {
    if (!this.#watchers.delete(watcher.id)) return
    if (this.#watchers.size === 0) this.#stream?.end(null, null)
    watcher.listener.ended(error)
  }

  #endAll(error: MetaStoreError): void {
    for (const watcher of Array.from(this.#watchers.values())) this.#finish(watcher, error)
  }
}

function keyOf(event: WatchEvent): string {
  return event.type === 'put' ? event.entry.key : event.key
}

function revisionOf(event: WatchEvent): Revision {
  return event.type === 'put' ? event.entry.modRevision : event.modRevision
}
