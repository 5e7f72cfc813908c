/** How to reach etcd: what can be said, what is taken where nothing is said, and how addresses are written. */
import { type Address, type Env, type Rpc, type RpcTls } from '../../env.ts'
import { MetaStoreError } from '../metastore.ts'

export interface EtcdOptions {
  readonly env: Pick<Env, 'clock' | 'timers' | 'random' | 'log'>
  readonly rpc: Rpc
  /** At least one, as `http://10.0.0.1:2379`, `https://etcd-1:2379` or `etcd-1:2379`; the scheme is that of all. */
  readonly endpoints: readonly string[]
  /**
   * For etcd with authentication; both or none. The user reads and writes the cluster's keys; where the version of etcd
   * has known bugs it must be allowed to read all keys, because watches ask for all there.
   */
  readonly user?: string
  readonly password?: string
  /** For `https`; what is absent is the system's. */
  readonly tls?: RpcTls
  /** A member that has not answered the first question by then is passed over. Default 2,000. */
  readonly connectTimeoutMs?: number
  /** No call takes longer. Default 5,000. */
  readonly requestTimeoutMs?: number
  /** So often a watch asks whether the member is there; after three times without an answer it moves. Default 2,000. */
  readonly progressIntervalMs?: number
  /** What to do with versions of etcd that have known, serious bugs: log a warning (default), or refuse to use them. */
  readonly unsoundVersions?: 'warn' | 'refuse'
}

export interface Endpoint {
  /** As it was given, for messages. */
  readonly url: string
  readonly address: Address
  readonly isSecure: boolean
}

export interface Settings {
  readonly env: EtcdOptions['env']
  readonly rpc: Rpc
  readonly endpoints: readonly Endpoint[]
  readonly credentials: { readonly user: string; readonly password: string } | null
  readonly tls: RpcTls | null
  readonly connectTimeoutMs: number
  readonly requestTimeoutMs: number
  readonly progressIntervalMs: number
  readonly refusesUnsound: boolean
}

const DEFAULT_PORT = 2379

/** Throws a `MetaStoreError` UNSUPPORTED for what cannot be meant. */
export function settingsOf(options: EtcdOptions): Settings {
  const endpoints = options.endpoints.map(endpointOf)
  const [first] = endpoints
  if (first === undefined) throw misconfigured('No address of etcd is given', 'Give at least one')
  if (endpoints.some(endpoint => endpoint.isSecure !== first.isSecure)) {
    throw misconfigured('Some addresses of etcd are http and some https', 'Use one scheme for all')
  }
  if (!first.isSecure && options.tls !== undefined) {
    throw misconfigured(
      'TLS is configured for etcd, but its addresses are http',
      'Write https, or leave TLS out',
    )
  }
  if ((options.user === undefined) !== (options.password === undefined)) {
    throw misconfigured('Of user and password for etcd one is missing', 'Give both or none')
  }
  return {
    env: options.env,
    rpc: options.rpc,
    endpoints,
    credentials: options.user === undefined ? null : { user: options.user, password: options.password ?? '' },
    tls: first.isSecure ? (options.tls ?? {}) : null,
    connectTimeoutMs: options.connectTimeoutMs ?? 2000,
    requestTimeoutMs: options.requestTimeoutMs ?? 5000,
    progressIntervalMs: options.progressIntervalMs ?? 2000,
    refusesUnsound: options.unsoundVersions === 'refuse',
  }
}

function endpointOf(url: string): Endpoint {
  const parts = /^(?:(https?):\/\/)?(?:\[([0-9a-f:.]+)\]|([^\s:/[\]]+))(?::(\d{1,5}))?\/?$/i.exec(url.trim())
  const host = parts?.[2] ?? parts?.[3]
  const port = Number(parts?.[4] ?? DEFAULT_PORT)
  if (host === undefined || port < 1 || port > 65_535) {
    throw misconfigured(
      `${JSON.stringify(url)} is not an address of etcd`,
      'Write it as http://HOST:PORT or https://HOST:PORT',
    )
  }
  return { url: url.trim(), address: { host, port }, isSecure: parts?.[1]?.toLowerCase() === 'https' }
}

function misconfigured(what: string, advice: string): MetaStoreError {
  return new MetaStoreError('UNSUPPORTED', `${what}: the metadata store cannot be opened. ${advice}.`)
}
