/**
 * Calls about several items at once, of which each has an outcome of its own: what may pass is tried again for just
 * the items that failed, and what failed for good is thrown as one error when all are decided.
 */
import { type Cluster } from '../cluster.ts'
import { combineErrors, KafkaError } from '../errors.ts'
import { type OperationOptions } from './types.ts'

export type ItemOutcome<Result> = { readonly value: Result } | { readonly error: KafkaError }

export interface Attempt {
  /** An earlier attempt ended without an answer: what is asked for may have been done by it. */
  readonly mayBeDone: boolean
}

/** Results in the order of the items. Throws KafkaError (see `admin/types.ts` for partial failures) or AbortError. */
export async function settleItems<Item, Result>(
  cluster: Cluster,
  what: string,
  items: readonly Item[],
  options: OperationOptions,
  attempt: (open: readonly Item[], info: Attempt) => Promise<readonly ItemOutcome<Result>[]>,
): Promise<Result[]> {
  const results = new Map<Item, Result>()
  const failures: KafkaError[] = []
  let open = items
  let mayBeDone = false
  if (items.length === 0) return []
  await cluster.retrying(what, options, async () => {
    let outcomes: readonly ItemOutcome<Result>[]
    try {
      outcomes = await attempt(open, { mayBeDone })
    } catch (error) {
      mayBeDone ||=
        error instanceof KafkaError && (error.code === 'CONNECTION_CLOSED' || error.code === 'TIMEOUT')
      throw error
    }
    const again: Item[] = []
    let retriable: KafkaError | null = null
    open.forEach((item, index) => {
      const outcome = outcomes[index]!
      if ('value' in outcome) {
        results.set(item, outcome.value)
      } else if (outcome.error.retriable) {
        again.push(item)
        retriable ??= outcome.error
      } else {
        failures.push(outcome.error)
      }
    })
    open = again
    if (retriable !== null) throw retriable as KafkaError
  })
  if (failures.length > 0) throw combineErrors(what, failures, items.length)
  return items.map(item => results.get(item)!)
}

/** The outcome for an item that an answer does not mention. */
export function unmentioned(api: string, item: string, broker: string): { readonly error: KafkaError } {
  return {
    error: new KafkaError({
      code: 'MALFORMED_RESPONSE',
      message: `Broker ${broker} left ${item} out of its answer to ${api}.`,
      retriable: true,
      api,
      broker,
    }),
  }
}
