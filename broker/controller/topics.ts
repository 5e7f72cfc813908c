/**
 * Decides what becomes of requests to make, delete and enlarge topics, by the rules and with the words of Kafka's
 * controller. Reads the image and never changes it.
 */
import { ErrorCode } from '../../client/protocol/errors.ts'
import { type TopicId } from '../../client/protocol/types.ts'
import {
  absentProblem,
  assignmentProblem,
  type Placement,
  replicationProblem,
  Spread,
} from './assignments.ts'
import { type ClusterImage, type TopicImage } from './image.ts'
import {
  type Change,
  type ControllerRecord,
  type PartitionRecord,
  type Refusal,
  refuse,
  stepsAfter,
  stepsBefore,
} from './records.ts'
import { collisionKey, isInternalTopic, topicNameProblem } from './topic-names.ts'

/** What a decision needs to know besides the image. */
export interface Surroundings extends Placement {
  readonly defaultPartitions: number
  readonly defaultReplicationFactor: number
  /** Why a topic config is refused, or null. */
  readonly configProblem: (name: string, text: string) => string | null
}

export interface TopicCommand {
  readonly name: string
  /** Fresh; used only when the topic comes to be. */
  readonly topicId: TopicId
  /** -1: the default. */
  readonly partitions: number
  readonly replicationFactor: number
  /** Empty where the client leaves the choice to us. */
  readonly assignments: readonly { readonly partition: number; readonly replicas: readonly number[] }[]
  readonly configs: readonly { readonly name: string; readonly value: string | null }[]
}

export interface NewTopic {
  readonly refusal: null
  readonly topicId: TopicId
  readonly partitionCount: number
  readonly replicationFactor: number
  readonly configs: Readonly<Record<string, string>>
  readonly change: Change
}

/** As in Kafka: one request is one batch of the metadata log there. */
export const MAX_NEW_PARTITIONS = 10_000

type Refused = { readonly refusal: Refusal }

/**
 * Decides on the topics of one request, one after the other. Names that the request itself takes are seen by those
 * behind; a name that stands in it twice is refused each time.
 */
export class TopicCreation {
  readonly #image: ClusterImage
  readonly #surroundings: Surroundings
  readonly #counts = new Map<string, number>()
  readonly #collisions: Map<string, string>
  #budget = MAX_NEW_PARTITIONS

  /** `names` are those of all commands that will be decided on. */
  constructor(image: ClusterImage, names: readonly string[], surroundings: Surroundings) {
    this.#image = image
    this.#surroundings = surroundings
    for (const name of names) this.#counts.set(name, (this.#counts.get(name) ?? 0) + 1)
    // Built for the whole batch at once: looking through all names for each new one would be quadratic.
    this.#collisions = new Map(image.topicNames().map(name => [collisionKey(name), name]))
  }

