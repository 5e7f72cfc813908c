/**
 * The configs that make a broker one of a cluster: where etcd is, and how to be let in. Kafka has none of them: its
 * brokers keep the cluster's metadata themselves.
 */
import { int, list, optional, password, string } from './definition.ts'

export const ETCD_CONFIGS = {
  'etcd.endpoints': optional(
    list({
      default: '',
      doc: 'Addresses of the members of etcd, as http://HOST:PORT or https://HOST:PORT. Set, the broker is one of the cluster whose metadata lies there; unset, it is alone and keeps its metadata in its data folder.',
    }),
  ),
  'etcd.user': optional(
    string({
      default: '',
      doc: 'User for etcd with authentication. It reads and writes keys below /sluice/.',
    }),
  ),
  'etcd.password': optional(
    password({
      doc: 'Password of that user. Better kept in a file (etcd.password.file) than on a command line.',
    }),
  ),
  'etcd.password.file': optional(
    string({ default: '', doc: 'File that holds the password; line ends around it do not count.' }),
  ),
  'etcd.ca.file': optional(
    string({
      default: '',
      doc: "PEM file with the authorities that etcd's certificate may come from. Unset: those of the system.",
    }),
  ),
  'etcd.cert.file': optional(
    string({ default: '', doc: 'PEM file with the certificate by which the broker shows etcd who it is.' }),
  ),
  'etcd.key.file': optional(string({ default: '', doc: 'PEM file with the key of that certificate.' })),
  'etcd.server.name': optional(
    string({ default: '', doc: "Name that etcd's certificate must carry, where it is not the host's." }),
  ),
  'etcd.request.timeout.ms': int({
    default: 5000,
    min: 100,
    doc: 'Longest wait for an answer of etcd, over all attempts and members.',
  }),
  'etcd.unsound.versions': string({
    default: 'warn',
    oneOf: ['warn', 'refuse'],
    doc: 'What to do with an etcd whose version has known bugs that can cost a cluster its metadata: warn, or refuse to start.',
  }),
} as const
