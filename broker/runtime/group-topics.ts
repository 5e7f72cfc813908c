/**
 * The topics as the group coordinator sees them: a view of the cluster's image, with a version that tells when anything
 * in it may have changed.
 */
import { type TopicId } from '../../client/protocol/types.ts'
import { type ClusterImage, type TopicImage } from '../controller/image.ts'
import { type TopicInfo, type TopicsView } from '../group/config.ts'

export class GroupTopics implements TopicsView {
  readonly #image: ClusterImage
  readonly #rackOf: (broker: number) => string | null
  /** An image of a topic is never changed, only replaced. */
  readonly #infos = new WeakMap<TopicImage, TopicInfo>()
  #version = 1

  /** `rackOf` tells where a broker stands, null where that is not known; it always tells the same. */
  constructor(image: ClusterImage, rackOf: (broker: number) => string | null) {
    this.#image = image
    this.#rackOf = rackOf
  }

  get version(): number {
    return this.#version
  }

  /** To be called whenever any topic has changed. */
  changed(): void {
    this.#version += 1
  }

  byName(name: string): TopicInfo | undefined {
    return this.#infoOf(this.#image.topic(name))
  }

  byId(topicId: TopicId): TopicInfo | undefined {
    return this.#infoOf(this.#image.topicById(topicId))
  }

  names(): Iterable<string> {
    return this.#image.topicNames()
  }

  #infoOf(topic: TopicImage | undefined): TopicInfo | undefined {
    if (topic === undefined) return undefined
    let info = this.#infos.get(topic)
    if (info === undefined) this.#infos.set(topic, (info = this.#describe(topic)))
    return info
  }

  #describe({ topicId, name, partitions }: TopicImage): TopicInfo {
    const racks = partitions.map(({ replicas }) => {
      const known = replicas.map(broker => this.#rackOf(broker)).filter(rack => rack !== null)
      return [...new Set(known)]
    })
    const partitionCount = partitions.length
    return { topicId, name, partitionCount, racks: racks.some(known => known.length > 0) ? racks : null }
  }
}
