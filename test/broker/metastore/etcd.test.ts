/** The metadata store of clusters on real members of etcd: time, crashes, pauses, rights, secrets. */
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { type Env, type Rpc } from '../../../broker/env.ts'
import { CollectingLog } from '../../../broker/env-memory/log.ts'
import { createNodeEnv, loadNodeRpc } from '../../../broker/env-node.ts'
import { ProtobufWriter } from '../../../broker/metastore/etcd/protobuf.ts'
import { type EtcdOptions, openEtcdMetaStore } from '../../../broker/metastore/etcd.ts'
import {
  type MetaStore,
  type MetaStoreError,
  type Operation,
  type WatchBatch,
} from '../../../broker/metastore/metastore.ts'
import { spawnEtcd, spawnEtcdCluster, withoutEtcd } from '../../helpers/etcd.ts'
import { missing } from '../../helpers/foreign.ts'
import { until } from '../../helpers/until.ts'

const skip = withoutEtcd
const rpc: Rpc = await loadNodeRpc()

interface World {
  readonly env: Env
  readonly log: CollectingLog
  open(endpoints: readonly string[], options?: Partial<EtcdOptions>): Promise<MetaStore>
}

function world(): World {
  const log = new CollectingLog()
  const env = createNodeEnv({ log })
  return {
    env,
    log,
    open: (endpoints, options = {}) => openEtcdMetaStore({ env, rpc, endpoints, ...options }),
  }
}

const put = (key: string, value = 'v', lease: string | null = null): Operation => ({
  type: 'put',
  key,
  value: Buffer.from(value),
  lease,
})

class Recorder {
  readonly batches: WatchBatch[] = []
  error: MetaStoreError | null = null

  changed(batch: WatchBatch): void {
    if (batch.events.length > 0) this.batches.push(batch)
  }

  ended(error: MetaStoreError): void {
    this.error = error
  }

  get keys(): string[] {
    return this.batches.flatMap(({ events }) =>
      events.map(event => (event.type === 'put' ? event.entry.key : `-${event.key}`)),
    )
  }
}

t.test('one member', { skip }, async t => {
  await using etcd = await spawnEtcd()

  await t.test('a version with known bugs is named, or refused', async t => {
    const { log, open } = world()
    const store = await open([etcd.endpoint])
    const { revision } = await store.range({ prefix: '' })
    t.equal(revision, 1)
    await store.close()
    const warnings = log.of('warn')
    if (warnings.length === 0) return
    t.match(warnings, [{ message: /known bugs.*in production use/ }])
    await t.rejects(open([etcd.endpoint], { unsoundVersions: 'refuse' }), { code: 'UNSUPPORTED' })
  })

  await t.test('a lease that is not renewed takes its keys with it', async t => {
    const store = await world().open([etcd.endpoint])
    const seen = new Recorder()
    const renewed = await store.grantLease(1500)
    const lease = await store.grantLease(1500)
    t.ok(lease.ttlMs >= 2000, 'etcd counts in whole seconds, and has a shortest time')
    const { revision } = await store.txn({
      success: [put('live/2', 'x', lease.id), put('live/1', 'x', lease.id), put('kept', 'x', renewed.id)],
    })
    store.watch({ prefix: '' }, revision + 1, seen)
    const started = performance.now()
    while (seen.batches.length === 0) {
      t.equal(await store.keepAlive(renewed.id), renewed.ttlMs)
      await until(() => seen.batches.length > 0, 'the lease has expired', 500).catch(() => {})
      if (performance.now() - started > 15_000) throw new Error('the lease does not expire')
    }
    t.same(seen.keys, ['-live/1', '-live/2'])
    t.equal(seen.batches.length, 1, 'in one revision')
    await t.rejects(store.keepAlive(lease.id), { code: 'LEASE_NOT_FOUND' })
    await t.rejects(store.txn({ success: [put('late', 'x', lease.id)] }), { code: 'LEASE_NOT_FOUND' })
    await store.revokeLease(renewed.id)
    await store.close()
  })

  await t.test('what is larger than one message comes whole, in its order', async t => {
    const store = await world().open([etcd.endpoint])
    const { revision } = await store.range({ prefix: '' })
    const value = 'x'.repeat(150_000)
    for (let i = 0; i < 60; i++) await store.txn({ success: [put(`large/${i}`, value), put(`small/${i}`)] })
    const seen = new Recorder()
    store.watch({ prefix: '' }, revision + 1, seen)
    await until(() => seen.batches.length === 60, '60 revisions are told')
    t.same(seen.keys, Array.from({ length: 60 }, (_, i) => [`large/${i}`, `small/${i}`]).flat())
    const { entries } = await store.range({ prefix: 'large/' })
    t.equal(entries.length, 60)
    t.ok(entries.every(entry => entry.value.length === value.length))
    await t.rejects(store.txn({ success: [put('too large', 'x'.repeat(2_000_000))] }), {
      code: 'TOO_MANY_OPERATIONS',
      message: /Split it/,
    })
    await store.txn({ success: [{ type: 'delete-prefix', prefix: '' }] })
    await store.close()
  })

  await t.test('a member that stands still leaves changes unknown, and reads time out', async t => {
    const store = await world().open([etcd.endpoint], { requestTimeoutMs: 900, connectTimeoutMs: 300 })
    await store.txn({ success: [put('before')] })
    await etcd.pause()
    const started = performance.now()
    try {
      await t.rejects(store.txn({ success: [put('unknown')] }), { code: 'UNKNOWN_OUTCOME' })
      await t.rejects(store.range({ key: 'before' }), { code: 'UNAVAILABLE' })
      t.ok(performance.now() - started < 5000, 'within their time')
    } finally {
      etcd.resume()
    }
    await until(
      () =>
        store.range({ key: 'before' }).then(
          ({ count }) => count === 1,
          () => false,
        ),
      'it answers again',
    )
    await store.close()
  })

  await t.test('nobody there: opening fails in time, and says where it looked', async t => {
    const { open } = world()
    const options = { requestTimeoutMs: 500, connectTimeoutMs: 300 }
    await t.rejects(open(['http://127.0.0.1:1'], options), {
      code: 'UNAVAILABLE',
      message: /127\.0\.0\.1:1 says/,
    })
    const store = await open(['http://127.0.0.1:1', etcd.endpoint])
    t.equal((await store.range({ key: 'before' })).count, 1, 'one that is there is enough')
    await store.close()
  })
})

