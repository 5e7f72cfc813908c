/**
 * Opens the metadata store of a cluster as the configuration says. Loaded by brokers of clusters alone: it brings in
 * gRPC, which would make up a good part of the start of a broker that needs none.
 */
import { resolve } from 'node:path'
import { type EtcdAccess } from './config/cluster.ts'
import { ConfigError } from './config/definition.ts'
import { DiskError, type Env, type Rpc, type RpcTls } from './env.ts'
import { openEtcdMetaStore } from './metastore/etcd.ts'
import { type MetaStore } from './metastore/metastore.ts'

/** Rejects with a ConfigError for a file that cannot be read, else with a `MetaStoreError`. */
export async function openClusterStore(env: Env, rpc: Rpc, access: EtcdAccess): Promise<MetaStore> {
  const { endpoints, user, tls, requestTimeoutMs, unsoundVersions } = access
  const password = await passwordFor(env, access)
  return openEtcdMetaStore({
    env,
    rpc,
    endpoints,
    requestTimeoutMs,
    unsoundVersions,
    ...(user === null || password === null ? {} : { user, password }),
    ...(tls === null ? {} : { tls: await readTls(env, tls) }),
  })
}

async function passwordFor(env: Env, { password }: EtcdAccess): Promise<string | null> {
  if (password === null) return null
  if ('text' in password) return password.text
  const bytes = await read(env, 'etcd.password.file', password.file)
  return Buffer.from(bytes).toString('utf8').trim()
}

async function readTls(env: Env, tls: NonNullable<EtcdAccess['tls']>): Promise<RpcTls> {
  const { authoritiesFile, certificateFile, keyFile, serverName } = tls
  return {
    ...(authoritiesFile === null ? {} : { authorities: await read(env, 'etcd.ca.file', authoritiesFile) }),
    ...(certificateFile === null ? {} : { certificate: await read(env, 'etcd.cert.file', certificateFile) }),
    ...(keyFile === null ? {} : { key: await read(env, 'etcd.key.file', keyFile) }),
    ...(serverName === null ? {} : { serverName }),
  }
}

async function read(env: Env, config: string, path: string): Promise<Uint8Array> {
  try {
    return await env.disk.readFile(resolve(path))
  } catch (error) {
    if (!(error instanceof DiskError)) throw error
    const why = error.code === 'NOT_FOUND' ? 'there is no such file' : error.message
    throw new ConfigError(config, `${path}, which ${config} names, cannot be read: ${why}`)
  }
}
