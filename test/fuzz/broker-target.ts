/**
 * A whole broker over a network and a disk in memory: hostile peers on some connections, a healthy client on another.
 * The broker must serve the healthy one through all of it, answer what can be answered in a form that can be read, stop
 * in good order, and find everything again at its next start.
 */
import { type Chance } from './chance.ts'
import { expectationOf, type Input, makeInput } from './requests.ts'
import { demand, type Probe, type Target, Violation } from './target.ts'
import { type Vocabulary } from './values.ts'
import { anySplit, HEALTHY, HostilePeer, World } from './world.ts'

const TOPICS = { alpha: 2, beta: 1 }
const INPUTS = 120
const PEERS = 6
const CHECK_EVERY = 24

export const brokerTarget: Target = {
  name: 'broker',
  share: 4,
  run: async (chance, probe) => {
    probe.pause()
    const world = await World.start({
      seed: chance.int(1 << 30),
      split: anySplit(chance.fork()),
      settings: chance.once(3) ? { 'auto.create.topics.enable': false } : {},
    })
    await world.createTopics(TOPICS)
    const words = await world.words(Object.keys(TOPICS))
    const served = await world.served()
    await new Siege(world, words, served, chance, probe).run()
    await demandSurvival(world)
  },
}

class Siege {
  readonly #world: World
  readonly #words: Vocabulary
  readonly #served: ReadonlySet<number>
  readonly #chance: Chance
  readonly #probe: Probe
  readonly #peers = new Map<number, HostilePeer>()

  constructor(world: World, words: Vocabulary, served: ReadonlySet<number>, chance: Chance, probe: Probe) {
    this.#world = world
    this.#words = words
    this.#served = served
    this.#chance = chance
    this.#probe = probe
  }

  async run(): Promise<void> {
    const { env } = this.#world
    for (let number = 1; number <= INPUTS; number++) {
      const input = makeInput(this.#chance, this.#words, number)
      const peer = await this.#peer()
      this.#probe.input(input.bytes, input.note)
      this.#send(peer, input)
      await env.clock.settle()
      this.#probe.pause()
      this.#world.demandAlive()
      this.#misbehave(peer)
      if (this.#chance.once(4)) await env.clock.advance(this.#chance.pick([1, 1, 10, 1000]))
      for (const { violation } of this.#peers.values()) if (violation !== null) throw new Violation(violation)
      if (number % CHECK_EVERY === 0) await this.#world.demandHealthy()
    }
    for (const peer of this.#peers.values()) peer.destroy()
  }

  async #peer(): Promise<HostilePeer> {
    const slot = this.#chance.int(PEERS)
    const known = this.#peers.get(slot)
    if (known !== undefined && !known.isClosed) return known
    const { env, broker } = this.#world
    const peer = new HostilePeer(await env.network.connect(broker.address, 1000))
    this.#peers.set(slot, peer)
    return peer
  }

  #send(peer: HostilePeer, { bytes, framed }: Input): void {
    if (this.#chance.once(30)) peer.send(bytes.subarray(0, this.#chance.int(bytes.length)), null)
    else peer.send(bytes, framed ? expectationOf(bytes.subarray(4), this.#served) : null)
  }

  #misbehave(peer: HostilePeer): void {
    const draw = this.#chance.int(60)
    if (draw === 0) peer.destroy()
    else if (draw === 1) peer.end()
    else if (draw < 4) peer.pause()
  }
}

/** What came through must be there after a stop and a start. */
async function demandSurvival(world: World): Promise<void> {
  await world.env.clock.advance(1000)
  await world.demandHealthy()
  const names = world.broker.topicNames
  await world.stop()
  const [fatal] = world.fatals
  if (fatal !== undefined) throw fatal
  const next = await World.start({ seed: 1, disk: world.env.disk })
  demand(next.broker.topicNames.join() === names.join(), 'after a restart there are other topics')
  const values = await next.valuesOf(HEALTHY, 0)
  demand(values.join() === world.promised.join(), `after a restart the healthy topic holds ${values.join()}`)
  next.promised.push(...world.promised)
  await next.demandHealthy()
  await next.stop()
}
