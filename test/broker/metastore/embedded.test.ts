import t from 'tap'
import { MemoryDisk } from '../../../broker/env-memory/disk.ts'
import { createMemoryEnv, type MemoryEnv } from '../../../broker/env-memory.ts'
import { type EmbeddedOptions, openEmbeddedMetaStore } from '../../../broker/metastore/embedded.ts'
import {
  type MetaStore,
  type MetaStoreError,
  type Operation,
  type WatchBatch,
  type WatchListener,
} from '../../../broker/metastore/metastore.ts'
import { forEachBatch } from '../../../client/protocol/batch.ts'

const DATA = '/data'
const FOLDER = `${DATA}/__sluice_metadata-0`

async function open(env: MemoryEnv, options: Partial<EmbeddedOptions> = {}): Promise<MetaStore> {
  return openEmbeddedMetaStore({ env, dataFolder: DATA, ...options })
}

/** An environment whose disk loses at a crash what was not synced. */
async function trackedEnv(): Promise<MemoryEnv> {
  const disk = new MemoryDisk({ trackCrashes: true })
  await disk.makeDirectory(DATA)
  await disk.syncDirectory('/')
  return createMemoryEnv({ disk })
}

const put = (key: string, value = 'v', lease: string | null = null): Operation => ({
  type: 'put',
  key,
  value: Buffer.from(value),
  lease,
})

async function keysOf(store: MetaStore, prefix = ''): Promise<string[]> {
  return (await store.range({ prefix })).entries.map(entry => entry.key)
}

/** A listener that remembers. */
function recorder(): WatchListener & { batches: WatchBatch[]; keys: string[]; error: MetaStoreError | null } {
  const record = {
    batches: [] as WatchBatch[],
    keys: [] as string[],
    error: null as MetaStoreError | null,
    changed(batch: WatchBatch): void {
      record.batches.push(batch)
      for (const event of batch.events) {
        record.keys.push(event.type === 'put' ? event.entry.key : `-${event.key}`)
      }
    },
    ended(error: MetaStoreError): void {
      record.error = error
    },
  }
  return record
}

t.test('what is stored is there after a restart, with its revisions', async t => {
  const env = createMemoryEnv()
  const store = await open(env)
  t.match(await store.txn({ success: [put('a'), put('b')] }), { succeeded: true, revision: 2 })
  await store.txn({ success: [put('a', 'w')] })
  const before = await store.range({ prefix: '' })
  await store.close()

  const again = await open(env)
  t.strictSame(await again.range({ prefix: '' }), before)
  t.match(await again.range({ key: 'a' }, { revision: 2 }), { entries: [{ version: 1 }] }, 'history too')
  await again.close()
})

t.test('a transaction is answered only when a power cut cannot take it back', async t => {
  const env = await trackedEnv()
  const store = await open(env)
  await store.txn({ success: [put('first')] })
  const release = env.disk.hold('sync')
  let answered = false
  const seen = recorder()
  store.watch({ prefix: '' }, 3, seen)
  const second = store.txn({ success: [put('second')] }).then(() => {
    answered = true
  })
  let read: string[] | null = null
  const reading = keysOf(store).then(keys => {
    read = keys
  })
  await env.clock.settle()
  t.notOk(answered, 'not before the sync')
  t.equal(read, null, 'neither is a read that has seen it')
  t.same(seen.keys, [], 'nor a watch')
  release()
  await Promise.all([second, reading])
  t.ok(answered)
  t.same(read, ['first', 'second'])
  t.same(seen.keys, ['second'])
  env.disk.crash({ keep: 'none' })

  const again = await open(createMemoryEnv({ disk: env.disk }))
  t.same(await keysOf(again), ['first', 'second'])
  await again.close()
})

t.test('transactions that come together share one sync', async t => {
  const env = createMemoryEnv()
  const store = await open(env)
  await store.txn({ success: [put('warm')] })
  // The second sync from here would fail.
  env.disk.inject({ operation: 'sync', code: 'IO_ERROR', after: 1 })
  const results = await Promise.all(
    Array.from({ length: 50 }, (_, i) => store.txn({ success: [put(`k${i}`)] })),
  )
  t.equal(new Set(results.map(result => result.revision)).size, 50, 'each with a revision of its own')
})

t.test('conditions are held against what came before, also when all come at once', async t => {
  const env = createMemoryEnv()
  const store = await open(env)
  const claims = await Promise.all(
    Array.from({ length: 10 }, (_, i) =>
      store.txn({
        compare: [{ key: 'leader', target: 'version', value: 0 }],
        success: [put('leader', String(i))],
      }),
    ),
  )
  t.equal(claims.filter(claim => claim.succeeded).length, 1)
  await store.close()
})

