import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { sluice, sluiceBinary } from '../helpers/sluice.ts'
import { until } from '../helpers/until.ts'

t.setTimeout(110_000)

t.test('without a broker', async t => {
  t.match(await sluice(['topic', 'list', '-b', '127.0.0.1:1']), {
    code: 3,
    stderr: /ECONNREFUSED[\s\S]*sluice dev/,
  })
  t.match(
    await sluice(['topic', 'list', '--bootstrap-server', '127.0.0.1:1']),
    { code: 3 },
    'the alias is known',
  )
  t.match(await sluice(['nonsense']), { code: 2 })
  t.match(await sluice(['topic', 'list', '--nonsense']), { code: 2 })
  t.match(await sluice(['topic', 'create']), { code: 2, stderr: /topic/ })
  t.match(await sluice(['--help']), { code: 0 })
  t.match(await sluice(['topic', 'create', '--help']), { code: 0 })
  const folder = join(t.testdir(), 'data')
  t.match(await sluice(['broker', 'format', '--data', folder, '--cluster-id', 'abc']), { code: 0 })
  t.match(readFileSync(join(folder, 'meta.properties'), 'utf8'), /cluster\.id=abc\nnode\.id=1\n/)
  t.match(await sluice(['broker', 'format', '--data', folder]), { code: 1, stderr: /already/ })
  t.match(await sluice(['broker', 'validate', '--set', 'log.segment.bytes=2097152']), { code: 0 })
  t.match(await sluice(['broker', 'validate', '--set', 'log.segment.bytes=x']), {
    code: 1,
    stderr: /log\.segment\.bytes/,
  })
})

t.test('sluice dev says where it listens, shows groups, and ends on a signal', async t => {
  const child = spawn(
    process.execPath,
    ['--import=tsx', sluiceBinary, 'dev', '--port', '0', '--topic', 'orders:2'],
    {
      stdio: ['ignore', 'pipe', 'inherit'],
    },
  )
  let printed = ''
  child.stdout.setEncoding('utf8')
  child.stdout.on('data', (chunk: string) => {
    printed += chunk
  })
  await until(() => printed.includes('Ctrl-C'), 'it says how to end it')
  const bootstrap = /127\.0\.0\.1:\d+/.exec(printed)?.[0] ?? ''
  const list = await sluice(['topic', 'list', '-b', bootstrap, '-o', 'json'])
  t.match(JSON.parse(list.stdout.toString()), [{ topic: 'orders', partitions: 2 }])
  const seek = ['group', 'seek', 'billing', '--to', 'end', '--topic', 'orders', '--yes']
  t.match(await sluice([...seek, '-b', bootstrap]), { code: 0 })
  await until(
    () => /^group billing: Empty, 0 members, 2 partitions, lag 0$/m.test(printed),
    'the group is shown',
  )
  child.kill('SIGINT')
  const [code] = await once(child, 'exit')
  t.equal(code, 0, 'ending it is how it is meant to end')
})
