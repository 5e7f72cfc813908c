import { readFileSync } from 'node:fs'
import t from 'tap'
import { parse, parseAllDocuments } from 'yaml'
import { etcdAccessOf } from '../../broker/config/cluster.ts'
import { type ListenerConfig, listenersOf } from '../../broker/config/listeners.ts'
import { loadConfig } from '../../broker/config.ts'
import { parseArguments } from '../../broker/main.ts'

function read(name: string): string {
  return readFileSync(new URL(`../../broker/deploy/${name}`, import.meta.url), 'utf8')
}

/** What a broker makes of the arguments after `broker start`. */
function started(args: readonly string[], environment: Record<string, string>) {
  const { settings } = parseArguments(args)
  const { config, warnings } = loadConfig({ environment, flags: settings })
  return { values: config.values, warnings }
}

const told = ({ advertised }: ListenerConfig): string => `${advertised?.host}:${advertised?.port}`

t.test('the compose file starts brokers of one cluster', async t => {
  const { services } = parse(read('compose.yaml'), { merge: true }) as {
    services: Record<string, { command: string[]; environment: Record<string, string>; ports: string[] }>
  }
  const brokers = Object.entries(services).filter(([name]) => name.startsWith('broker-'))
  t.equal(brokers.length, 3)
  for (const [name, { command, environment, ports }] of brokers) {
    t.same(command.slice(0, 2), ['broker', 'start'])
    const { values, warnings } = started(command.slice(2), environment)
    t.same(warnings, [])
    t.equal(`broker-${values['node.id']}`, name)
    t.equal(etcdAccessOf(values)?.endpoints.length, 3)
    const [inside, outside] = listenersOf(values)
    t.equal(told(inside!), `${name}:9092`)
    t.equal(ports[0], `${told(outside!)}:${outside!.port}`)
  }
})

t.test('the manifests for Kubernetes start brokers of one cluster', async t => {
  const documents = parseAllDocuments(read('kubernetes.yaml')).map(document => document.toJS() as Manifest)
  t.same(
    documents.map(({ kind }) => kind),
    ['Service', 'PodDisruptionBudget', 'StatefulSet'],
  )
  const [container] = documents[2]!.spec.template.spec.containers
  const line = container!.args[0]!.replace('$(( ${HOSTNAME##*-} + 1 ))', '3').replace(
    '"$HOSTNAME.sluice.$NAMESPACE.svc.cluster.local:9092"',
    'sluice-2.sluice.x:9092',
  )
  const environment = Object.fromEntries(
    container!.env.flatMap(({ name, value }) => (value === undefined ? [] : [[name, value]])),
  )
  const { values, warnings } = started(line.split(' ').slice(4), environment)
  t.same(warnings, [])
  t.equal(values['node.id'], 3)
  t.same(values['log.dirs'], ['/data/broker'])
  t.equal(told(listenersOf(values)[0]!), 'sluice-2.sluice.x:9092')
})

interface Manifest {
  readonly kind: string
  readonly spec: {
    readonly template: {
      readonly spec: {
        readonly containers: readonly {
          readonly args: readonly string[]
          readonly env: readonly { readonly name: string; readonly value?: string }[]
        }[]
      }
    }
  }
}
