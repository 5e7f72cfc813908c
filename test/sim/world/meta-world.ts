/**
 * A simulated store and nothing else, on a virtual time of its own: for tests of the store itself. It holds no broker.
 */
import { SeededRandom } from '../../../broker/env-memory/random.ts'
import { MetaServer } from './meta-server.ts'
import { SimMetaStore } from './meta-store.ts'
import { SimNetwork } from './network.ts'
import { SimProcess } from './process.ts'
import { Scheduler } from './scheduler.ts'

export class MetaStoreWorld {
  readonly scheduler = new Scheduler()
  readonly network: SimNetwork
  readonly server: MetaServer
  #hosts = 0

  constructor(seed: number) {
    const { scheduler } = this
    const random = new SeededRandom(seed)
    this.network = new SimNetwork({
      scheduler,
      random: random.fork(),
      pace: { delayMs: 0.2, jitterMs: 1, bytesPerMs: 10_000 },
      windowBytes: 65_536,
      splits: false,
    })
    this.server = new MetaServer({
      scheduler,
      network: this.network,
      random: random.fork(),
      host: '10.0.1.1',
      commitMs: 1,
      compactEveryMs: Infinity,
    })
  }

  process(name: string): SimProcess {
    const host = `10.0.0.${++this.#hosts}`
    const skew = { offsetMs: 0, rate: 1 }
    return new SimProcess({ name, host, scheduler: this.scheduler, skew, turnMs: 0.1 })
  }

  store(process: SimProcess): SimMetaStore {
    return new SimMetaStore(this.server, process)
  }

  /** Lets virtual time pass in real time's idle moments, until the returned function is called. */
  keepGoing(): () => void {
    let goesOn = true
    const turn = (): void => {
      if (!goesOn) return
      this.scheduler.run(this.scheduler.nowMs + 10)
      setImmediate(turn)
    }
    setImmediate(turn)
    return () => {
      goesOn = false
    }
  }

  /** Resolves after `ms` of virtual time. */
  async pass(ms: number): Promise<void> {
    await new Promise<void>(resolve => {
      setImmediate(() => {
        this.scheduler.run(this.scheduler.nowMs + ms)
        resolve()
      })
    })
  }
}
