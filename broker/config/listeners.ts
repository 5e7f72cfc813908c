/**
 * Turns `listeners`, `advertised.listeners` and their kin into what is opened and what clients are told.
 */
import { type BrokerConfigValues } from './broker-configs.ts'
import { ConfigError } from './definition.ts'

export interface ListenerConfig {
  /** Upper case, as PLAINTEXT. */
  readonly name: string
  /** '0.0.0.0' or '::' for every interface. */
  readonly host: string
  readonly port: number
  /** What clients are told; null: the address by which they came. */
  readonly advertised: { readonly host: string; readonly port: number } | null
}

const SERVED_PROTOCOLS = ['PLAINTEXT']
const KNOWN_PROTOCOLS = ['PLAINTEXT', 'SSL', 'SASL_PLAINTEXT', 'SASL_SSL']

/** Throws ConfigError. */
export function listenersOf(values: BrokerConfigValues): ListenerConfig[] {
  const advertised = new Map(
    (values['advertised.listeners'] ?? []).map(text => {
      const endpoint = parseEndpoint('advertised.listeners', text)
      if (isWildcard(endpoint.host)) {
        throw new ConfigError(
          'advertised.listeners',
          `advertised.listeners cannot hold ${text}: no client can connect to "every interface". Name the host that clients reach, or leave the config unset.`,
        )
      }
      return [endpoint.name, endpoint] as const
    }),
  )
  const skipped = new Set(values['controller.listener.names'].map(name => name.toUpperCase()))
  const listeners = values.listeners
    .map(text => parseEndpoint('listeners', text))
    .filter(endpoint => !skipped.has(endpoint.name))
    .map(({ name, host, port }) => {
      requireServedProtocol(name, values)
      const told = advertised.get(name)
      return {
        name,
        host,
        port,
        advertised: told === undefined ? null : { host: told.host, port: told.port },
      }
    })
  if (listeners.length === 0)
    throw new ConfigError('listeners', 'listeners names no listener that clients can use')
  const names = new Set(listeners.map(listener => listener.name))
  if (names.size !== listeners.length)
    throw new ConfigError('listeners', 'listeners holds a listener name twice')
  for (const name of advertised.keys()) {
    if (!names.has(name) && !skipped.has(name)) {
      throw new ConfigError(
        'advertised.listeners',
        `advertised.listeners names ${name}, which listeners does not`,
      )
    }
  }
  return listeners
}

export function isWildcard(host: string): boolean {
  return host === '' || host === '0.0.0.0' || host === '::'
}

/** NAME://HOST:PORT, where HOST may be empty or an IPv6 address in brackets. */
function parseEndpoint(config: string, text: string): { name: string; host: string; port: number } {
  const match =
    /^(?<name>[A-Za-z0-9_-]+):\/\/(?:\[(?<v6>[0-9a-fA-F:.%]+)\]|(?<host>[^:[\]/]*)):(?<port>\d{1,5})$/.exec(
      text,
    )
  const port = Number(match?.groups?.['port'])
  if (match?.groups === undefined || match.groups === null || port > 65_535) {
    throw new ConfigError(
      config,
      `${config} holds ${text}, which is not NAME://HOST:PORT (as PLAINTEXT://127.0.0.1:9092)`,
    )
  }
  const host = match.groups['v6'] ?? match.groups['host'] ?? ''
  return { name: match.groups['name']!.toUpperCase(), host: host === '' ? '0.0.0.0' : host, port }
}

function requireServedProtocol(name: string, values: BrokerConfigValues): void {
  const map = new Map(
    values['listener.security.protocol.map'].map(item => {
      const [listener = '', protocol = ''] = item.split(':')
      return [listener.trim().toUpperCase(), protocol.trim().toUpperCase()] as const
    }),
  )
  const protocol = map.get(name) ?? (KNOWN_PROTOCOLS.includes(name) ? name : undefined)
  if (protocol === undefined) {
    throw new ConfigError(
      'listener.security.protocol.map',
      `Listener ${name} has no security protocol: add ${name}:PLAINTEXT to listener.security.protocol.map`,
    )
  }
  if (!SERVED_PROTOCOLS.includes(protocol)) {
    throw new ConfigError(
      'listeners',
      `Listener ${name} wants ${protocol}, and only PLAINTEXT is served yet. Use PLAINTEXT on a network that you trust.`,
    )
  }
}
