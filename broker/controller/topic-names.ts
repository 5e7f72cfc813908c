/**
 * What a topic may be called: Kafka's rules, which are those of a folder name.
 */
import { ErrorCode } from '../../client/protocol/errors.ts'
import { type Refusal, refuse } from './records.ts'

/** 255 is the longest name of a folder, less the partition's number. */
const MAX_LENGTH = 249
/** Kafka keeps its own metadata under the first name, Sluice under the second: their folders look like partitions. */
const RESERVED: readonly string[] = ['__cluster_metadata', '__sluice_metadata']

/** The committed offsets and the state of groups. */
export const GROUP_OFFSETS_TOPIC = '__consumer_offsets'
const TRANSACTIONS_TOPIC = '__transaction_state'

/** Topics whose content is the cluster's own. */
export function isInternalTopic(name: string): boolean {
  return name === GROUP_OFFSETS_TOPIC || name === TRANSACTIONS_TOPIC
}

export function topicNameProblem(name: string): Refusal | null {
  const invalid = (why: string): Refusal =>
    refuse(ErrorCode.INVALID_TOPIC_EXCEPTION, `Topic name is invalid: ${why}`)
  if (name === '') return invalid("the empty string is illegal, can't be empty")
  if (name === '.') return invalid(`'.' cannot be used as a topic name`)
  if (name === '..') return invalid(`'..' cannot be used as a topic name`)
  if (name.length > MAX_LENGTH) {
    return invalid(
      `the length of '${name.slice(0, MAX_LENGTH)}...' is longer than the max allowed length ${MAX_LENGTH}`,
    )
  }
  if (!/^[a-zA-Z0-9._-]+$/.test(name)) {
    return invalid(
      `'${name}' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'`,
    )
  }
  if (RESERVED.includes(name)) {
    return refuse(ErrorCode.INVALID_REQUEST, `Creation of internal topic ${name} is prohibited.`)
  }
  return null
}

/**
 * Metric names have no '.', so names that differ in '.' and '_' alone would be one there: at most one of them may
 * exist.
 */
export function collisionKey(name: string): string {
  return name.replaceAll('.', '_')
}
