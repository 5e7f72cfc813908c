/**
 * One watch: on a stream to one member at a time, and on another after a cut. It goes on behind the last revision that
 * it was told: never behind the revision that stands in the head of an answer, which may be ahead of events that are
 * still to come. All events of a revision are told together.
 *
 * Progress. Whoever waits for a revision in which nothing was meant for him wants to know that it has passed. Sound
 * versions of etcd answer a question for that behind all events of the stream's watches. The stream is for one watch
 * alone, and the question comes after the watch is confirmed: so no answer can be older than the watch. In other
 * versions the answer overtakes events that are being caught up with; there the watch is for all keys, what was not
 * asked for is dropped here, and each revision shows itself by its own events.
 */
import { assert } from '../../../client/protocol/assert.ts'
import { type RpcStream, type TimerHandle } from '../../env.ts'
import {
  type KeySelector,
  MetaStoreError,
  type Revision,
  type WatchEvent,
  type WatchListener,
} from '../metastore.ts'
import { isSelected } from '../rules.ts'
import { type EtcdConnection } from './connection.ts'
import { judge, permissionDenied, reasonOf } from './errors.ts'
import {
  METHODS,
  readWatchResponse,
  type WatchResponse,
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
/** In an answer: it is about all watches of the stream. */
const ALL_WATCHES = -1

/** A stream while it lasts. */
interface Stream {
  readonly session: Session
  readonly rpc: RpcStream
  /** The server has confirmed the watch. */
  isCreated: boolean
  /** Ends it. With a reason the member has failed us, and the next stream is to another one. */
  readonly end: (reason: string | null, error: Error | null) => void
}

/** How a stream came to its end. */
interface Over {
  readonly reason: string | null
  readonly error: Error | null
}

export class EtcdWatch {
  readonly #settings: Settings
  readonly #connection: EtcdConnection
  readonly #select: KeySelector
  readonly #listener: WatchListener
  /** Everything before it has been told. */
  #next: Revision
  #stream: Stream | null = null
  #isOver = false
  /** Parts of an answer whose end is still to come. */
  #fragments: WatchEvent[] = []
  #wasDenied = false
  #lastHeardMs = 0
  #pulse: TimerHandle | null = null
  /** Somebody may wait for everything up to here. */
  #wanted: Revision = 0
  #nudge: TimerHandle | null = null

  constructor(
    settings: Settings,
    connection: EtcdConnection,
    select: KeySelector,
    fromRevision: Revision,
    listener: WatchListener,
  ) {
    assert(Number.isSafeInteger(fromRevision) && fromRevision > 0, 'a watch begins at a revision')
    this.#settings = settings
    this.#connection = connection
    this.#select = select
    this.#next = fromRevision
    this.#listener = listener
  }

  start(): void {
    void this.#run()
  }

  passed(revision: Revision): void {
    if (revision <= this.#wanted) return
    this.#wanted = revision
    this.#armNudge(FIRST_NUDGE_MS)
  }

  /** The listener hears nothing more. */
  cancel(): void {
    this.#isOver = true
    if (this.#nudge !== null) this.#settings.env.timers.clear(this.#nudge)
    this.#nudge = null
    this.#stream?.end(null, null)
  }

  /** The listener hears `error`, and nothing more. */
  finish(error: MetaStoreError): void {
    if (this.#isOver) return
    this.cancel()
    this.#listener.ended(error)
  }

  // ------------------------------------------------------------------------------------- the stream

  /** One stream after another. */
  async #run(): Promise<void> {
    const { env, requestTimeoutMs } = this.#settings
    for (let attempt = 1; !this.#isOver; attempt++) {
      try {
        const session = await this.#connection.session(env.clock.monotonicMs() + requestTimeoutMs)
        if (this.#isOver) return
        const { reason, error } = await this.#serve(session)
        if (this.#isOver) return
        if (reason !== null) await this.#learnFrom(session, reason, error)
        attempt = 1
      } catch (error) {
        if (!(error instanceof MetaStoreError)) throw error
        if (error.code !== 'UNAVAILABLE') this.finish(error)
      }
      if (!this.#isOver) await this.#connection.pause(attempt)
    }
  }

  /** Resolves when the stream is over. */
  #serve(session: Session): Promise<Over> {
    return new Promise(resolve => {
      const end: Stream['end'] = (reason, error) => {
        if (this.#stream !== stream) return
        this.#stream = null
        stream.rpc.cancel()
        forget()
        if (this.#pulse !== null) this.#settings.env.timers.clear(this.#pulse)
        this.#pulse = null
        resolve({ reason, error })
      }
      const stream: Stream = {
        session,
        isCreated: false,
        end,
        rpc: session.stream(METHODS.watch, {
          received: message => this.#received(stream, message),
          ended: error => end(error === null ? 'etcd has ended it' : reasonOf(error), error),
        }),
      }
      const forget = session.onRetired(() => end('the connection was given up', null))
      this.#stream = stream
      this.#fragments = []
      this.#lastHeardMs = this.#settings.env.clock.monotonicMs()
      const select = session.isSound ? this.#select : ALL_KEYS
      stream.rpc.send(watchCreateRequest(select, this.#next).finish())
      this.#armPulse(stream)
    })
  }

  async #learnFrom(session: Session, reason: string, error: Error | null): Promise<void> {
    const failure = error === null ? null : judge(error)
    if (failure?.kind === 'token') {
      await session.renewToken(this.#settings.connectTimeoutMs).catch(() => this.#connection.suspect(session))
      return
    }
    this.#connection.suspect(session)
    if (failure?.kind === 'refused') throw failure.error
    this.#settings.env.log.info('a stream of changes of the metadata was cut, it is taken up again', {
      endpoint: session.endpoint.url,
      reason,
    })
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
      if (stream.isCreated) stream.rpc.send(watchProgressRequest().finish())
      this.#armPulse(stream)
    })
  }

  #armNudge(delayMs: number): void {
    if (this.#nudge !== null || this.#isOver) return
    this.#nudge = this.#settings.env.timers.set(delayMs, () => {
      this.#nudge = null
      if (this.#next > this.#wanted) return
      const stream = this.#stream
      if (stream?.isCreated === true && stream.session.isSound)
        stream.rpc.send(watchProgressRequest().finish())
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
    if (response.canceled) {
      this.#canceled(stream, response)
      return
    }
    if (response.created) {
      stream.isCreated = true
      this.#wasDenied = false
    }
    if (response.fragment || this.#fragments.length > 0) {
      // A notice about all watches is not a part of the answer to this one.
      if (response.id === ALL_WATCHES) return
      this.#fragments.push(...response.events)
      if (response.fragment) return
    }
    const events = this.#fragments.length > 0 ? this.#fragments : response.events
    this.#fragments = []
    if (events.length > 0) this.#tell(events)
    else if (!response.created && stream.session.isSound) this.#advance(response.revision)
  }

  /** An answer holds whole revisions, in order. */
  #tell(events: readonly WatchEvent[]): void {
    let toldLast = true
    let revision = 0
    for (let at = 0; at < events.length && !this.#isOver; ) {
      revision = revisionOf(events[at]!)
      const wanted: WatchEvent[] = []
      for (; at < events.length && revisionOf(events[at]!) === revision; at++) {
        if (isSelected(keyOf(events[at]!), this.#select)) wanted.push(events[at]!)
      }
      if (revision < this.#next) continue
      this.#next = revision + 1
      toldLast = wanted.length > 0
      if (toldLast) this.#listener.changed({ revision, events: wanted })
    }
    if (!toldLast && !this.#isOver) this.#listener.changed({ revision, events: [] })
  }

  #advance(revision: Revision): void {
    if (revision < this.#next) return
    this.#next = revision + 1
    this.#listener.changed({ revision, events: [] })
  }

  #canceled(stream: Stream, { compactRevision, cancelReason }: WatchResponse): void {
    if (compactRevision > 0) {
      this.finish(
        new MetaStoreError(
          'COMPACTED',
          `Revision ${this.#next} has been compacted; the oldest that is kept is ${compactRevision}. Read the state ` +
            'anew and go on from its revision.',
          { compactRevision },
        ),
      )
      return
    }
    // An old token is refused with the same words as a missing right.
    const isDenied = /permission denied/i.test(cancelReason)
    if (isDenied && (this.#wasDenied || this.#settings.credentials === null)) {
      this.finish(permissionDenied(cancelReason))
      return
    }
    this.#wasDenied = isDenied
    stream.end(cancelReason === '' ? 'etcd has cancelled a watch' : cancelReason, null)
  }
}

function keyOf(event: WatchEvent): string {
  return event.type === 'put' ? event.entry.key : event.key
}

function revisionOf(event: WatchEvent): Revision {
  return event.type === 'put' ? event.entry.modRevision : event.modRevision
}
