import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { createNodeDisk } from '../../../broker/env-node/disk.ts'
import { until } from '../../helpers/until.ts'

const disk = createNodeDisk()

t.test('files', async t => {
  const folder = t.testdir()
  const path = join(folder, 'f')
  await t.rejects(disk.open(path, 'read'), { name: 'DiskError', code: 'NOT_FOUND', path })
  const file = await disk.open(path, 'create-new')
  await t.rejects(disk.open(path, 'create-new'), { code: 'ALREADY_EXISTS' })
  await file.write([Buffer.from('hello '), Buffer.from('world')], 0)
  file.writeSync([Buffer.from('W'), Buffer.from('O')], 6)
  const into = Buffer.alloc(20)
  t.equal(await file.read(into, 0), 11)
  t.equal(into.toString('utf8', 0, 11), 'hello WOrld')
  t.equal(file.readSync(into.subarray(0, 2), 6), 2)
  await file.sync()
  await file.truncate(5)
  t.equal(await file.size(), 5)
  await file.allocate(600_000)
  t.equal(await file.size(), 600_000)
  t.equal(
    (await disk.readFile(path)).subarray(5).every(byte => byte === 0),
    true,
  )
  await file.close()
  await t.rejects(file.size(), { code: 'IO_ERROR' })
  t.throws(() => file.readSync(into, 0), { code: 'IO_ERROR' })
})

t.test('more slices than the system takes at once', async t => {
  const path = join(t.testdir(), 'f')
  const chunks = Array.from({ length: 5000 }, (_, i) => Buffer.from(`${i},`))
  const whole = Buffer.concat(chunks)
  const file = await disk.open(path, 'create')
  await file.write(chunks, 0)
  t.same(await disk.readFile(path), whole)
  file.writeSync(chunks, whole.length)
  t.same((await disk.readFile(path)).subarray(whole.length), whole)
  await file.close()
})

t.test('close waits for what is under way', async t => {
  const file = await disk.open(join(t.testdir(), 'f'), 'create')
  const writing = file.write([Buffer.alloc(4_000_000)], 0)
  const syncing = file.sync()
  await file.close()
  await writing
  await syncing
})

t.test('folders and names', async t => {
  const folder = t.testdir({ b: 'bb', a: 'a', sub: {} })
  t.same(await disk.list(folder), [
    { name: 'a', kind: 'file' },
    { name: 'b', kind: 'file' },
    { name: 'sub', kind: 'directory' },
  ])
  await t.rejects(disk.list(join(folder, 'none')), { code: 'NOT_FOUND' })
  t.equal(await disk.size(join(folder, 'b')), 2)
  t.equal(await disk.size(join(folder, 'none')), null)
  await disk.makeDirectory(join(folder, 'x', 'y'))
  await disk.makeDirectory(join(folder, 'x', 'y'))
  await disk.rename(join(folder, 'a'), join(folder, 'b'))
  t.equal((await disk.readFile(join(folder, 'b'))).toString(), 'a')
  await disk.syncDirectory(folder)
  await t.rejects(disk.remove(join(folder, 'a')), { code: 'NOT_FOUND' })
  await disk.remove(join(folder, 'b'))
  await disk.removeTree(join(folder, 'x'))
  await disk.removeTree(join(folder, 'x'))
  t.same(await disk.list(folder), [{ name: 'sub', kind: 'directory' }])
  const space = await disk.space(folder)
  t.ok(space.freeBytes > 0 && space.totalBytes >= space.freeBytes)
})

t.test('a lock counts no longer when its holder was killed and nobody has looked at it yet', async t => {
  if (!existsSync('/proc/self/stat')) {
    t.pass('only Linux tells')
    return
  }
  const folder = t.testdir()
  // Who is stopped cannot ask how its child has ended.
  const parent = spawn('sh', ['-c', 'sleep 600 & echo $!; wait'])
  t.teardown(() => parent.kill('SIGKILL'))
  const pid = Number((await once(parent.stdout, 'data'))[0])
  const state = (of: number) => /\) (\S)/.exec(readFileSync(`/proc/${of}/stat`, 'utf8'))?.[1]
  parent.kill('SIGSTOP')
  await until(() => state(parent.pid!) === 'T', 'the parent stands still')
  process.kill(pid, 'SIGKILL')
  await until(() => state(pid) === 'Z', 'the child is over')
  writeFileSync(join(folder, '.lock'), `${pid} -\n`)
  await (await disk.lock(folder))()
})

t.test('a folder is taken by one; locks of the dead do not count', async t => {
  const folder = t.testdir()
  const unlock = await disk.lock(folder)
  await t.rejects(disk.lock(folder), { code: 'LOCKED', message: new RegExp(`process ${process.pid}`) })
  await unlock()
  for (const stale of ['', '999999999 123\n', `${process.pid} 1\n`, 'what is this']) {
    writeFileSync(join(folder, '.lock'), stale)
    const again = await disk.lock(folder)
    await again()
  }
  t.same(await disk.list(folder), [])
})
