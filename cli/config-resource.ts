/** Whose configs a command is about, as people write it: `topic orders`, `broker 1`, `brokers`. Pure. */
import type { ConfigResource } from '../client/index.ts'
import { usageError } from './errors.ts'

export interface ConfigTarget {
  readonly resource: ConfigResource
  /** What is left of the arguments. */
  readonly rest: readonly string[]
}

/** Throws CliError. */
export function parseConfigTarget(words: readonly string[]): ConfigTarget {
  const [kind, name, ...rest] = words
  switch (kind) {
    case 'topic':
      if (name === undefined) throw usageError('Which topic?', 'Write: topic NAME')
      return { resource: { type: 'topic', name }, rest }
    case 'broker':
      if (name === undefined || !/^\d+$/.test(name))
        throw usageError('Which broker?', 'Write: broker ID, as broker 1')
      return { resource: { type: 'broker', name }, rest }
    case 'brokers':
      return { resource: { type: 'broker', name: '' }, rest: name === undefined ? [] : [name, ...rest] }
    default:
      throw usageError(
        `Configs of ${kind ?? 'what'}?`,
        'topic NAME   of a topic',
        'broker ID    of one broker',
        'brokers      the default of all brokers',
      )
  }
}

export function describeTarget(resource: ConfigResource): string {
  if (resource.type === 'topic') return `topic ${resource.name}`
  return resource.name === '' ? 'all brokers' : `broker ${resource.name}`
}
