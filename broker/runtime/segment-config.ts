/** The part of a topic's config that concerns its files, in the words of the storage. */
import { type LogConfig } from '../log/config.ts'
import { type SegmentConfig } from '../storage/types.ts'

export function segmentConfigOf(config: LogConfig): SegmentConfig {
  return {
    segmentBytes: config.segmentBytes,
    indexBytes: config.segmentIndexBytes,
    indexIntervalBytes: config.indexIntervalBytes,
    preallocate: config.preallocate,
  }
}
