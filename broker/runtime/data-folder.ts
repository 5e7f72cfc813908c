/**
 * The broker's data folder as a whole: held by one process, of one cluster and one node, closed cleanly or not. It is
 * opened before anything in it and closed after all of it.
 */
import { assert } from '../../client/protocol/assert.ts'
import { type BrokerId } from '../../client/protocol/types.ts'
import { type Disk, DiskError, type Env } from '../env.ts'
import { parentOf } from '../storage/checkpoints.ts'
import {
  MetadataFileError,
  type MetaProperties,
  readCleanShutdown,
  readMetaProperties,
  removeCleanShutdown,
  writeCleanShutdown,
  writeMetaProperties,
} from '../storage/metadata-files.ts'
import { freshId } from './fresh-ids.ts'

/** The data folder cannot be used; the message says why and what to do. */
export class DataFolderError extends Error {
  override readonly name = 'DataFolderError'
  readonly code:
    | 'DATA_FOLDER_LOCKED'
    | 'WRONG_CLUSTER'
    | 'WRONG_NODE'
    | 'DAMAGED_META_PROPERTIES'
    | 'DAMAGED_PARTITION_METADATA'

  constructor(code: DataFolderError['code'], message: string, cause?: unknown) {
    super(message, { cause })
    this.code = code
  }
}

export interface DataFolderOptions {
  readonly env: Env
  /** Absolute path. */
  readonly path: string
  /** Null takes the folder's own, or makes a fresh one. */
  readonly clusterId: string | null
  readonly nodeId: BrokerId
}

export class DataFolder {
  /** Absolute path. */
  readonly path: string
  /** 22 characters of base64url, as Kafka makes them. */
  readonly clusterId: string
  readonly nodeId: BrokerId
  readonly directoryId: string
  /** The last stop was clean: nothing needs scanning. The marker is consumed (durably) by opening. */
  readonly cleanShutdown: boolean
  /** The broker epoch that the last stop was clean under (KIP-966); -1: it was not, or outside of a cluster. */
  readonly cleanEpoch: number
  readonly #env: Env
  readonly #unlock: () => Promise<void>
  #mayMarkClean = true
  #closed = false

  private constructor(
    options: DataFolderOptions,
    meta: MetaProperties,
    directoryId: string,
    cleanEpoch: number | null,
    unlock: () => Promise<void>,
  ) {
    this.path = options.path
    this.clusterId = meta.clusterId
    this.nodeId = meta.nodeId
    this.directoryId = directoryId
    this.cleanShutdown = cleanEpoch !== null
    this.cleanEpoch = cleanEpoch ?? -1
    this.#env = options.env
    this.#unlock = unlock
  }

  /**
   * Makes the folder where it is missing, takes its lock, and checks or writes `meta.properties`. Rejects with a
   * `DataFolderError`, or with a `DiskError`.
   */
  static async open(options: DataFolderOptions): Promise<DataFolder> {
    const { disk } = options.env
    await makeDurably(disk, options.path)
    const unlock = await lock(options)
    try {
      const known = await readMeta(options)
      if (known !== null) check(options, known)
      const directoryId = known?.directoryId ?? freshId(options.env.random)
      const clusterId = known?.clusterId ?? options.clusterId ?? freshId(options.env.random)
      const meta = { clusterId, nodeId: options.nodeId, directoryId }
      if (known === null || known.directoryId === null) await writeMetaProperties(disk, options.path, meta)
      const clean = await readCleanShutdown(disk, options.path)
      if (clean !== null) await removeCleanShutdown(disk, options.path)
      return new DataFolder(options, meta, directoryId, clean?.brokerEpoch ?? null, unlock)
    } catch (error) {
      await unlock()
      throw error
    }
  }

  /** Something could not be closed as it should: the next start has to look at everything. */
  markUnclean(): void {
    this.#mayMarkClean = false
  }

  /**
   * Writes the clean-shutdown marker (when `clean` and nobody has objected) and gives the lock back. The last thing that
   * a broker does with its folder. `brokerEpoch`: of the registration that it served under, -1 outside of a cluster.
   */
  async close(clean: boolean, brokerEpoch = -1): Promise<void> {
    assert(!this.#closed, 'a data folder is closed once')
    this.#closed = true
    try {
      if (clean && this.#mayMarkClean) await writeCleanShutdown(this.#env.disk, this.path, brokerEpoch)
    } finally {
      await this.#unlock()
    }
  }
}

/** Also the names of the folders are on disk when it resolves: else a power cut could take all that is in them. */
async function makeDurably(disk: Disk, path: string): Promise<void> {
  const made: string[] = []
  for (let at = path; at !== '/' && !(await exists(disk, at)); at = parentOf(at)) made.push(at)
  await disk.makeDirectory(path)
  for (const folder of made) await disk.syncDirectory(parentOf(folder))
}

async function exists(disk: Disk, path: string): Promise<boolean> {
  try {
    await disk.list(path)
    return true
  } catch (error) {
    if (error instanceof DiskError && error.code === 'NOT_FOUND') return false
    throw error
  }
}

async function lock(options: DataFolderOptions): Promise<() => Promise<void>> {
  try {
    return await options.env.disk.lock(options.path)
  } catch (error) {
    if (!(error instanceof DiskError) || error.code !== 'LOCKED') throw error
    throw new DataFolderError(
      'DATA_FOLDER_LOCKED',
      `The data folder is in use: ${error.message}. ` +
        'Two brokers on one folder would destroy it: stop the other one, or give this one its own folder.',
      error,
    )
  }
}

async function readMeta(options: DataFolderOptions): Promise<MetaProperties | null> {
  try {
    return await readMetaProperties(options.env.disk, options.path)
  } catch (error) {
    if (!(error instanceof MetadataFileError)) throw error
    throw new DataFolderError(
      'DAMAGED_META_PROPERTIES',
      `The data folder does not say whose it is: ${error.message}. ` +
        'Restore meta.properties from another copy, or correct it by hand (version=1, cluster.id=..., node.id=...).',
      error,
    )
  }
}

function check(options: DataFolderOptions, known: MetaProperties): void {
  if (options.clusterId !== null && known.clusterId !== options.clusterId) {
    throw new DataFolderError(
      'WRONG_CLUSTER',
      `The data folder ${options.path} belongs to cluster ${known.clusterId}, this broker to ${options.clusterId}. ` +
        'Give the broker the folder of its own cluster, or an empty one.',
    )
  }
  if (known.nodeId !== options.nodeId) {
    throw new DataFolderError(
      'WRONG_NODE',
      `The data folder ${options.path} belongs to broker ${known.nodeId}, this is broker ${options.nodeId}. ` +
        `Start with broker id ${known.nodeId}, or give broker ${options.nodeId} a folder of its own.`,
    )
  }
}