t.test('a watch tells history first, then what happens, all of one revision together', async t => {
  const env = createMemoryEnv()
  const store = await open(env)
  await store.txn({ success: [put('p/1'), put('other')] })
  await store.txn({ success: [put('p/2')] })
  const seen = recorder()
  const watch = store.watch({ prefix: 'p/' }, 2, seen)
  t.same(seen.batches, [], 'never inside of the call')
  await env.clock.settle()
  t.same(
    seen.batches.map(batch => batch.revision),
    [2, 3],
  )
  await store.txn({ success: [put('p/3'), put('p/1', 'w'), { type: 'delete', key: 'p/2' }] })
  t.match(seen.batches.at(-1), {
    revision: 4,
    events: [
      { type: 'put', entry: { key: 'p/3' }, previous: null },
      { type: 'put', entry: { key: 'p/1', version: 2 }, previous: { version: 1 } },
      { type: 'delete', key: 'p/2', modRevision: 4, previous: { key: 'p/2' } },
    ],
  })
  await store.txn({ success: [put('elsewhere')] })
  t.same(seen.batches.at(-1), { revision: 5, events: [] }, 'progress, when nothing was for this watch')
  watch.cancel()
  await store.txn({ success: [put('p/4')] })
  t.equal(seen.batches.length, 4)
  const later = recorder()
  store.watch({ prefix: '' }, 8, later)
  await store.txn({ success: [put('seven')] })
  t.same(later.keys, [], 'a watch of the future waits for it')
  await store.txn({ success: [put('eight')] })
  t.same(later.keys, ['eight'])
  await store.close()
  t.equal(later.error?.code, 'CLOSED')
  t.equal(seen.error, null, 'a cancelled watch hears nothing')
})

t.test('what is compacted can be neither read nor watched', async t => {
  const env = createMemoryEnv()
  const store = await open(env)
  for (let i = 0; i < 5; i++) await store.txn({ success: [put('a', String(i))] })
  await store.compact(4)
  await t.rejects(store.range({ key: 'a' }, { revision: 3 }), { code: 'COMPACTED', compactRevision: 4 })
  await t.rejects(store.compact(4), { code: 'COMPACTED' })
  await t.rejects(store.compact(99), { code: 'FUTURE_REVISION' })
  const old = recorder()
  store.watch({ prefix: '' }, 3, old)
  const fine = recorder()
  store.watch({ prefix: '' }, 4, fine)
  await env.clock.settle()
  t.match(old.error, { code: 'COMPACTED', compactRevision: 4 })
  t.same(
    fine.batches.map(batch => batch.revision),
    [4, 5, 6],
  )
  await store.close()
  const again = await open(env)
  await t.rejects(
    again.range({ key: 'a' }, { revision: 3 }),
    { code: 'COMPACTED' },
    'after a restart as well',
  )
  await again.close()
})

t.test('a lease that is not renewed takes its keys with it', async t => {
  const env = createMemoryEnv()
  const store = await open(env)
  const lease = await store.grantLease(5000)
  t.equal(lease.ttlMs, 5000)
  await store.txn({ success: [put('live/1', 'x', lease.id), put('live/2', 'y', lease.id), put('stays')] })
  const seen = recorder()
  store.watch({ prefix: 'live/' }, 3, seen)
  await env.clock.advance(4000)
  t.equal(await store.keepAlive(lease.id), 5000)
  await env.clock.advance(4999)
  t.equal(await store.keepAlive(lease.id), 5000)
  t.same(seen.keys, [])
  await env.clock.advance(5000)
  t.same(seen.keys, ['-live/1', '-live/2'])
  t.equal(seen.batches.length, 1, 'in one revision')
  t.same(await keysOf(store), ['stays'])
  await t.rejects(store.keepAlive(lease.id), { code: 'LEASE_NOT_FOUND' })
  await t.rejects(store.txn({ success: [put('late', 'x', lease.id)] }), { code: 'LEASE_NOT_FOUND' })
  await store.close()
  t.equal(env.clock.pendingTimers, 0, 'no timer is left')
})

