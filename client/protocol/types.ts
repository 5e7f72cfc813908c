/**
 * The named numbers and ids of the field. A brand costs nothing at run time and keeps an offset from being
 * passed where an epoch is wanted.
 *
 * Offsets and timestamps are `number`: 2^53 is enough, and the decoder refuses what lies outside. Opaque
 * 64-bit ids (producer ids) are `bigint`, because nobody may do arithmetic on them.
 */
declare const brand: unique symbol
type Brand<T, Name extends string> = T & { readonly [brand]: Name }

/** Position of a record in a partition: 0 .. 2^53-1. */
export type Offset = Brand<number, 'Offset'>
/** Term of a partition's leadership: 0 .. 2^31-1, or -1 where none is known. */
export type LeaderEpoch = Brand<number, 'LeaderEpoch'>
/** Version of a partition's registration (leader, ISR): 0 .. 2^31-1. */
export type PartitionEpoch = Brand<number, 'PartitionEpoch'>
/** Id of a broker: 0 .. 2^31-1, or -1 for a client. */
export type BrokerId = Brand<number, 'BrokerId'>
/** Opaque id of an idempotent producer, or -1n for none. */
export type ProducerId = Brand<bigint, 'ProducerId'>
/** Generation of a producer id: 0 .. 32767, or -1 for none. */
export type ProducerEpoch = Brand<number, 'ProducerEpoch'>
/** A topic's UUID as 32 lower-case hexadecimal digits, without dashes: the form that compares and hashes cheaply. */
export type TopicId = Brand<string, 'TopicId'>

export const NO_LEADER_EPOCH = -1 as LeaderEpoch
export const NO_PRODUCER_ID = -1n as ProducerId
export const NO_PRODUCER_EPOCH = -1 as ProducerEpoch
/** The UUID of all zeros: "no topic id" on the wire. */
export const ZERO_TOPIC_ID = '00000000000000000000000000000000' as TopicId
