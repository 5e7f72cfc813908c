/**
 * Where this broker answers otherwise than Apache Kafka 4.1, on purpose. Each entry is held against the brokers like
 * everything else: one that no longer differs has to go.
 */

export interface KnownDifference {
  readonly scenario: string
  /** Of the lines of that scenario. */
  readonly what: RegExp
  readonly why: string
}

const ACCIDENT = 'Kafka fails with UNKNOWN_SERVER_ERROR, an exception that nobody thought of'

export const KNOWN_DIFFERENCES: readonly KnownDifference[] = [
  // Produce
  { scenario: 'produce: requests', what: /: null records$/, why: 'Kafka never answers' },
  {
    scenario: 'produce: requests',
    what: /: no partitions$/,
    why: 'Kafka leaves out topics of which nothing was asked',
  },
  {
    scenario: 'produce: batches',
    what: /: (cut short|shorter than a header|a length beyond the bytes)$/,
    why: 'Kafka refuses it before it asks the log where that starts',
  },
  {
    scenario: 'produce: batches',
    what: /: a batch and a few more bytes$/,
    why: 'Kafka drops the bytes in silence',
  },
  {
    scenario: 'produce: batches',
    what: /: (unused attribute bits|a delete horizon|log append time)$/,
    why: 'Kafka stores what it has no meaning for, and readers then misread the timestamps',
  },
  {
    scenario: 'produce: batches',
    what: /: a producer id and a negative epoch$/,
    why: 'Kafka stores it with a state for which no next batch fits',
  },
  { scenario: 'produce: batches', what: /: codec [567]$/, why: ACCIDENT },
  {
    scenario: 'produce: batches',
    what: /: an hour and more ahead$/,
    why: 'Kafka names the record; here records are not looked at, and the message names the timestamp',
  },
  { scenario: 'produce: configs of the topic', what: /: shifted by /, why: 'as above' },
  {
    scenario: 'produce: idempotence',
    what: / again$/,
    why: 'Kafka answers a duplicate with the time of its records as if it were that of the append',
  },
  {
    scenario: 'produce: idempotence',
    what: /two batches of one producer/,
    why: 'Kafka keeps only the last of two batches for one partition; here each is appended and answered',
  },
  { scenario: 'produce: batches', what: /: a transactional batch$/, why: 'transactions are not served yet' },
  { scenario: 'produce: transactional', what: /./, why: 'transactions are not served yet' },
  // Fetch and offsets
  { scenario: 'fetch: positions', what: /: an isolation level of 2$/, why: ACCIDENT },
  { scenario: 'fetch: positions', what: /: negative bytes$/, why: ACCIDENT },
  { scenario: 'offsets: by time', what: /: isolation 3$/, why: ACCIDENT },
  {
    scenario: 'offsets: deleted records',
    what: /: of nothing, -3$/,
    why: 'Kafka tells the largest timestamp of records that were deleted',
  },
  {
    scenario: 'offsets: leader epochs',
    what: /partition [01], epoch -2$/,
    why: 'Kafka knows of an epoch -2 and its end',
  },
  {
    scenario: 'offsets: producers described',
    what: /: a partition twice$/,
    why: 'Kafka describes it as often as it is named: a small request would buy an answer of gigabytes',
  },
  // Topics
  {
    scenario: 'topics: metadata',
    what: /Metadata v1[01]: .*(\bid\b|neither)/,
    why: 'Kafka fails the whole request, brokers included; here each topic is told for itself',
  },
  {
    scenario: 'topics: metadata',
    what: /: (neither|by id and by name)$/,
    why: 'Kafka fails on no name at all, and forgets the names where there are ids',
  },
  { scenario: 'topics: described by partition', what: /: empty$/, why: ACCIDENT },
  {
    scenario: 'topics: deleted',
    what: /: the same by name and by id$/,
    why: 'Kafka answers with both, here with what was asked last',
  },
  // Configs
  {
    scenario: 'configs: described',
    what: /: a topic twice$/,
    why: 'Kafka describes it as often as it is named: a small request would buy an answer of gigabytes',
  },
  {
    scenario: 'configs: altered incrementally',
    what: /: broker 1, unknown$/,
    why: 'Kafka stores what it does not know; here a slip of the pen is told',
  },
  { scenario: 'configs: replaced', what: /: a resource twice$/, why: 'Kafka never answers' },

  // Groups
  {
    scenario: 'groups: coordinators',
    what: /^FindCoordinator v[123]: (a|the empty) group$/,
    why: 'Kafka has a message, NONE, where there is nothing to say',
  },
]