t.test('a lease can be ended early, and lives on over a restart', async t => {
  const env = createMemoryEnv()
  const store = await open(env)
  const first = await store.grantLease(1000)
  const second = await store.grantLease(1000)
  t.not(first.id, second.id)
  await store.txn({ success: [put('a', 'x', first.id), put('b', 'x', second.id)] })
  await store.revokeLease(first.id)
  t.same(await keysOf(store), ['b'])
  await t.rejects(store.revokeLease(first.id), { code: 'LEASE_NOT_FOUND' })
  await env.clock.advance(900)
  await store.close()

  const again = await open(env)
  await env.clock.advance(900)
  t.same(await keysOf(again), ['b'], 'its time to live began anew')
  const third = await again.grantLease(1000)
  t.notOk([first.id, second.id].includes(third.id), 'ids are never used twice')
  await env.clock.advance(200)
  t.same(await keysOf(again), [])
  await again.close()
})

t.test('snapshots keep the folder small, and a restart starts from one', async t => {
  const env = createMemoryEnv()
  const options = { snapshotBytes: 8 * 1024, historyRevisions: 20 }
  const store = await open(env, options)
  const lease = await store.grantLease(60_000)
  await store.txn({ success: [put('leased', 'x', lease.id), put('old')] })
  for (let i = 0; i < 2000; i++) await store.txn({ success: [put(`key/${i % 10}`, `value ${i}`)] })
  await env.clock.settle()
  const before = await store.range({ prefix: '' })
  await store.close()
  const files = await env.disk.list(FOLDER)
  t.equal(files.filter(file => file.name.endsWith('.checkpoint')).length, 1, 'one snapshot')
  let bytes = 0
  for (const file of files) bytes += (await env.disk.size(`${FOLDER}/${file.name}`)) ?? 0
  t.ok(bytes < 100 * 1024, `${bytes} bytes of 2,000 transactions`)
  t.notOk(files.some(file => file.name.endsWith('.deleted') || file.name.endsWith('.part')))

  const again = await open(env, options)
  t.strictSame(await again.range({ prefix: '' }), before)
  t.match(await again.txn({ success: [put('new')] }), { revision: before.revision + 1 })
  await again.revokeLease(lease.id)
  t.equal((await again.range({ key: 'leased' })).count, 0)
  await again.close()
})

t.test('a full disk refuses changes and takes nothing else away', async t => {
  const env = createMemoryEnv()
  const store = await open(env)
  await store.txn({ success: [put('a')] })
  const seen = recorder()
  store.watch({ prefix: '' }, 3, seen)
  env.disk.capacityBytes = env.disk.usedBytes
  const refused = await Promise.allSettled([
    store.txn({ success: [put('b')] }),
    store.txn({ success: [put('c')] }),
  ])
  for (const result of refused) t.match(result, { status: 'rejected', reason: { code: 'UNAVAILABLE' } })
  t.same(await keysOf(store), ['a'], 'reading goes on')
  await t.rejects(store.grantLease(1000), { code: 'UNAVAILABLE' })
  env.disk.capacityBytes = Infinity
  t.match(await store.txn({ success: [put('d')] }), { revision: 3 })
  t.same(seen.keys, ['d'], 'watches never heard of the others')
  await store.close()
  const again = await open(env)
  t.same(await keysOf(again), ['a', 'd'])
  await again.close()
})

t.test('a lease that expires on a full disk ends when there is room again', async t => {
  const env = createMemoryEnv()
  const store = await open(env)
  const lease = await store.grantLease(1000)
  await store.txn({ success: [put('a', 'x', lease.id)] })
  env.disk.capacityBytes = env.disk.usedBytes
  await env.clock.advance(3500)
  t.same(await keysOf(store), ['a'])
  env.disk.capacityBytes = Infinity
  await env.clock.advance(2000)
  t.same(await keysOf(store), [])
  await store.close()
})

t.test('a failed sync is the end: nothing is answered any more', async t => {
  const env = createMemoryEnv()
  const fatal: Error[] = []
  const store = await open(env, { onFatal: error => fatal.push(error) })
  await store.txn({ success: [put('a')] })
  const seen = recorder()
  store.watch({ prefix: '' }, 3, seen)
  await env.clock.settle()
  env.disk.inject({ operation: 'sync', code: 'IO_ERROR', times: 1 })
  await t.rejects(store.txn({ success: [put('b')] }), { code: 'STORAGE_FAILED' })
  await t.rejects(store.txn({ success: [put('c')] }), { code: 'STORAGE_FAILED' })
  await t.rejects(store.range({ key: 'a' }), { code: 'STORAGE_FAILED' })
  t.equal(fatal.length, 1)
  t.equal(seen.error?.code, 'STORAGE_FAILED')
  await store.close()
})