t.test('watches and calls outlive the death of a member', { skip }, async t => {
  await using etcd = await spawnEtcd()
  const store = await world().open([etcd.endpoint], { requestTimeoutMs: 20_000, progressIntervalMs: 500 })
  const seen = new Recorder()
  store.watch({ prefix: '' }, 2, seen)
  const lease = await store.grantLease(60_000)
  for (let i = 0; i < 10; i++) await store.txn({ success: [put(`a/${i}`)] })
  await etcd.kill()
  const waiting = store.range({ key: 'a/1' })
  const renewing = store.keepAlive(lease.id)
  await etcd.restart()
  t.equal((await waiting).count, 1, 'a read waits for it')
  t.equal(await renewing, 60_000)
  for (let i = 10; i < 20; i++) await store.txn({ success: [put(`a/${i}`)] })
  await until(() => seen.keys.length >= 20, 'the watch has heard of all')
  t.same(
    seen.keys,
    Array.from({ length: 20 }, (_, i) => `a/${i}`),
  )
  await store.close()
})

t.test('a cluster goes on without one of its members', { skip }, async t => {
  await using cluster = await spawnEtcdCluster(3)
  const { open, log } = world()
  // The first address is that of the member that dies.
  const store = await open(cluster.endpoints, { requestTimeoutMs: 4000, connectTimeoutMs: 1000 })
  const seen = new Recorder()
  store.watch({ prefix: 'n/' }, 2, seen)
  const certain = new Set<string>()
  let unknown = 0
  let longestMs = 0
  const write = async (from: number, to: number): Promise<void> => {
    let lastMs = performance.now()
    for (let i = from; i < to; ) {
      const key = `n/${String(i).padStart(5, '0')}`
      try {
        const { succeeded } = await store.txn({
          compare: [{ key, target: 'version', value: 0 }],
          success: [put(key)],
        })
        if (succeeded) certain.add(key)
        i++
      } catch (error) {
        const { code } = error as MetaStoreError
        if (code === 'UNKNOWN_OUTCOME') unknown++
        else if (code !== 'UNAVAILABLE') throw error
      }
      longestMs = Math.max(longestMs, performance.now() - lastMs)
      lastMs = performance.now()
    }
  }
  await write(0, 50)
  for (const [round, member] of cluster.members.entries()) {
    const writing = write(50 + 100 * round, 150 + 100 * round)
    await member.kill()
    await writing
    await member.restart()
  }
  await until(() => seen.keys.length >= 350, 'the watch has heard of all')
  t.same(
    seen.keys,
    Array.from({ length: 350 }, (_, i) => `n/${String(i).padStart(5, '0')}`),
    'each once, in order',
  )
  const { count } = await store.range({ prefix: 'n/' })
  t.equal(count, 350)
  t.ok(certain.size + unknown >= 350, 'who was not told is known to be unknown')
  t.comment(
    `each of 3 members killed once: ${unknown} outcomes unknown, longest wait ${longestMs.toFixed(0)} ms`,
  )
  t.same(log.of('error'), [])
  await store.close()
})

