/**
 * Turns the `etcd.*` configs into how the cluster's metadata is reached, and says what a broker of a cluster must have
 * beyond one that is alone. It reads no files.
 */
import { type BrokerConfigValues } from './broker-configs.ts'
import { ConfigError } from './definition.ts'
import { isWildcard, listenersOf } from './listeners.ts'

export interface EtcdAccess {
  readonly endpoints: readonly string[]
  readonly user: string | null
  /** The password, or the file that holds it; null for etcd without authentication. */
  readonly password: { readonly text: string } | { readonly file: string } | null
  /** Paths of PEM files; null: TLS with what the system trusts, or none at all, as the endpoints say. */
  readonly tls: {
    readonly authoritiesFile: string | null
    readonly certificateFile: string | null
    readonly keyFile: string | null
    readonly serverName: string | null
  } | null
  readonly requestTimeoutMs: number
  readonly unsoundVersions: 'warn' | 'refuse'
}

/** Null: the broker is alone. Throws ConfigError where the configs do not go together. */
export function etcdAccessOf(values: BrokerConfigValues): EtcdAccess | null {
  const endpoints = values['etcd.endpoints']
  if (endpoints === null || endpoints.length === 0) {
    requireEndpoints(values)
    return null
  }
  requireReachable(values)
  const tls = {
    authoritiesFile: values['etcd.ca.file'],
    certificateFile: values['etcd.cert.file'],
    keyFile: values['etcd.key.file'],
    serverName: values['etcd.server.name'],
  }
  if ((tls.certificateFile === null) !== (tls.keyFile === null)) {
    const [set, missing] = tls.keyFile === null ? ['cert', 'key'] : ['key', 'cert']
    throw new ConfigError(
      `etcd.${missing}.file`,
      `etcd.${set}.file is set and etcd.${missing}.file is not: a certificate and its key go together`,
    )
  }
  return {
    endpoints,
    user: values['etcd.user'],
    password: passwordOf(values),
    tls: Object.values(tls).every(value => value === null) ? null : tls,
    requestTimeoutMs: values['etcd.request.timeout.ms'],
    unsoundVersions: values['etcd.unsound.versions'] === 'refuse' ? 'refuse' : 'warn',
  }
}

const ONLY_WITH_ENDPOINTS = [
  'etcd.user',
  'etcd.password',
  'etcd.password.file',
  'etcd.ca.file',
  'etcd.cert.file',
  'etcd.key.file',
  'etcd.server.name',
] as const

/** Who says how to reach etcd and not where would start a broker that is alone, and take it for one of a cluster. */
function requireEndpoints(values: BrokerConfigValues): void {
  const set = ONLY_WITH_ENDPOINTS.find(name => values[name] !== null)
  if (set === undefined) return
  throw new ConfigError(
    set,
    `${set} is set and etcd.endpoints is not, so the broker would be alone. Name the addresses of etcd (--etcd), or leave ${set} out`,
  )
}

function passwordOf(values: BrokerConfigValues): EtcdAccess['password'] {
  const text = values['etcd.password']
  const file = values['etcd.password.file']
  if (text !== null && file !== null) {
    throw new ConfigError(
      'etcd.password',
      'etcd.password and etcd.password.file are both set; keep the one that is meant',
    )
  }
  const isGiven = text !== null || file !== null
  if ((values['etcd.user'] !== null) !== isGiven) {
    throw new ConfigError(
      isGiven ? 'etcd.user' : 'etcd.password.file',
      isGiven
        ? 'A password for etcd is set and no user: set etcd.user'
        : 'etcd.user is set and no password: name the file that holds it in etcd.password.file',
    )
  }
  if (text !== null) return { text }
  return file === null ? null : { file }
}

/** What the other brokers and all clients are told must be an address that leads here from anywhere. */
function requireReachable(values: BrokerConfigValues): void {
  for (const { name, host, port, advertised } of listenersOf(values)) {
    if (advertised !== null || !isWildcard(host)) continue
    throw new ConfigError(
      'advertised.listeners',
      `Listener ${name} listens on every interface (${host}), and a broker of a cluster must tell the others one address by which it is reached. Say which: --advertise HOST:${port === 0 ? 'PORT' : port}, or ${name}://HOST:PORT in advertised.listeners`,
    )
  }
}
