/**
 * Names of files and folders of a partition, as Kafka gives them.
 */
import { assert } from '../../client/protocol/assert.ts'
import { type Offset } from '../../client/protocol/types.ts'

export const LOG_SUFFIX = '.log'
export const INDEX_SUFFIX = '.index'
export const TIME_INDEX_SUFFIX = '.timeindex'
export const TRANSACTION_INDEX_SUFFIX = '.txnindex'
export const SNAPSHOT_SUFFIX = '.snapshot'
/** Waits to be removed. */
export const DELETED_SUFFIX = '.deleted'
/** Written by a compaction or split that has not finished: worthless after a crash. */
export const CLEANED_SUFFIX = '.cleaned'
/** Written by one that has finished: it takes the place of the segments that it covers. */
export const SWAP_SUFFIX = '.swap'

const NAME = /^(\d{20})(\.log|\.index|\.timeindex|\.txnindex|\.snapshot)(\.deleted|\.cleaned|\.swap)?$/

export interface SegmentFileName {
  readonly name: string
  readonly baseOffset: Offset
  readonly suffix: string
  /** `.deleted`, `.cleaned`, `.swap`, or empty. */
  readonly mark: string
}

/** The name of a file that begins with `offset`: twenty digits, so that names sort as offsets do. */
export function fileName(offset: Offset, suffix: string): string {
  return `${String(offset).padStart(20, '0')}${suffix}`
}

/** Null for anything else than a segment's files. */
export function parseFileName(name: string): SegmentFileName | null {
  const match = NAME.exec(name)
  if (match === null) return null
  const baseOffset = Number(match[1])
  if (!Number.isSafeInteger(baseOffset)) return null
  return { name, baseOffset: baseOffset as Offset, suffix: match[2]!, mark: match[3] ?? '' }
}

export interface PartitionFolderName {
  readonly topic: string
  readonly partition: number
}

/** `<topic>-<partition>`; null for any other name, also of folders that wait to be removed. */
export function parseFolderName(name: string): PartitionFolderName | null {
  const match = /^([\w.-]{1,249})-(\d{1,10})$/.exec(name)
  return match === null ? null : { topic: match[1]!, partition: Number(match[2]) }
}

export function folderName(topic: string, partition: number): string {
  return `${topic}-${partition}`
}

/**
 * A folder renamed so is removed at the next start at the latest. The name keeps within 255 bytes, as Kafka cuts
 * it.
 */
export function deletedFolderName(name: string, unique: string): string {
  const suffix = `.${unique}-delete`
  assert(
    /^[\w-]+$/.test(unique) && suffix.length < 100,
    'the unique part of a deleted folder is short and plain',
  )
  return `${name.slice(0, 255 - suffix.length)}${suffix}`
}

export function isDeletedFolderName(name: string): boolean {
  return /\.[\w-]+-delete$/.test(name)
}
