/**
 * What a test does to requests before the broker sees them: answers with an error, delays, drops. A connection keeps
 * its order: while a request is held up, later ones of the same API on the same connection wait behind it, as behind a
 * slow broker.
 */
import { API, type ApiName, apiByKey } from '../../client/protocol/apis.ts'
import { ErrorCode } from '../../client/protocol/errors.ts'
import { type TimerHandle, type Timers } from '../env.ts'
import {
  type AnyApiHandler,
  type Interceptor,
  NO_RESPONSE,
  type Outcome,
  type RequestContext,
} from '../server/handler.ts'
import { errorResponse } from './error-response.ts'

/** What becomes of a request; made by `pass`, `delay`, `error`, `drop`, `loseResponse`, `hang` and `respond`. */
export type Action =
  | { readonly kind: 'pass' }
  | { readonly kind: 'delay'; readonly ms: number; readonly then: Action }
  | { readonly kind: 'error'; readonly code: ErrorCode }
  | { readonly kind: 'drop' }
  | { readonly kind: 'loseResponse' }
  | { readonly kind: 'hang' }
  | { readonly kind: 'respond'; readonly response: object }

/** The request goes its normal way. */
export function pass(): Action {
  return { kind: 'pass' }
}

/** After `ms` milliseconds `then` happens to the request; by default it goes its normal way. */
export function delay(ms: number, then: Action = pass()): Action {
  return { kind: 'delay', ms, then }
}

/** The broker does nothing and answers with this error, as `NOT_LEADER_OR_FOLLOWER`, wherever the API says errors. */
export function error(name: keyof typeof ErrorCode): Action {
  const code = ErrorCode[name]
  if (code === undefined) throw new TypeError(`There is no protocol error named ${String(name)}`)
  return { kind: 'error', code }
}

/** The request is lost: the broker does nothing, and the connection breaks. */
export function drop(): Action {
  return { kind: 'drop' }
}

/** The broker does what is asked, but the connection breaks before the answer: the client cannot know. */
export function loseResponse(): Action {
  return { kind: 'loseResponse' }
}

/** The broker does nothing and never answers; the connection stays. */
export function hang(): Action {
  return { kind: 'hang' }
}

/**
 * The broker does nothing and answers with `response`, whose fields are named as in Kafka's definitions. Those at the top
 * that are left out are zero or empty.
 */
export function respond(response: object): Action {
  return { kind: 'respond', response }
}

export interface InterceptedRequest {
  readonly apiKey: number
  readonly apiName: string
  readonly apiVersion: number
  readonly clientId: string | null
  /** Unique for each connection. */
  readonly connectionId: number
  /** How many requests this interception has seen before. */
  readonly count: number
}

type Decision = Action | undefined
/** Undefined is the same as `pass()`. */
export type Decide<Request> = (request: Request, info: InterceptedRequest) => Decision | Promise<Decision>

/** Ends with `stop`, or at the end of a `using` block. */
export interface Interception {
  /** Requests it has seen. */
  readonly count: number
  stop(): void
  [Symbol.dispose](): void
}

interface Entry {
  readonly decide: Decide<never>
  count: number
}

/** Order within a connection is kept under this name. */
const ORDER = Symbol('intercepted requests')
type Order = Map<number, Promise<unknown>>

export class Interceptions {
  readonly #timers: Timers
  readonly #spares: string
  readonly #entries = new Map<number, Entry[]>()
  /** Ends the wait of requests that are held up, so that a stop need not wait for them. */
  readonly #heldUp = new Set<() => void>()

  /** Requests of the client `spares` are never touched. */
  constructor(timers: Timers, spares: string) {
    this.#timers = timers
    this.#spares = spares
  }

