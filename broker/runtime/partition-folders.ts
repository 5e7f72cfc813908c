/**
 * The folders of partitions inside the data folder: whose they are by name and by `partition.metadata`, and what
 * becomes of those that belong to nobody. A folder is never read as a partition that it was not made for: a topic that
 * was deleted and made anew has a new id, and its old records must not come back.
 */
import { type TopicId } from '../../client/protocol/types.ts'
import { type Disk, DiskError, type Env } from '../env.ts'
import { METADATA_FOLDER } from '../metastore/embedded.ts'
import { deletedFolderName } from '../storage/file-names.ts'
import { MetadataFileError, readPartitionMetadata } from '../storage/metadata-files.ts'
import { DataFolderError } from './data-folder.ts'

export interface PartitionFolder {
  readonly topicName: string
  readonly partition: number
  /** Null in a folder that does not say. */
  readonly topicId: TopicId | null
}

/** What a data folder holds. */
export interface FolderSurvey {
  readonly partitions: readonly PartitionFolder[]
  /** Left over from deletions that a stop has cut short. */
  readonly deleted: readonly string[]
  /** Folders of partitions of which could not be read whose they are, by name. */
  readonly unreadable: ReadonlyMap<string, Error>
}

/** Folders of cluster metadata, ours and Kafka's own, look like partitions and are none. */
const NO_PARTITIONS = new Set([METADATA_FOLDER, '__cluster_metadata-0'])
const FOLDER_NAME = /^([a-zA-Z0-9._-]{1,249})-(\d{1,10})$/
const DELETED_NAME = /\.[0-9a-f]{32}-delete$/
/** A file name has 255 bytes at most. */
const MAX_NAME = 255

export function partitionFolderName(topicName: string, partition: number): string {
  return `${topicName}-${partition}`
}

export async function surveyFolders(disk: Disk, dataDirectory: string): Promise<FolderSurvey> {
  const partitions: PartitionFolder[] = []
  const deleted: string[] = []
  const unreadable = new Map<string, Error>()
  for (const { name, kind } of await disk.list(dataDirectory)) {
    if (kind !== 'directory' || NO_PARTITIONS.has(name)) continue
    if (DELETED_NAME.test(name)) deleted.push(name)
    const match = FOLDER_NAME.exec(name)
    if (match === null || String(Number(match[2])) !== match[2]) continue
    try {
      const topicId = await readTopicId(disk, `${dataDirectory}/${name}`)
      partitions.push({ topicName: match[1]!, partition: Number(match[2]), topicId })
    } catch (error) {
      if (!(error instanceof DiskError || error instanceof DataFolderError)) throw error
      unreadable.set(name, error)
    }
  }
  return { partitions, deleted, unreadable }
}

/**
 * The same for the folder of one partition; with thousands of others beside it, those are not looked at. Rejects
 * where it cannot be read.
 */
export async function surveyFolder(
  disk: Disk,
  dataDirectory: string,
  topicName: string,
  partition: number,
): Promise<FolderSurvey> {
  const directory = `${dataDirectory}/${partitionFolderName(topicName, partition)}`
  const nothingElse = { deleted: [], unreadable: new Map() }
  try {
    await disk.list(directory)
  } catch (error) {
    if (error instanceof DiskError && error.code === 'NOT_FOUND') return { partitions: [], ...nothingElse }
    throw error
  }
  const topicId = await readTopicId(disk, directory)
  return { partitions: [{ topicName, partition, topicId }], ...nothingElse }
}

/** Null where the folder does not say. Rejects with a `DataFolderError` where what it says makes no sense. */
async function readTopicId(disk: Disk, directory: string): Promise<TopicId | null> {
  try {
    return await readPartitionMetadata(disk, directory)
  } catch (error) {
    if (!(error instanceof MetadataFileError)) throw error
    throw new DataFolderError(
      'DAMAGED_PARTITION_METADATA',
      `A partition's folder does not say which topic it belongs to: ${error.message}. Reading it as another topic's would ` +
        'mix their records. Restore the file from a copy, or remove it: the folder is then taken for that of the topic ' +
        'whose name it has.',
      error,
    )
  }
}

/** Renames a folder that belongs to no partition, as Kafka does (KIP-858), and returns its new name. */
export async function moveAside(env: Env, dataDirectory: string, folder: string): Promise<string> {
  const suffix = `.${freshSuffix(env)}-stray`
  const aside = folder.slice(0, MAX_NAME - suffix.length) + suffix
  await env.disk.rename(`${dataDirectory}/${folder}`, `${dataDirectory}/${aside}`)
  await env.disk.syncDirectory(dataDirectory)
  return aside
}

/** Deletes the folder of a partition that is not open; what a crash leaves of it the next start removes. */
export async function deleteFolder(env: Env, dataDirectory: string, folder: string): Promise<void> {
  const renamed = `${dataDirectory}/${deletedFolderName(folder, freshSuffix(env))}`
  await env.disk.rename(`${dataDirectory}/${folder}`, renamed)
  await env.disk.syncDirectory(dataDirectory)
  await env.disk.removeTree(renamed)
}

/** Makes the name of a renamed folder one of its kind: 32 hexadecimal digits. */
export function freshSuffix(env: Env): string {
  return Buffer.from(env.random.bytes(16)).toString('hex')
}
