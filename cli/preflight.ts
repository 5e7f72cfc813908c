/**
 * A look whether any of the brokers can be reached at all, before the client starts trying for as long as it may: a
 * person who forgot to start a broker should be told at once, and with the system's own reason.
 */
import { connect } from 'node:net'

/** Null when one of them took a connection; else the reason of the last. `timeoutMs` is for each, all at once. */
export async function reasonUnreachable(brokers: string, timeoutMs: number): Promise<Error | null> {
  const addresses = brokers.split(',').map(parseAddress)
  // What makes no sense as an address is told by the client, whose rules they are.
  if (addresses.includes(null)) return null
  const tries = addresses.map(address => tryConnect(address!, timeoutMs))
  try {
    await Promise.any(tries)
    return null
  } catch (error) {
    return (error as AggregateError).errors.at(-1) as Error
  }
}

interface Address {
  readonly host: string
  readonly port: number
}

function parseAddress(text: string): Address | null {
  const match = /^\s*(?:\[([0-9a-fA-F:.]+)\]|([^:\s/]+))(?::(\d{1,5}))?\s*$/.exec(text)
  const host = match?.[1] ?? match?.[2]
  const port = Number(match?.[3] ?? 9092)
  return host === undefined || port > 65_535 ? null : { host, port }
}

function tryConnect(address: Address, timeoutMs: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = connect(address)
    const deadline = setTimeout(() => {
      const error: NodeJS.ErrnoException = new Error(`no answer within ${timeoutMs} ms`)
      error.code = 'ETIMEDOUT'
      socket.destroy(error)
    }, timeoutMs)
    socket.once('connect', () => {
      clearTimeout(deadline)
      socket.destroy()
      resolve()
    })
    socket.once('error', error => {
      clearTimeout(deadline)
      reject(error)
    })
  })
}
