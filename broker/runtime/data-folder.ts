/**
 * The broker's data folder as a whole: held by one process, of one cluster and one node, closed cleanly or not.
 */
import { type BrokerId } from '../../client/protocol/types.ts'
import { type Env } from '../env.ts'

/** The data folder cannot be used; the message says why and what to do. */
export class DataFolderError extends Error {
  override readonly name = 'DataFolderError'
  readonly code: 'DATA_FOLDER_LOCKED' | 'WRONG_CLUSTER' | 'WRONG_NODE' | 'DAMAGED_META_PROPERTIES'

  constructor(code: DataFolderError['code'], message: string, cause?: unknown) {
    super(message, { cause })
    this.code = code
  }
}

export class DataFolder {
  /** Absolute path. */
  declare readonly path: string
  /** 22 characters of base64url, as Kafka makes them. */
  declare readonly clusterId: string
  declare readonly nodeId: BrokerId
  declare readonly directoryId: string
  /** The last stop was clean: nothing needs scanning. The marker is consumed (durably) by opening. */
  declare readonly cleanShutdown: boolean

  /**
   * Makes the folder where it is missing, takes its lock, and checks or writes `meta.properties`. `clusterId` null takes
   * the folder's own, or makes a fresh one. Rejects with a `DataFolderError`.
   */
  static open(_options: {
    env: Env
    path: string
    clusterId: string | null
    nodeId: BrokerId
  }): Promise<DataFolder> {
    throw new Error('not implemented')
  }

  /** Writes the clean-shutdown marker (when `clean`) and gives the lock back. The last thing that a broker does. */
  close(_clean: boolean): Promise<void> {
    throw new Error('not implemented')
  }
}
