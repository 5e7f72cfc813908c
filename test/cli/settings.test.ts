import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { parseDuration, parseSize, resolveSettings } from '../../cli/settings.ts'

const noFile = { SLUICE_CONFIG: '/nonexistent/config.yaml' }

t.test(
  'a flag wins over the environment, the environment over the profile, the profile over the default',
  async t => {
    const file = join(t.testdir(), 'config.yaml')
    writeFileSync(
      file,
      'current: one\nprofiles:\n  one: { brokers: profile:1, output: yaml }\n  two: { brokers: other:1 }\n',
    )
    const withFile = { SLUICE_CONFIG: file }
    t.match(await resolveSettings({}, noFile), {
      brokers: '127.0.0.1:9092',
      output: 'table',
      timeoutMs: null,
    })
    t.match(await resolveSettings({}, withFile), { brokers: 'profile:1', output: 'yaml' })
    t.match(await resolveSettings({}, { ...withFile, SLUICE_BROKERS: 'env:1' }), {
      brokers: 'env:1',
      output: 'yaml',
    })
    t.match(await resolveSettings({ brokers: 'flag:1' }, { ...withFile, SLUICE_BROKERS: 'env:1' }), {
      brokers: 'flag:1',
    })
    t.match(await resolveSettings({ profile: 'two' }, withFile), { brokers: 'other:1', output: 'table' })
    t.match(await resolveSettings({}, { ...withFile, SLUICE_PROFILE: 'two' }), { brokers: 'other:1' })
  },
)

t.test('a profile that is not there, or has an unknown key, is a usage error', async t => {
  const file = join(t.testdir(), 'config.yaml')
  writeFileSync(file, 'profiles:\n  one: { broker: typo:1 }\n')
  await t.rejects(resolveSettings({ profile: 'none' }, { SLUICE_CONFIG: file }), {
    exitCode: 2,
    message: /one/,
  })
  await t.rejects(resolveSettings({ profile: 'one' }, { SLUICE_CONFIG: file }), {
    exitCode: 2,
    message: /broker/,
  })
  await t.rejects(resolveSettings({ profile: 'one' }, noFile), { exitCode: 2, message: /no profile/ })
})

t.test('an output format that does not exist is refused wherever it comes from', async t => {
  await t.rejects(resolveSettings({}, { ...noFile, SLUICE_OUTPUT: 'xml' }), { exitCode: 2, message: /xml/ })
})

t.test('durations and sizes have units', t => {
  t.equal(parseDuration('250ms'), 250)
  t.equal(parseDuration('30'), 30_000)
  t.equal(parseDuration('1.5s'), 1500)
  t.equal(parseDuration('2h'), 7_200_000)
  t.equal(parseSize('512'), 512)
  t.equal(parseSize('64k'), 65_536)
  t.equal(parseSize('1MiB'), 1_048_576)
  for (const text of ['', 'soon', '-1s', '5 parsecs']) t.throws(() => parseDuration(text), /no duration/)
  for (const text of ['', 'big', '-1k']) t.throws(() => parseSize(text), /no size/)
  t.end()
})
