/**
 * Every `diagnostics_channel` of the client, by name. A message costs nothing while nobody listens: callers ask
 * `hasSubscribers` first. Messages are plain objects; new fields may be added to them.
 */
import { type Channel, channel } from 'node:diagnostics_channel'

/** A connection was opened: { broker, lane, durationMs }. */
export const connectionOpened: Channel = channel('sluice:client:connection:opened')
/** A connection ended: { broker, lane, error }. */
export const connectionClosed: Channel = channel('sluice:client:connection:closed')
/** A request was answered, or failed: { broker, api, version, durationMs, error }. */
export const requestDone: Channel = channel('sluice:client:request')
/** Metadata came in: { brokers, topics }. */
export const metadataUpdated: Channel = channel('sluice:client:metadata')
/** The fate of a batch was decided: { topic, partition, count, bytes, attempts, baseOffset, error }. */
export const batchSettled: Channel = channel('sluice:producer:batch')
/** A fetch was answered: { broker, partitions, bytes, durationMs }. */
export const fetchDone: Channel = channel('sluice:consumer:fetch')
