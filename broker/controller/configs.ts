/**
 * Decides changes of configs, of topics and of brokers: replaced as a whole (AlterConfigs) or piece by piece
 * (IncrementalAlterConfigs, KIP-339). Pure; which configs there are is told from outside.
 */
import { ErrorCode } from '../../client/protocol/errors.ts'
import { type Refusal, refuse } from './records.ts'

export type ConfigOperation = 'set' | 'delete' | 'append' | 'subtract'

export interface ConfigEdit {
  readonly name: string
  readonly operation: ConfigOperation
  readonly value: string | null
}

/** What the configs of one kind of resource are like. */
export interface ConfigRules {
  /** Why it is refused, or null. */
  problem(name: string, text: string): string | null
  isList(name: string): boolean
  /** What holds where nothing is set: what append and subtract start from. */
  fallback(name: string): string
}

export type ConfigDecision =
  | { readonly refusal: null; readonly configs: Readonly<Record<string, string>> }
  | { readonly refusal: Refusal }

/** The resource's configs after the edits; all of them or none. */
export function decideConfigEdits(
  current: ReadonlyMap<string, string>,
  edits: readonly ConfigEdit[],
  rules: ConfigRules,
): ConfigDecision {
  const next = new Map(current)
  const seen = new Set<string>()
  for (const edit of edits) {
    const { name, operation, value } = edit
    if (seen.has(name)) return refused(ErrorCode.INVALID_REQUEST, 'Error due to duplicate config keys')
    seen.add(name)
    if (operation === 'delete') {
      next.delete(name)
      continue
    }
    if (value === null) return refused(ErrorCode.INVALID_REQUEST, `Null value not supported for : ${name}`)
    const edited = operation === 'set' ? value : editedList(edit, value, next, rules)
    if (edited === null) {
      const verb = operation.toUpperCase()
      return refused(ErrorCode.INVALID_CONFIG, `Can't ${verb} to key ${name} because its type is not LIST.`)
    }
    const problem = rules.problem(name, edited)
    if (problem !== null) return refused(ErrorCode.INVALID_CONFIG, problem)
    next.set(name, edited)
  }
  return { refusal: null, configs: Object.fromEntries(next) }
}

/** The resource's configs replaced: what is not named falls back to its default. */
export function decideConfigReplacement(
  configs: readonly { readonly name: string; readonly value: string | null }[],
  rules: ConfigRules,
): ConfigDecision {
  const edits = configs.map(({ name, value }) => ({ name, value, operation: 'set' as const }))
  return decideConfigEdits(new Map(), edits, rules)
}

function editedList(
  edit: ConfigEdit,
  value: string,
  current: ReadonlyMap<string, string>,
  rules: ConfigRules,
): string | null {
  if (!rules.isList(edit.name)) return null
  const items = split(current.get(edit.name) ?? rules.fallback(edit.name))
  const given = split(value)
  const edited =
    edit.operation === 'append'
      ? [...items, ...given.filter(item => !items.includes(item))]
      : items.filter(item => !given.includes(item))
  return edited.join(',')
}

function split(text: string): string[] {
  return text
    .split(',')
    .map(item => item.trim())
    .filter(item => item !== '')
}

function refused(error: ErrorCode, message: string): ConfigDecision {
  return { refusal: refuse(error, message) }
}
