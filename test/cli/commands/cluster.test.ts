import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { withoutEtcd } from '../../helpers/etcd.ts'
import { sluice, sluiceAt, sluiceBinary } from '../../helpers/sluice.ts'
import { until } from '../../helpers/until.ts'

t.setTimeout(110_000)

interface Running {
  readonly child: ChildProcess
  readonly bootstrap: string
  readonly printed: () => string
}

async function startCluster(folder: string): Promise<Running> {
  const args = ['--import=tsx', sluiceBinary, 'cluster', 'start', '--port', '0', '--data', folder]
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe'] })
  let printed = ''
  child.stdout.on('data', (chunk: Buffer) => void (printed += chunk.toString()))
  child.stderr.on('data', (chunk: Buffer) => void (printed += chunk.toString()))
  const found = (): string | undefined => /bootstrap: (\S+)\n/.exec(printed)?.[1]
  await until(() => found() !== undefined || child.exitCode !== null, 'the cluster runs', 60_000)
  const bootstrap = found()
  if (bootstrap === undefined) throw new Error(`it did not start:\n${printed}`)
  return { child, bootstrap, printed: () => printed }
}

t.test('a cluster on this machine goes on when a broker is killed', { skip: withoutEtcd }, async t => {
  const folder = await mkdtemp(join(tmpdir(), 'sluice-cluster-'))
  const { child, bootstrap, printed } = await startCluster(folder)
  t.teardown(async () => {
    child.kill('SIGKILL')
    await rm(folder, { recursive: true, force: true })
  })
  const { sluice: run, text, json } = sluiceAt(bootstrap)
  await text(['topic', 'create', 'orders', '-p', '3'])
  t.match(await json(['cluster', 'health']), { healthy: true, brokers: 3, findings: [] })
  t.match(await json(['broker', 'list']), [{ id: 1 }, { id: 2 }, { id: 3 }])
  t.match(await json(['partition', 'leader', 'orders:0']), [
    { topic: 'orders', partition: 0, isr: { length: 3 } },
  ])

  const victim = Number(/broker 3 .* process (\d+)/.exec(printed())![1])
  process.kill(victim, 'SIGKILL')
  await until(() => printed().includes('[broker 3] ended (SIGKILL)'), 'the end is told')
  await until(async () => {
    const health = JSON.parse((await run(['cluster', 'health', '-o', 'json'])).stdout.toString()) as {
      fencedBrokers: number[]
      findings: { problem: string }[]
    }
    return health.fencedBrokers.includes(3) && health.findings.every(({ problem }) => problem !== 'offline')
  }, 'others lead what it led')
  t.equal((await run(['cluster', 'health'])).code, 1)
  await text(['produce', 'orders'], 'still there\n')
  t.match(await text(['consume', 'orders', '-o', 'start', '-n', '1']), /still there/)
  await text(['partition', 'reassign', 'orders', '--to', '2,1'])
  t.match(await json(['topic', 'describe', 'orders']), [
    { partitions: [{ replicas: [2, 1] }, { replicas: [1, 2] }] },
  ])
  t.match(await run(['partition', 'reassign', 'orders', '--to', '1', '--replicas', '2']), { code: 2 })

  child.kill('SIGINT')
  const [code] = (await once(child, 'exit')) as [number]
  t.equal(code, 0, printed())
  t.match(printed(), /Stopping the brokers, then etcd[\s\S]*Stopped\. The data stays/)
})

t.test('without etcd it says what to install', async t => {
  const usual = process.env['PATH']
  process.env['PATH'] = '/nonexistent'
  t.teardown(() => {
    process.env['PATH'] = usual
  })
  const outcome = await sluice(['cluster', 'start', '--port', '0', '--data', '/nonexistent'])
  t.match(outcome, { code: 1, stderr: /There is no etcd on this machine[\s\S]*apt-get install etcd-server/ })
})