t.test('user and password', { skip }, async t => {
  await using etcd = await spawnEtcd()
  const { open, log } = world()
  const early = await open([etcd.endpoint], { user: 'root', password: 'secret' })
  t.ok(
    log.of('warn').some(({ message }) => /no authentication enabled/.test(message)),
    'a password that nobody asks for is worth a warning',
  )
  await early.close()

  const { hostname, port } = new URL(etcd.endpoint)
  const channel = rpc.open({ host: hostname, port: Number(port) }, null)
  const ask = (method: string, first = '', second = '', token = ''): Promise<Uint8Array> =>
    channel.call(
      `/etcdserverpb.Auth/${method}`,
      new ProtobufWriter().text(1, first).text(2, second).finish(),
      token === '' ? {} : { token },
      5000,
    )
  await ask('UserAdd', 'root', 'secret')
  await ask('RoleAdd', 'root')
  await ask('UserGrantRole', 'root', 'root')
  await ask('UserAdd', 'guest', 'guest')
  await ask('AuthEnable')

  await t.rejects(open([etcd.endpoint], { user: 'root', password: 'wrong' }), { code: 'ACCESS_DENIED' })
  const nobody = await open([etcd.endpoint])
  await t.rejects(nobody.range({ key: 'a' }), { code: 'ACCESS_DENIED' })
  await nobody.close()
  const guest = await open([etcd.endpoint], { user: 'guest', password: 'guest' })
  await t.rejects(guest.txn({ success: [put('a')] }), { code: 'ACCESS_DENIED', message: /role/ })
  const denied = new Recorder()
  guest.watch({ prefix: '' }, 1, denied)
  await until(() => denied.error !== null, 'the watch is refused')
  t.equal(denied.error?.code, 'ACCESS_DENIED')
  await guest.close()

  const store = await open([etcd.endpoint], { user: 'root', password: 'secret' })
  const seen = new Recorder()
  store.watch({ prefix: '' }, 1, seen)
  await store.txn({ success: [put('a')] })
  // A change of the password, even to the same, makes all tokens of the user void.
  const answer = Buffer.from(await ask('Authenticate', 'root', 'secret')).toString('latin1')
  const token = /[A-Za-z]{10,}\.\d+/.exec(answer)?.[0] ?? ''
  await ask('UserChangePassword', 'root', 'secret', token)
  await store.txn({ success: [put('b')] })
  const lease = await store.grantLease(5000)
  t.equal(await store.keepAlive(lease.id), 5000)
  await until(() => seen.keys.length === 2, 'the watch goes on')
  await store.close()
  channel.close()
})

t.test(
  'TLS',
  { skip: skip !== false ? skip : missing('openssl', ['version'], 'apt-get install openssl') },
  async t => {
    const folder = t.testdir()
    const [key, certificate] = [join(folder, 'key.pem'), join(folder, 'certificate.pem')]
    const made = spawnSync('openssl', [
      ...[
        'req',
        '-x509',
        '-newkey',
        'ec',
        '-pkeyopt',
        'ec_paramgen_curve:prime256v1',
        '-nodes',
        '-days',
        '2',
      ],
      ...['-keyout', key, '-out', certificate, '-subj', '/CN=etcd-test'],
      ...['-addext', 'subjectAltName=DNS:etcd-test'],
    ])
    t.equal(made.status, 0, String(made.stderr))
    await using etcd = await spawnEtcd({
      secure: true,
      args: [
        '--cert-file',
        certificate,
        '--key-file',
        key,
        '--client-cert-auth',
        '--trusted-ca-file',
        certificate,
      ],
    })
    const { open } = world()
    const ours = { authorities: readFileSync(certificate), serverName: 'etcd-test' }
    const secret = { certificate: readFileSync(certificate), key: readFileSync(key) }
    const store = await open([etcd.endpoint], { tls: { ...ours, ...secret } })
    t.match(await store.txn({ success: [put('a')] }), { succeeded: true })
    await store.close()

    const hasty = { requestTimeoutMs: 400, connectTimeoutMs: 300 }
    const strangers = [
      { tls: { ...secret, serverName: 'etcd-test' }, why: 'its certificate is not trusted' },
      { tls: { ...ours, ...secret, serverName: 'other' }, why: 'its certificate is for another name' },
      { tls: ours, why: 'we do not show who we are' },
    ]
    for (const { tls, why } of strangers) {
      await t.rejects(open([etcd.endpoint], { ...hasty, tls }), { code: 'UNAVAILABLE' }, why)
    }
    const plain = etcd.endpoint.replace('https', 'http')
    await t.rejects(open([plain], hasty), { code: 'UNAVAILABLE' }, 'nothing is sent in the clear')
  },
)
