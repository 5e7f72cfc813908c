/** The flags by which a broker is configured, and the arguments that `broker/main` makes of them. */
import { integer, string } from '@oclif/core/flags'

const CLUSTER = 'CLUSTER'

export const brokerFlags = {
  config: string({ helpValue: 'FILE', description: "a server.properties with Kafka's names" }),
  data: string({ helpValue: 'DIR', description: 'where the data is kept (log.dirs) [./data]' }),
  listen: string({
    helpValue: 'HOST:PORT',
    description: 'where to listen; port 0 takes a free one [127.0.0.1:9092]',
  }),
  'broker-id': integer({ min: 0, helpValue: 'N', description: 'id of this broker (node.id) [1]' }),
  rack: string({ helpValue: 'NAME', description: 'where it stands: a rack, a zone (broker.rack)' }),
  advertise: string({
    helpValue: 'HOST:PORT',
    description: 'what clients and other brokers are told to connect to (advertised.listeners)',
  }),
  etcd: string({
    helpGroup: CLUSTER,
    helpValue: 'URL,…',
    description:
      'members of etcd, as http://10.0.0.1:2379: makes it one broker of a cluster (etcd.endpoints)',
  }),
  'etcd-user': string({ helpGroup: CLUSTER, helpValue: 'NAME', description: 'user for etcd (etcd.user)' }),
  'etcd-password-file': string({
    helpGroup: CLUSTER,
    helpValue: 'FILE',
    description: 'file that holds its password (etcd.password.file)',
  }),
  'etcd-password': string({
    helpGroup: CLUSTER,
    helpValue: 'PASSWORD',
    description: 'the password itself, which other users of the host can see (etcd.password)',
  }),
  'etcd-ca': string({
    helpGroup: CLUSTER,
    helpValue: 'FILE',
    description: 'authorities of an https etcd, PEM (etcd.ca.file)',
  }),
  'etcd-cert': string({
    helpGroup: CLUSTER,
    helpValue: 'FILE',
    description: 'certificate of this broker for etcd (etcd.cert.file)',
  }),
  'etcd-key': string({ helpGroup: CLUSTER, helpValue: 'FILE', description: 'its key (etcd.key.file)' }),
  'cluster-id': string({
    helpGroup: CLUSTER,
    helpValue: 'ID',
    description: 'cluster to be part of, where etcd has several (cluster.id)',
  }),
  set: string({
    multiple: true,
    multipleNonGreedy: true,
    helpValue: 'NAME=VALUE',
    description: 'any other config',
  }),
} as const

/** Those that take one value. */
type SingleFlag = Exclude<keyof typeof brokerFlags, 'set'>

export type BrokerFlagValues = Readonly<Partial<Record<SingleFlag, string | number | undefined>>> & {
  readonly set?: readonly string[] | undefined
}

/** What `run` of broker/main takes. */
export function brokerArguments(flags: BrokerFlagValues): string[] {
  const names = Object.keys(brokerFlags).filter((name): name is SingleFlag => name !== 'set')
  const single = names.flatMap(name => {
    const value = flags[name]
    return value === undefined ? [] : [`--${name}=${value}`]
  })
  return [...single, ...(flags.set ?? []).flatMap(setting => ['--set', setting])]
}