t.test('a snapshot that cannot be written is no harm', async t => {
  const env = createMemoryEnv()
  const stop = env.disk.inject({ operation: 'rename', path: /checkpoint/, code: 'DISK_FULL' })
  const store = await open(env, { snapshotBytes: 1000 })
  for (let i = 0; i < 50; i++) await store.txn({ success: [put(`k${i}`)] })
  await env.clock.settle()
  stop()
  t.equal((await store.range({ prefix: '' })).count, 50)
  await store.close()
  const again = await open(env)
  t.equal((await again.range({ prefix: '' })).count, 50)
  await again.close()
})

t.test('a damaged snapshot is reported, not passed over', async t => {
  const env = createMemoryEnv()
  const store = await open(env, { snapshotBytes: 1000 })
  for (let i = 0; i < 50; i++) await store.txn({ success: [put(`k${i}`)] })
  await store.close()
  const name = (await env.disk.list(FOLDER)).find(file => file.name.endsWith('.checkpoint'))!.name
  env.disk.damage(`${FOLDER}/${name}`, 100)
  await t.rejects(open(env), { code: 'STORAGE_FAILED', message: /damaged.*restore/s })
})

const LOG = `${FOLDER}/00000000000000000000.log`

/** A store with twenty changes, each acknowledged before the next, and where each of them begins in the log. */
async function written(env: MemoryEnv, end: 'closed' | 'killed'): Promise<number[]> {
  const store = await open(env)
  const positions: number[] = []
  for (let i = 0; i < 20; i++) {
    await store.txn({ success: [put(`k${i}`)] })
  }
  forEachBatch(await env.disk.readFile(LOG), position => void positions.push(position))
  if (end === 'closed') await store.close()
  else env.disk.crash({ keep: 'all' })
  return positions
}

for (const end of ['closed', 'killed'] as const) {
  t.test(
    `acknowledged changes that were damaged keep a ${end} store from opening, and nothing is changed`,
    async t => {
      const first = await trackedEnv()
      const positions = await written(first, end)
      const env = createMemoryEnv({ disk: first.disk })
      env.disk.damage(LOG, positions[9]! + 70)
      const before = await env.disk.readFile(LOG)
      const names = await env.disk.list(FOLDER)
      for (let attempt = 0; attempt < 2; attempt++) {
        await t.rejects(open(env), {
          code: 'STORAGE_FAILED',
          message:
            /changes 9 to \d+ were acknowledged .* position \d+.*Nothing was changed.*restore the folder.*move the folder away/s,
        })
      }
      t.ok(before.equals(await env.disk.readFile(LOG)))
      t.strictSame(await env.disk.list(FOLDER), names)
    },
  )
}

t.test('after a clean stop the last change is known to be there, or to be missing', async t => {
  for (const harm of ['damaged', 'cut off', 'gone with its file'] as const) {
    const env = await trackedEnv()
    const positions = await written(env, 'closed')
    const last = positions.at(-1)!
    if (harm === 'damaged') env.disk.damage(LOG, last + 70)
    else if (harm === 'gone with its file') await env.disk.remove(LOG)
    else {
      const file = await env.disk.open(LOG, 'write')
      await file.truncate(last)
      await file.close()
    }
    await t.rejects(open(env), { code: 'STORAGE_FAILED', message: /were acknowledged/ }, harm)
  }
})

t.test('what was on its way together when power went is no promise: a hole among it is cut off', async t => {
  const env = await trackedEnv()
  const store = await open(env)
  await store.txn({ success: [put('kept')] })
  const release = env.disk.hold('sync')
  const together = [1, 2, 3].map(i => store.txn({ success: [put(`lost ${i}`)] }))
  const ends = Promise.allSettled(together)
  await env.clock.settle()
  const positions: number[] = []
  forEachBatch(await env.disk.readFile(LOG), position => void positions.push(position))
  t.equal(positions.length, 4)
  env.disk.crash({ keep: 'all' })
  release()
  await ends
  env.disk.damage(LOG, positions[1]! + 70)
  const again = await open(createMemoryEnv({ disk: env.disk }))
  t.same(await keysOf(again), ['kept'])
  await again.close()
})

t.test('after close nothing works, and closing again is harmless', async t => {
  const env = createMemoryEnv()
  const store = await open(env)
  const last = store.txn({ success: [put('a')] })
  await Promise.all([store.close(), store.close()])
  await t.resolves(last, 'what was under way is finished')
  await t.rejects(store.txn({ success: [put('b')] }), { code: 'CLOSED' })
  await t.rejects(store.range({ key: 'a' }), { code: 'CLOSED' })
  await t.rejects(store.grantLease(1000), { code: 'CLOSED' })
  const late = recorder()
  store.watch({ prefix: '' }, 1, late)
  await env.clock.settle()
  t.equal(late.error?.code, 'CLOSED')
})
