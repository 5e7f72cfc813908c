import t from 'tap'
import { openClusterStore } from '../../broker/cluster-store.ts'
import { BrokerConfig } from '../../broker/config/broker-config.ts'
import { etcdAccessOf } from '../../broker/config/cluster.ts'
import { createNodeLog } from '../../broker/env-node/log.ts'
import { createNodeEnv, loadNodeRpc } from '../../broker/env-node.ts'
import { spawnEtcd, withoutEtcd } from '../helpers/etcd.ts'

const env = createNodeEnv({ log: createNodeLog({ level: 'silent' }) })

async function open(settings: Record<string, string>): ReturnType<typeof openClusterStore> {
  const access = etcdAccessOf(BrokerConfig.of(settings).values)!
  return openClusterStore(env, await loadNodeRpc(), access)
}

t.test('a file that cannot be read is named with its config', async t => {
  const settings = { 'etcd.endpoints': 'https://127.0.0.1:1', 'etcd.ca.file': '/nonexistent/ca.pem' }
  await t.rejects(open(settings), {
    name: 'ConfigError',
    message: '/nonexistent/ca.pem, which etcd.ca.file names, cannot be read: there is no such file',
  })
  const user = {
    'etcd.endpoints': 'http://127.0.0.1:1',
    'etcd.user': 'u',
    'etcd.password.file': '/nonexistent/p',
  }
  await t.rejects(open(user), { message: /which etcd\.password\.file names/ })
})

t.test('an etcd that does not answer is told with its address', async t => {
  const settings = { 'etcd.endpoints': 'http://127.0.0.1:1', 'etcd.request.timeout.ms': '200' }
  await t.rejects(open(settings), { code: 'UNAVAILABLE', message: /http:\/\/127\.0\.0\.1:1 says/ })
})

t.test('the store that the configuration names is opened', { skip: withoutEtcd }, async t => {
  await using etcd = await spawnEtcd()
  const store = await open({ 'etcd.endpoints': etcd.endpoint })
  t.match(await store.range({ prefix: '/' }), { entries: [], count: 0 })
  await store.close()
  const refusing = { 'etcd.endpoints': etcd.endpoint, 'etcd.unsound.versions': 'refuse' }
  const { version } = (await (await fetch(`${etcd.endpoint}/version`)).json()) as Record<string, string>
  t.comment(`etcd ${version ?? 'of an unknown version'}`)
  const refused = open(refusing).then(
    async opened => {
      await opened.close()
      return null
    },
    (error: Error) => error.message,
  )
  t.match((await refused) ?? 'a sound version', /known bugs|a sound version/)
})