  decide(command: TopicCommand): NewTopic | Refused {
    const decision =
      this.#counts.get(command.name)! > 1
        ? { refusal: refuse(ErrorCode.INVALID_REQUEST, 'Duplicate topic name.') }
        : decideCreateTopic(this.#image, command, this.#surroundings, this.#collisions)
    if (decision.refusal !== null) return decision
    if (decision.partitionCount > this.#budget) return { refusal: tooMany() }
    this.#budget -= decision.partitionCount
    this.#collisions.set(collisionKey(command.name), command.name)
    return decision
  }
}

function tooMany(): Refusal {
  const message = `Excessively large number of partitions per request: at most ${MAX_NEW_PARTITIONS} are made at a time.`
  return refuse(ErrorCode.POLICY_VIOLATION, message)
}

/** One decision per command, in order. */
export function decideCreateTopics(
  image: ClusterImage,
  commands: readonly TopicCommand[],
  surroundings: Surroundings,
): (NewTopic | Refused)[] {
  const names = commands.map(({ name }) => name)
  const creation = new TopicCreation(image, names, surroundings)
  return commands.map(command => creation.decide(command))
}

function decideCreateTopic(
  image: ClusterImage,
  command: TopicCommand,
  surroundings: Surroundings,
  collisions: ReadonlyMap<string, string>,
): NewTopic | Refused {
  const { name, topicId } = command
  const nameProblem = topicNameProblem(name)
  if (nameProblem !== null) return { refusal: nameProblem }
  if (image.topic(name) !== undefined) {
    return { refusal: refuse(ErrorCode.TOPIC_ALREADY_EXISTS, `Topic '${name}' already exists.`) }
  }
  const other = collisions.get(collisionKey(name))
  if (other !== undefined) {
    const message = `Topic '${name}' collides with existing topic: ${other}`
    return { refusal: refuse(ErrorCode.INVALID_TOPIC_EXCEPTION, message) }
  }
  const configs = topicConfigs(command, surroundings)
  if ('refusal' in configs) return configs
  const placed =
    command.assignments.length > 0 ? placedByClient(command, surroundings) : placedByUs(command, surroundings)
  if ('refusal' in placed) return placed
  const { replicas } = placed
  const topic: ControllerRecord = {
    type: 'topic',
    topicId,
    name,
    partitionCount: replicas.length,
    configs: configs.values,
  }
  const change = {
    steps: stepsBefore(
      replicas.map((brokers, partition) => newPartition(topicId, partition, brokers, surroundings)),
      [topic, { type: 'topic-name', name, topicId }],
      [{ type: 'name-is-free', name }],
    ),
  }
  const replicationFactor = replicas[0]!.length
  return {
    refusal: null,
    topicId,
    partitionCount: replicas.length,
    replicationFactor,
    configs: configs.values,
    change,
  }
}

function topicConfigs(
  command: TopicCommand,
  surroundings: Surroundings,
): { values: Record<string, string> } | Refused {
  const values = new Map<string, string>()
  for (const { name, value } of command.configs) {
    if (value === null) {
      return {
        refusal: refuse(ErrorCode.INVALID_CONFIG, `Null value not supported for topic configs: ${name}`),
      }
    }
    const problem = surroundings.configProblem(name, value)
    if (problem !== null) return { refusal: refuse(ErrorCode.INVALID_CONFIG, problem) }
    values.set(name, value)
  }
  return { values: Object.fromEntries(values) }
}

type Placed = { readonly replicas: readonly (readonly number[])[] }

function placedByUs(command: TopicCommand, surroundings: Surroundings): Placed | Refused {
  const replicationFactor =
    command.replicationFactor === -1 ? surroundings.defaultReplicationFactor : command.replicationFactor
  const count = command.partitions === -1 ? surroundings.defaultPartitions : command.partitions
  if (count <= 0) {
    return {
      refusal: refuse(
        ErrorCode.INVALID_PARTITIONS,
        'Number of partitions was set to an invalid non-positive value.',
      ),
    }
  }
  const problem = replicationProblem(replicationFactor, surroundings)
  if (problem !== null) return { refusal: problem }
  if (count > MAX_NEW_PARTITIONS) return { refusal: tooMany() }
  // Any digits of the id will do to begin with a different broker for each topic.
  const first = Number.parseInt(command.topicId.slice(0, 6), 16)
  const spread = new Spread(surroundings, first)
  return {
    replicas: Array.from({ length: count }, (_, partition) => spread.replicas(partition, replicationFactor)),
  }
}

function placedByClient(command: TopicCommand, surroundings: Surroundings): Placed | Refused {
  const refused = (error: ErrorCode, message: string): Refused => ({ refusal: refuse(error, message) })
  if (command.replicationFactor !== -1) {
    return refused(
      ErrorCode.INVALID_REQUEST,
      'A manual partition assignment was specified, but replication factor was not set to -1.',
    )
  }
  if (command.partitions !== -1) {
    return refused(
      ErrorCode.INVALID_REQUEST,
      'A manual partition assignment was specified, but numPartitions was not set to -1.',
    )
  }
  const byPartition = new Map<number, readonly number[]>()
  const replicationFactor = command.assignments[0]!.replicas.length
  for (const { partition, replicas } of command.assignments) {
    if (byPartition.has(partition)) {
      return refused(
        ErrorCode.INVALID_REPLICA_ASSIGNMENT,
        `Found multiple manual partition assignments for partition ${partition}`,
      )
    }
    const problem =
      assignmentProblem(replicas, surroundings.brokers, replicationFactor) ??
      absentProblem(replicas, partition, surroundings)
    if (problem !== null) return { refusal: problem }
    byPartition.set(partition, replicas)
  }
  const replicas: (readonly number[])[] = []
  for (let partition = 0; partition < byPartition.size; partition++) {
    const own = byPartition.get(partition)
    if (own === undefined) {
      return refused(
        ErrorCode.INVALID_REPLICA_ASSIGNMENT,
        'partitions should be a consecutive 0-based integer sequence',
      )
    }
    replicas.push(own)
  }
  return { replicas }
}

function newPartition(
  topicId: TopicId,
  partition: number,
  replicas: readonly number[],
  { isActive = () => true }: Placement,
): ControllerRecord {
  const isr = replicas.filter(broker => isActive(broker))
  const record: PartitionRecord = {
    topicId,
    partition,
    leader: isr[0]!,
    leaderEpoch: 0,
    partitionEpoch: 0,
    replicas,
    isr,
    elr: [],
    lastKnownElr: [],
    adding: [],
    removing: [],
  }
  return { type: 'partition', ...record }
}

// ------------------------------------------------------------------------------------------ deletion

export function decideDeleteTopic(topic: TopicImage): Change {
  const { topicId, name, revision } = topic
  return {
    steps: stepsAfter(
      topic.partitions.map(({ partition }) => ({ type: 'partition-removed', topicId, partition })),
      // Without its name the topic is gone for everyone.
      [
        { type: 'topic-name-removed', name },
        { type: 'topic-removed', topicId },
      ],
      [{ type: 'topic-unchanged', topicId, revision }],
    ),
  }
}

// ------------------------------------------------------------------------------------------ more partitions

export interface MorePartitionsCommand {
  /** How many there are to be in all. */
  readonly count: number
  /** Replicas of each new partition, or null to leave the choice to us. */
  readonly assignments: readonly (readonly number[])[] | null
}

export function decideCreatePartitions(
  topic: TopicImage,
  command: MorePartitionsCommand,
  surroundings: Surroundings,
): { readonly refusal: null; readonly change: Change } | Refused {
  const current = topic.partitions.length
  const more = command.count - current
  const { topicId, name, revision } = topic
  if (isInternalTopic(name)) {
    // Kafka allows it, and from the next start on looks for them elsewhere.
    const message = `The partitions of ${name} cannot be changed: what is kept in them would not be found any more.`
    return { refusal: refuse(ErrorCode.INVALID_REQUEST, message) }
  }
  if (more === 0) {
    return { refusal: refuse(ErrorCode.INVALID_PARTITIONS, `Topic already has ${current} partition(s).`) }
  }
  if (more < 0) {
    const message = `The topic ${name} currently has ${current} partition(s); ${command.count} would not be an increase.`
    return { refusal: refuse(ErrorCode.INVALID_PARTITIONS, message) }
  }
  if (more > MAX_NEW_PARTITIONS) {
    const message = `Excessively large number of partitions per request: at most ${MAX_NEW_PARTITIONS} are made at a time.`
    return { refusal: refuse(ErrorCode.POLICY_VIOLATION, message) }
  }
  const replicationFactor = topic.partitions[0]?.replicas.length ?? surroundings.defaultReplicationFactor
  const { assignments } = command
  if (assignments !== null && assignments.length !== more) {
    const message = `Attempted to add ${more} additional partition(s), but only ${assignments.length} assignment(s) were specified.`
    return { refusal: refuse(ErrorCode.INVALID_REPLICA_ASSIGNMENT, message) }
  }
  for (const [index, replicas] of (assignments ?? []).entries()) {
    const problem =
      assignmentProblem(replicas, surroundings.brokers, replicationFactor) ??
      absentProblem(replicas, current + index, surroundings)
    if (problem !== null) return { refusal: problem }
  }
  const problem = replicationProblem(replicationFactor, surroundings)
  if (problem !== null) return { refusal: problem }
  const first = Number.parseInt(topicId.slice(0, 6), 16)
  const spread = new Spread(surroundings, first)
  const added = Array.from({ length: more }, (_, index) => {
    const partition = current + index
    const replicas = assignments?.[index] ?? spread.replicas(partition, replicationFactor)
    return newPartition(topicId, partition, replicas, surroundings)
  })
  const configs = Object.fromEntries(topic.configs)
  const grown: ControllerRecord = { type: 'topic', topicId, name, partitionCount: command.count, configs }
  return {
    refusal: null,
    change: { steps: stepsBefore(added, [grown], [{ type: 'topic-unchanged', topicId, revision }]) },
  }
}
