/**
 * The files that say whose data this is: `meta.properties` and `.kafka_cleanshutdown` of the data folder,
 * `partition.metadata` of a partition. Kafka's formats; written whole or not at all.
 */
import { type BrokerId, type TopicId } from '../../client/protocol/types.ts'
import { type Disk, DiskError } from '../env.ts'
import { parentOf, readOptional, replaceFile } from './checkpoints.ts'

export const META_PROPERTIES = 'meta.properties'
export const PARTITION_METADATA = 'partition.metadata'
export const CLEAN_SHUTDOWN = '.kafka_cleanshutdown'

/** A file that was there and cannot be believed. What to do is for the caller to say: he knows what it means. */
export class MetadataFileError extends Error {
  override readonly name = 'MetadataFileError'
  readonly code = 'DAMAGED_METADATA_FILE'
  readonly path: string

  constructor(path: string, message: string) {
    super(`${message} (${path})`)
    this.path = path
  }
}

export interface MetaProperties {
  /** 22 characters of base64url as Kafka makes them, but any text is taken. */
  readonly clusterId: string
  readonly nodeId: BrokerId
  /** Id of this data folder (KIP-858); null in folders of Kafka before 3.7. */
  readonly directoryId: string | null
}

/**
 * Null where there is none. Reads version 1 (`node.id`) and version 0 (`broker.id`, from the time of ZooKeeper).
 * Rejects with `MetadataFileError`.
 */
export async function readMetaProperties(disk: Disk, dataDirectory: string): Promise<MetaProperties | null> {
  const path = `${dataDirectory}/${META_PROPERTIES}`
  const content = await readOptional(disk, path)
  if (content === null) return null
  const values = parseProperties(content.toString('utf8'))
  const version = values.get('version')
  if (version !== '0' && version !== '1') throw new MetadataFileError(path, 'its version is neither 0 nor 1')
  const nodeId = values.get('node.id') ?? values.get('broker.id')
  if (nodeId === undefined || !/^\d{1,10}$/.test(nodeId)) {
    throw new MetadataFileError(path, 'it has no valid node.id')
  }
  const clusterId = values.get('cluster.id')
  if (!clusterId) throw new MetadataFileError(path, 'it has no cluster.id')
  return { clusterId, nodeId: Number(nodeId) as BrokerId, directoryId: values.get('directory.id') ?? null }
}

export async function writeMetaProperties(
  disk: Disk,
  dataDirectory: string,
  meta: MetaProperties,
): Promise<void> {
  const lines = ['version=1', `cluster.id=${escapeProperty(meta.clusterId)}`, `node.id=${meta.nodeId}`]
  if (meta.directoryId !== null) lines.push(`directory.id=${escapeProperty(meta.directoryId)}`)
  await replaceFile(disk, `${dataDirectory}/${META_PROPERTIES}`, Buffer.from(`${lines.join('\n')}\n`, 'utf8'))
}

/** The little that these files need of Java's properties format: comments, `=` or `:`, backslash escapes. */
function parseProperties(text: string): Map<string, string> {
  const values = new Map<string, string>()
  for (const line of text.split(/\r?\n/)) {
    const match = /^\s*([^#!\s=:][^\s=:]*)\s*[=:]\s*(.*?)\s*$/.exec(line)
    if (match !== null) values.set(match[1]!, match[2]!.replace(/\\(.)/g, '$1'))
  }
  return values
}

function escapeProperty(value: string): string {
  return value.replace(/[\\:=#!]/g, '\\$&')
}

/** Null where there is none. Rejects with `MetadataFileError`. */
export async function readPartitionMetadata(disk: Disk, directory: string): Promise<TopicId | null> {
  const path = `${directory}/${PARTITION_METADATA}`
  const content = await readOptional(disk, path)
  if (content === null) return null
  const match = /^version:\s*0\s*\ntopic_id:\s*([\w-]{22})\s*$/.exec(content.toString('utf8'))
  if (match === null) throw new MetadataFileError(path, 'it is not of version 0 with a topic_id')
  return Buffer.from(match[1]!, 'base64url').toString('hex') as TopicId
}

export async function writePartitionMetadata(disk: Disk, directory: string, topicId: TopicId): Promise<void> {
  const text = `version: 0\ntopic_id: ${Buffer.from(topicId, 'hex').toString('base64url')}`
  await replaceFile(disk, `${directory}/${PARTITION_METADATA}`, Buffer.from(text, 'utf8'))
}

/**
 * Whether the last stop was clean, and under which broker epoch (-1 where the file does not say, as the empty one
 * of old Kafkas). Null: not clean, also where the file makes no sense, which costs a scan and nothing else.
 */
export async function readCleanShutdown(
  disk: Disk,
  dataDirectory: string,
): Promise<{ readonly brokerEpoch: number } | null> {
  const content = await readOptional(disk, `${dataDirectory}/${CLEAN_SHUTDOWN}`)
  if (content === null) return null
  if (content.length === 0) return { brokerEpoch: -1 }
  try {
    const value: unknown = JSON.parse(content.toString('utf8'))
    if (typeof value !== 'object' || value === null) return null
    const epoch = 'brokerEpoch' in value ? value.brokerEpoch : -1
    return typeof epoch === 'number' ? { brokerEpoch: epoch } : null
  } catch {
    return null
  }
}

export async function writeCleanShutdown(
  disk: Disk,
  dataDirectory: string,
  brokerEpoch: number,
): Promise<void> {
  const text = JSON.stringify({ version: 0, brokerEpoch })
  await replaceFile(disk, `${dataDirectory}/${CLEAN_SHUTDOWN}`, Buffer.from(text, 'utf8'))
}

/** Removes the marker durably: from now on a stop is unclean until the marker is written again. */
export async function removeCleanShutdown(disk: Disk, dataDirectory: string): Promise<void> {
  const path = `${dataDirectory}/${CLEAN_SHUTDOWN}`
  try {
    await disk.remove(path)
  } catch (error) {
    if (!(error instanceof DiskError && error.code === 'NOT_FOUND')) throw error
  }
  await disk.syncDirectory(parentOf(path))
}
