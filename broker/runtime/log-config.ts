/**
 * From the table of topic configs to what a partition's log wants: names of configs on one side, fields on the other.
 */
import { type TopicConfigValues } from '../config/topic-configs.ts'
import { type LogConfig } from '../log/config.ts'

export function logConfigOf(values: TopicConfigValues): LogConfig {
  return {
    cleanupPolicy: values['cleanup.policy'],
    compressionType: values['compression.type'],
    retentionMs: values['retention.ms'],
    retentionBytes: values['retention.bytes'],
    segmentBytes: values['segment.bytes'],
    segmentMs: values['segment.ms'],
    segmentJitterMs: values['segment.jitter.ms'],
    segmentIndexBytes: values['segment.index.bytes'],
    indexIntervalBytes: values['index.interval.bytes'],
    maxMessageBytes: values['max.message.bytes'],
    flushMessages: values['flush.messages'],
    flushMs: values['flush.ms'],
    flushBeforeAck: values['flush.before.ack'],
    messageTimestampType: values['message.timestamp.type'],
    messageTimestampBeforeMaxMs: values['message.timestamp.before.max.ms'],
    messageTimestampAfterMaxMs: values['message.timestamp.after.max.ms'],
    minInsyncReplicas: values['min.insync.replicas'],
    fileDeleteDelayMs: values['file.delete.delay.ms'],
    preallocate: values.preallocate,
    minCleanableDirtyRatio: values['min.cleanable.dirty.ratio'],
    minCompactionLagMs: values['min.compaction.lag.ms'],
    maxCompactionLagMs: values['max.compaction.lag.ms'],
    deleteRetentionMs: values['delete.retention.ms'],
  }
}
