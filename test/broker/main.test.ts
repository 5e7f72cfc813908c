import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { createNodeLog } from '../../broker/env-node/log.ts'
import { createNodeEnv } from '../../broker/env-node.ts'
import { parseArguments, readConfig, run } from '../../broker/main.ts'
import { spawnBroker } from '../helpers/broker-process.ts'

const env = createNodeEnv({ log: createNodeLog({ level: 'silent' }) })

/** Runs with these arguments; for what ends by itself. */
async function ended(...argv: string[]): Promise<{ code: number; printed: string; errors: string }> {
  let printed = ''
  let errors = ''
  const code = await run(argv, {
    env,
    environment: {},
    print: text => void (printed += text),
    printError: text => void (errors += text),
  })
  return { code, printed, errors }
}

t.test('flags become configs', t => {
  const argv = [
    '--config',
    'f',
    '--data=/d',
    '--listen',
    '0.0.0.0:1',
    '--broker-id',
    '7',
    '--set',
    'log.retention.ms=5',
  ]
  t.same(parseArguments(argv), {
    help: false,
    configFile: 'f',
    settings: {
      'log.dirs': '/d',
      listeners: 'PLAINTEXT://0.0.0.0:1',
      'node.id': '7',
      'log.retention.ms': '5',
    },
  })
  const cluster = [
    '--etcd=http://a:1,http://b:2',
    '--rack',
    'r1',
    '--advertise',
    'host:1',
    '--cluster-id',
    'c',
  ]
  t.same(parseArguments([...cluster, '--etcd-user', 'u', '--etcd-password-file=/p']).settings, {
    'etcd.endpoints': 'http://a:1,http://b:2',
    'broker.rack': 'r1',
    'advertised.listeners': 'PLAINTEXT://host:1',
    'cluster.id': 'c',
    'etcd.user': 'u',
    'etcd.password.file': '/p',
  })
  t.throws(() => parseArguments(['--dat', 'x']), { name: 'UsageError', message: /Unknown flag --dat/ })
  t.throws(() => parseArguments(['--data']), { name: 'UsageError', message: /--data wants a value/ })
  t.end()
})

t.test('the data folder becomes an absolute path', async t => {
  const { config } = await readConfig(env, parseArguments(['--data', 'relative']), {})
  t.equal(config.values['log.dirs'][0], join(process.cwd(), 'relative'))
})

t.test('what cannot be is explained, with the exit code of its kind', async t => {
  const folder = await mkdtemp(join(tmpdir(), 'sluice-main-'))
  t.teardown(() => rm(folder, { recursive: true, force: true }))
  await writeFile(join(folder, 'bad.properties'), 'num.partitions=zero\n')
  t.match(await ended('--help'), { code: 0, printed: /Usage: sluice broker start/ })
  t.match(await ended('--nonsense'), { code: 2, errors: /Unknown flag --nonsense/ })
  t.match(await ended('--config', join(folder, 'none')), { code: 2, errors: /there is no such file/ })
  t.match(await ended('--config', join(folder, 'bad.properties')), { code: 2, errors: /num\.partitions/ })
  t.match(await ended('--set', 'num.partition=1'), { code: 2, errors: /did you mean num\.partitions\?/ })
  t.match(await ended('--etcd', 'http://127.0.0.1:1', '--listen', '0.0.0.0:9092'), {
    code: 2,
    errors: /must tell the others one address.*--advertise HOST:9092/,
  })
  const nowhere = ['--etcd', 'http://127.0.0.1:1', '--set', 'etcd.request.timeout.ms=200']
  t.match(await ended(...nowhere, '--data', join(folder, 'data'), '--listen', '127.0.0.1:0'), {
    code: 1,
    errors: /did not start\. Etcd did not answer.*127\.0\.0\.1:1 says.*Check that a majority/,
  })
  t.match(await ended('--listen', 'nowhere'), { code: 2, errors: /is not NAME:\/\/HOST:PORT/ })
})

t.test('a broker in a process stops cleanly on SIGTERM and starts again where it was', async t => {
  await using broker = await spawnBroker()
  const [, port] = broker.bootstrap.split(':')
  const data = join(broker.dataFolder)
  t.match(broker.output(), /Try, in another terminal:/)

  const taken = await ended('--data', join(data, '..', 'other'), '--listen', broker.bootstrap)
  t.match(taken, { code: 1, errors: new RegExp(`127\\.0\\.0\\.1:${port}.*another port`) })
  const locked = await ended('--data', data, '--listen', '127.0.0.1:0')
  t.match(locked, { code: 1, errors: new RegExp(`process ${broker.pid}`) })

  t.equal(await broker.stop(), 0)
  t.ok((await readdir(data)).includes('.kafka_cleanshutdown'))
  await broker.restart()
  t.notMatch(broker.output(), /WARN|ERROR/)
})

t.test('a broker that does not start says why, and leaves nothing behind', async t => {
  const folder = await mkdtemp(join(tmpdir(), 'sluice-main-'))
  const usual = process.env['TMPDIR']
  process.env['TMPDIR'] = folder
  t.teardown(async () => {
    if (usual === undefined) delete process.env['TMPDIR']
    else process.env['TMPDIR'] = usual
    await rm(folder, { recursive: true, force: true })
  })
  await t.rejects(spawnBroker({ properties: { 'num.partitions': 'zero' } }), { message: /num\.partitions/ })
  t.same(
    (await readdir(folder)).filter(name => name.startsWith('sluice')),
    [],
  )
})
