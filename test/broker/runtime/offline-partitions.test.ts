import t from 'tap'
import { DiskError } from '../../../broker/env.ts'
import { isOutOfOrder } from '../../../broker/runtime/offline-partitions.ts'
import { CorruptLogError } from '../../../broker/storage/types.ts'
import { AssertionError } from '../../../client/protocol/assert.ts'
import { assignment, crashDisk, DATA, files, host, produce, readAll, start } from './harness.ts'

const two = [assignment(), assignment({ partition: 1 })]

t.test('a partition that cannot be opened is offline, and all others are served', async t => {
  const disk = crashDisk()
  const life = await start({ disk, assignments: two })
  for (let count = 0; count < 4; count++) await produce(host(life), ['a'])
  await host(life).deleteRecords(3)
  await produce(host(life, 1), ['x'])
  await life.stop()

  const repaired = disk.inject({ operation: 'open', path: /orders-0\/.*\.log$/, code: 'ACCESS_DENIED' })
  const next = await start({ disk, assignments: two })
  t.match(next.env.log.of('error'), [
    { message: /offline.*Nothing of it is removed.*start the broker again/, fields: { folder: 'orders-0' } },
  ])
  t.equal(next.manager.get(assignment().topicId, 0), undefined)
  t.ok(next.manager.offline.has(assignment().topicId, 0))
  t.notOk(next.manager.offline.has(assignment().topicId, 1))
  t.same(await readAll(host(next, 1)), ['0:x'])
  await next.env.clock.advance(60_000)
  t.same(next.fatal, [])
  await next.stop()

  repaired()
  const third = await start({ disk, assignments: two })
  t.equal(third.folder.cleanShutdown, false, 'whether it was recovered is not known')
  t.same(await readAll(host(third)), ['3:a'], 'and what was deleted does not come back')
  t.same(third.env.log.of('error'), [])
  await third.stop()
})

t.test('so is one whose folder does not say whose it is', async t => {
  const disk = crashDisk()
  const life = await start({ disk, assignments: two })
  await produce(host(life), ['kept'])
  await life.stop()
  const path = `${DATA}/orders-0/partition.metadata`
  const file = await disk.open(path, 'write')
  await file.truncate(5)
  await file.close()
  const next = await start({ disk, assignments: two })
  t.match(next.env.log.of('error'), [
    { fields: { folder: 'orders-0', error: { message: /Restore the file .* or remove it/ } } },
  ])
  await next.stop()
  await disk.remove(path)
  const third = await start({ disk, assignments: two })
  t.same(await readAll(host(third)), ['0:kept'])
  await third.stop()
})

t.test('where none can be opened the broker does not start: it is the disk that fails', async t => {
  const disk = crashDisk()
  const life = await start({ disk, assignments: two })
  await produce(host(life), ['kept'])
  await life.stop()
  const repaired = disk.inject({ operation: 'list', path: /orders/, code: 'IO_ERROR' })
  await t.rejects(start({ disk, assignments: two }), { code: 'IO_ERROR' })
  repaired()
  disk.crash({ keep: 'all' })
  const next = await start({ disk, assignments: two })
  t.same(await readAll(host(next)), ['0:kept'])
  await next.stop()
})

t.test('a bug is no partition that is out of order', t => {
  t.ok(isOutOfOrder(new DiskError('IO_ERROR', '/data', 'the disk does not read')))
  t.ok(isOutOfOrder(new CorruptLogError('/data', 0, 'the log is damaged')))
  t.notOk(isOutOfOrder(new AssertionError('a bug')))
  t.notOk(isOutOfOrder(new TypeError('a bug')))
  t.end()
})

t.test('one that is offline can be deleted with its topic, and made anew', async t => {
  const disk = crashDisk()
  const life = await start({ disk, assignments: two })
  await produce(host(life), ['a', 'b'])
  await host(life).deleteRecords(1)
  await life.stop()
  const repaired = disk.inject({ operation: 'open', path: /orders-0\/.*\.log$/, code: 'IO_ERROR' })
  const next = await start({ disk, assignments: two })
  await next.manager.delete(assignment().topicId, 0)
  t.notOk(next.manager.offline.has(assignment().topicId, 0))
  t.same(await files(next, DATA, /orders-0/), [])
  repaired()
  t.same(await readAll(await next.manager.create(assignment())), [])
  await produce(host(next), ['new'])
  disk.crash({ keep: 'none' })
  const third = await start({ disk, assignments: two })
  t.same(await readAll(host(third)), ['0:new'])
  await third.stop()
})

t.test('a folder that nobody knows and that cannot be read is told of, and stays', async t => {
  const disk = crashDisk()
  const life = await start({ disk, assignments: two })
  await life.stop()
  await disk.makeDirectory(`${DATA}/ghost-3`)
  disk.inject({ operation: 'read', path: /ghost-3/, code: 'ACCESS_DENIED' })
  const next = await start({ disk, assignments: two })
  t.same(await files(next, DATA, /ghost/), ['ghost-3'])
  t.match(next.env.log.of('error'), [{ message: /cannot be read, and stays/ }])
  await next.stop()
})