  /** The latest interception of an API decides first; one that passes leaves it to those before. */
  add(api: ApiName | number, decide: Decide<never>): Interception {
    const key = typeof api === 'number' ? api : API[api]?.key
    if (key === undefined || apiByKey(key) === undefined) {
      throw new TypeError(`There is no API ${String(api)}: use a name, as 'Fetch', or ApiKey.Fetch`)
    }
    const entry: Entry = { decide, count: 0 }
    this.#entries.set(key, [entry, ...(this.#entries.get(key) ?? [])])
    const stop = (): void => {
      const left = (this.#entries.get(key) ?? []).filter(each => each !== entry)
      if (left.length > 0) this.#entries.set(key, left)
      else this.#entries.delete(key)
    }
    return {
      get count() {
        return entry.count
      },
      stop,
      [Symbol.dispose]: stop,
    }
  }

  /** Forgets all, and lets go on what is held up. */
  clear(): void {
    this.#entries.clear()
    for (const letGo of this.#heldUp) letGo()
  }

  readonly interceptor: Interceptor = (handler, request, context, proceed) => {
    if (context.clientId === this.#spares) return proceed()
    const { key } = handler.api
    const entries = this.#entries.get(key)
    const order = context.connection.state.get(ORDER) as Order | undefined
    const before = order?.get(key)
    if (entries === undefined && before === undefined) return proceed()
    const outcome = this.#afterThat(before, () =>
      this.#run(entries ?? [], handler, request, context, proceed),
    )
    if (outcome instanceof Promise) this.#keepOrder(order, context, outcome)
    return outcome
  }

  #afterThat(before: Promise<unknown> | undefined, run: () => Outcome<unknown>): Outcome<unknown> {
    return before === undefined ? run() : before.then(run, run)
  }

  #keepOrder(known: Order | undefined, context: RequestContext, outcome: Promise<unknown>): void {
    const order: Order = known ?? new Map()
    if (known === undefined) context.connection.state.set(ORDER, order)
    const { apiKey } = context
    order.set(apiKey, outcome)
    const forget = (): void => {
      if (order.get(apiKey) === outcome) order.delete(apiKey)
    }
    outcome.then(forget, forget)
  }

  #run(
    entries: readonly Entry[],
    handler: AnyApiHandler,
    request: unknown,
    context: RequestContext,
    proceed: () => Outcome<unknown>,
  ): Outcome<unknown> {
    const [entry, ...others] = entries
    if (entry === undefined) return proceed()
    const next = (): Outcome<unknown> => this.#run(others, handler, request, context, proceed)
    const carryOut = (decision: Decision): Outcome<unknown> =>
      this.#carryOut(decision ?? pass(), handler, request, context, next)
    const decision = entry.decide(request as never, infoOf(handler, context, entry.count++))
    return decision instanceof Promise ? decision.then(carryOut) : carryOut(decision)
  }

  #carryOut(
    action: Action,
    handler: AnyApiHandler,
    request: unknown,
    context: RequestContext,
    next: () => Outcome<unknown>,
  ): Outcome<unknown> {
    switch (action.kind) {
      case 'pass':
        return next()
      case 'delay':
        return this.#wait(action.ms, context).then(() =>
          this.#carryOut(action.then, handler, request, context, next),
        )
      case 'error': {
        const isUnanswered = handler.api.key === API.Produce.key && (request as { acks: number }).acks === 0
        if (isUnanswered) return breakOff(context)
        return errorResponse(handler.api, context.apiVersion, request, action.code)
      }
      case 'drop':
        return breakOff(context)
      case 'loseResponse':
        return Promise.resolve(next()).then(() => breakOff(context))
      case 'hang':
        return this.#wait(null, context).then(() => breakOff(context))
      case 'respond':
        return {
          ...errorResponse(handler.api, context.apiVersion, {}, ErrorCode.NONE),
          ...action.response,
        }
      default:
        return action satisfies never
    }
  }

  /** Until the time is over, the connection is gone, or the test is; null for no time. */
  #wait(ms: number | null, context: RequestContext): Promise<void> {
    return new Promise(resolve => {
      let timer: TimerHandle | null = null
      const end = (): void => {
        if (timer !== null) this.#timers.clear(timer)
        forget()
        this.#heldUp.delete(end)
        resolve()
      }
      let forget = (): void => {}
      this.#heldUp.add(end)
      if (ms !== null) timer = this.#timers.set(ms, end)
      forget = context.onClose(end)
    })
  }
}

function breakOff(context: RequestContext): typeof NO_RESPONSE {
  context.closeConnection('')
  return NO_RESPONSE
}

function infoOf(handler: AnyApiHandler, context: RequestContext, count: number): InterceptedRequest {
  return {
    apiKey: context.apiKey,
    apiName: handler.api.name,
    apiVersion: context.apiVersion,
    clientId: context.clientId,
    connectionId: context.connection.id,
    count,
  }
}
