/**
 * The patterns by which members of consumer groups subscribe (KIP-848): RE2's syntax, as in Kafka, matched in time
 * linear in the length of a topic's name. So no pattern can hold up the broker, whoever thought it up.
 */
import { createRequire } from 'node:module'
import { type RE2JS } from 're2js'

/** True where the whole name matches. */
export type TopicMatcher = (topicName: string) => boolean

/** Linear still means time for each instruction of the compiled pattern, for each character of each topic's name. */
const MAX_INSTRUCTIONS = 500
const MAX_LENGTH = 1024
/** Patterns are few, and asked for again and again. */
const MAX_KEPT = 1000

export class TopicPatterns {
  readonly #matchers = new Map<string, TopicMatcher | null>()
  #engine: typeof RE2JS | null = null

  /** Null where the pattern is not valid, or too large. */
  compile(pattern: string): TopicMatcher | null {
    let matcher = this.#matchers.get(pattern)
    if (matcher !== undefined) return matcher
    matcher = this.#compile(pattern)
    if (this.#matchers.size >= MAX_KEPT) this.#matchers.clear()
    this.#matchers.set(pattern, matcher)
    return matcher
  }

  #compile(pattern: string): TopicMatcher | null {
    if (pattern.length > MAX_LENGTH) return null
    // Loaded with the first pattern: most brokers never see one, and all of them want to start quickly.
    this.#engine ??= (createRequire(import.meta.url)('re2js') as { RE2JS: typeof RE2JS }).RE2JS
    try {
      const compiled = this.#engine.compile(pattern)
      if (compiled.programSize() > MAX_INSTRUCTIONS) return null
      return topicName => compiled.matches(topicName)
    } catch {
      return null
    }
  }
}
