/**
 * Data folders to maul: real ones, that a broker in memory has written and closed, or left as a kill leaves them.
 */
import { MemoryDisk } from '../../broker/env-memory/disk.ts'
import { API } from '../../client/protocol/apis.ts'
import { encodeBatch } from '../../client/protocol/record.ts'
import { type ProducerEpoch, type ProducerId } from '../../client/protocol/types.ts'
import { Chance } from './chance.ts'
import { World } from './world.ts'

export const DATA = '/data'

/** Content by path. */
export type Files = Map<string, Buffer>

export interface DataFolder {
  readonly files: ReadonlyMap<string, Buffer>
  readonly isClean: boolean
}

const BASES = 6
const bases = new Map<number, DataFolder>()

/** One of a few folders, made when first wanted. */
export async function anyFolder(chance: Chance): Promise<DataFolder> {
  const number = chance.int(BASES)
  let base = bases.get(number)
  if (base === undefined) {
    base = await makeFolder(number)
    bases.set(number, base)
  }
  return base
}

async function makeFolder(number: number): Promise<DataFolder> {
  const chance = Chance.of(7, 'folder', number)
  const isClean = number % 2 === 0
  const world = await World.start({ seed: number, settings: { 'log.index.interval.bytes': 200 } })
  await world.createTopics({ alpha: 2, beta: 1, gone: 1 })
  const { healthy } = world
  await healthy.request(API.IncrementalAlterConfigs, 1, {
    validateOnly: false,
    resources: ['alpha', 'beta'].map(resourceName => ({
      resourceType: 2,
      resourceName,
      configs: [{ name: 'segment.bytes', configOperation: 0, value: '2000' }],
    })),
  })
  for (let round = 0; round < 60; round++) {
    const [name, index] = chance.pick([['alpha', 0] as const, ['alpha', 1] as const, ['beta', 0] as const])
    const records = someBatch(chance, round, name === 'beta' ? 7n : null)
    await healthy.request(API.Produce, 9, {
      acks: -1,
      timeoutMs: 1000,
      topicData: [{ name, partitionData: [{ index, records }] }],
    })
    // The clock goes on, so that indexes of time have something to say.
    await world.env.clock.advance(chance.int(200))
  }
  await healthy.request(API.DeleteTopics, 5, { topicNames: ['gone'], timeoutMs: 1000 })
  await healthy.request(API.DeleteRecords, 2, {
    timeoutMs: 1000,
    topics: [{ name: 'alpha', partitions: [{ partitionIndex: 0, offset: 3 }] }],
  })
  await world.demandHealthy()
  // Checkpoints are written now and then.
  await world.env.clock.advance(70_000)
  for (let round = 0; round < 5; round++) await world.demandHealthy()
  if (isClean) await world.stop()
  const files: Files = new Map()
  await readAll(world.env.disk, DATA, files)
  if (!isClean) await world.stop()
  return { files, isClean }
}

let sequence = 0

function someBatch(chance: Chance, round: number, producerId: bigint | null): Buffer {
  if (round === 0) sequence = 0
  const records = Array.from({ length: chance.between(1, 5) }, (_, i) => ({
    key: `key ${round}`,
    value: `value ${round}.${i} ${'x'.repeat(chance.int(80))}`,
    timestamp: 1_700_000_000_000 + round * 100,
  }))
  const codec = chance.pick(['none', 'none', 'gzip', 'lz4'] as const)
  if (producerId === null) return encodeBatch(records, { codec })
  const baseSequence = sequence
  sequence += records.length
  const producer = { producerId: producerId as ProducerId, producerEpoch: 0 as ProducerEpoch, baseSequence }
  return encodeBatch(records, { codec, ...producer })
}

async function readAll(disk: MemoryDisk, folder: string, into: Files): Promise<void> {
  for (const { name, kind } of await disk.list(folder)) {
    const path = `${folder}/${name}`
    if (kind === 'directory') await readAll(disk, path, into)
    else into.set(path, Buffer.from(await disk.readFile(path)))
  }
}

export async function diskOf(
  files: ReadonlyMap<string, Buffer>,
  folders: readonly string[],
): Promise<MemoryDisk> {
  const disk = new MemoryDisk()
  await disk.makeDirectory(DATA)
  for (const folder of folders) await disk.makeDirectory(folder)
  for (const [path, content] of files) {
    await disk.makeDirectory(path.slice(0, path.lastIndexOf('/')))
    const file = await disk.open(path, 'create')
    await file.write([content], 0)
    await file.close()
  }
  return disk
}
