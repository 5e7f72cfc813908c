import t from 'tap'
import { type DumpItem, dumpFile } from '../../../broker/storage/dump.ts'
import { at, batch, CONFIG, DIRECTORY, world } from './helpers.ts'

async function collect(items: AsyncIterable<DumpItem>): Promise<DumpItem[]> {
  const all: DumpItem[] = []
  for await (const item of items) all.push(item)
  return all
}

t.test('a dump shows every batch and entry, and finds what does not fit', async t => {
  const { disk, open } = world()
  const { log } = await open({ config: { ...CONFIG, indexIntervalBytes: 100 } })
  for (let i = 0; i < 600; i++) log.append(batch(i, 1, 20))
  await log.writePending()
  await log.writeSnapshot({ offset: at(600), entries: [] })
  await log.close(true)
  const base = `${DIRECTORY}/00000000000000000000`

  const batches = await collect(dumpFile(disk, `${base}.log`, { withBytes: true }))
  t.equal(batches.length, 600)
  t.match(batches[599], { kind: 'batch', header: { baseOffset: 599 }, bytes: batch(599, 1, 20).bytes })
  for (const name of [`${base}.index`, `${base}.timeindex`]) {
    const entries = await collect(dumpFile(disk, name))
    t.ok(entries.length > 200)
    t.same(
      entries.filter(item => item.kind === 'problem'),
      [],
    )
  }
  t.same(await collect(dumpFile(disk, `${DIRECTORY}/00000000000000000600.snapshot`)), [])

  disk.damage(`${base}.index`, 15)
  const problems = (await collect(dumpFile(disk, `${base}.index`))).filter(item => item.kind === 'problem')
  t.ok(problems.length > 0)
  disk.damage(`${base}.log`, 80)
  const damaged = await collect(dumpFile(disk, `${base}.log`))
  t.match(damaged, [{ kind: 'problem', position: 0, message: /middle is damaged/ }])
})

t.test('room that holds no data is told from damage', async t => {
  const { disk, open } = world()
  const { log } = await open({ config: { ...CONFIG, preallocate: true } })
  log.append(batch(0))
  await log.writePending()
  const items = await collect(dumpFile(disk, `${DIRECTORY}/00000000000000000000.log`))
  t.match(items, [{ kind: 'batch' }, { kind: 'unused', bytes: CONFIG.segmentBytes - batch(0).bytes.length }])
})
