import fc from 'fast-check'
import t from 'tap'
import { MemoryDisk } from '../../../broker/env-memory/disk.ts'
import { SeededRandom } from '../../../broker/env-memory/random.ts'
import { createMemoryEnv } from '../../../broker/env-memory.ts'
import { openEmbeddedMetaStore } from '../../../broker/metastore/embedded.ts'
import { type MetaStore, type WatchEvent } from '../../../broker/metastore/metastore.ts'
import { anyTransaction, ModelStore } from './model.ts'

const ALL = { prefix: '' }

/**
 * One broker's life after another on the same disk: transactions come in bursts and alone, and each life ends in a
 * power cut at any moment that leaves of the unsynced bytes what it likes. What was answered must be there, in order,
 * and what was not answered is there wholly or not at all.
 */
class Scenario {
  readonly #random: SeededRandom
  readonly #disk = new MemoryDisk({ trackCrashes: true })
  readonly #transactions: ReturnType<typeof fc.sample<Parameters<MetaStore['txn']>[0]>>
  #model = new ModelStore()
  lives = 0
  snapshots = 0
  answered = 0

  constructor(seed: number) {
    this.#random = new SeededRandom(seed)
    this.#transactions = fc.sample(anyTransaction, { seed, numRuns: 60 })
  }

  async run(): Promise<void> {
    await this.#disk.makeDirectory('/data')
    await this.#disk.syncDirectory('/')
    for (let life = 0; life < 6; life++) await this.#live()
    const store = await this.#open()
    await store.close()
  }

  async #open(onFatal = (): void => {}): Promise<MetaStore> {
    const env = createMemoryEnv({ disk: this.#disk, seed: this.#random.int(1000) })
    return openEmbeddedMetaStore({
      env,
      dataFolder: '/data',
      snapshotBytes: 1500,
      historyRevisions: 8,
      onFatal,
    })
  }

  async #live(): Promise<void> {
    this.lives++
    const store = await this.#open()
    const { entries, revision } = await store.range(ALL)
    t.strictSame(entries, this.#model.range(ALL).entries, 'what the last life left')
    t.equal(revision, this.#model.revision)

    const seen: WatchEvent[][] = []
    let seenRevision = revision
    store.watch(ALL, revision + 1, {
      changed: batch => {
        seen.push([...batch.events])
        seenRevision = batch.revision
      },
      ended: () => {},
    })
    let answeredRevision = revision
    for (let left = this.#random.int(60); left > 0; left--) {
      const transaction = this.#transactions[this.#random.int(this.#transactions.length)]!
      const expected = this.#model.txn(transaction)
      store.txn(transaction).then(
        result => {
          t.strictSame(result, expected)
          answeredRevision = Math.max(answeredRevision, result.revision)
          this.answered++
        },
        () => {},
      )
      for (let hops = this.#random.int(3) * this.#random.int(30); hops > 0; hops--) await Promise.resolve()
    }
    const promised = Math.max(answeredRevision, seenRevision)
    this.#disk.crash({
      keep: (['none', 'random', 'all'] as const)[this.#random.int(3)]!,
      random: this.#random,
    })
    await store.close().catch(() => {})

    const kept = await this.#survived()
    t.ok(kept >= promised, `revision ${promised} was promised, ${kept} is there`)
    t.strictSame(
      seen,
      this.#model.events.slice(revision + 1, revision + 1 + seen.length),
      'watches told the truth',
    )
    this.#model.revisions.length = kept + 1
    this.#model.events.length = kept + 1
  }

  /** The revision that the crash left behind. */
  async #survived(): Promise<number> {
    const names = await this.#disk.list('/data/__sluice_metadata-0').catch(() => [])
    this.snapshots += names.filter(({ name }) => name.endsWith('.checkpoint')).length
    const store = await this.#open()
    const { entries, revision } = await store.range(ALL)
    t.strictSame(entries, this.#model.range(ALL, revision).entries, 'whole transactions, in order')
    // Sometimes the next crash follows at once.
    if (this.#random.int(2) === 0) {
      this.#disk.crash({ keep: 'none' })
      await store.close().catch(() => {})
    } else {
      await store.close().catch(() => {})
    }
    return revision
  }
}

t.test('whatever a crash leaves of the disk, no answered transaction is lost and none is torn', async t => {
  let snapshots = 0
  let answered = 0
  for (let seed = 1; seed <= 40; seed++) {
    const scenario = new Scenario(seed)
    try {
      await scenario.run()
    } catch (error) {
      t.fail(`seed ${seed}: ${(error as Error).stack}`)
      break
    }
    snapshots += scenario.snapshots
    answered += scenario.answered
  }
  t.ok(snapshots > 50, `${snapshots} snapshots were met on the way`)
  t.ok(answered > 1000, `${answered} transactions were answered`)
})
