/** The flags by which a broker is configured, and the arguments that `broker/main` makes of them. */
import { integer, string } from '@oclif/core/flags'

export const brokerFlags = {
  config: string({ helpValue: 'FILE', description: "a server.properties with Kafka's names" }),
  data: string({ helpValue: 'DIR', description: 'where the data is kept (log.dirs) [./data]' }),
  listen: string({
    helpValue: 'HOST:PORT',
    description: 'where to listen; port 0 takes a free one [127.0.0.1:9092]',
  }),
  'broker-id': integer({ min: 0, helpValue: 'N', description: 'id of this broker (node.id) [1]' }),
  set: string({
    multiple: true,
    multipleNonGreedy: true,
    helpValue: 'NAME=VALUE',
    description: 'any other config',
  }),
} as const

export interface BrokerFlagValues {
  readonly config?: string | undefined
  readonly data?: string | undefined
  readonly listen?: string | undefined
  readonly 'broker-id'?: number | undefined
  readonly set?: readonly string[] | undefined
}

/** What `run` of broker/main takes. */
export function brokerArguments(flags: BrokerFlagValues): string[] {
  const single = (['config', 'data', 'listen', 'broker-id'] as const).flatMap(name => {
    const value = flags[name]
    return value === undefined ? [] : [`--${name}=${value}`]
  })
  return [...single, ...(flags.set ?? []).flatMap(setting => ['--set', setting])]
}
