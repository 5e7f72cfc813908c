/**
 * The network between the nodes of a cluster under test. With network namespaces (Linux, root) every node has an
 * address of its own on a bridge, and packets from one to another can be lost in either direction, silently, as on a
 * broken link: the sender is given a neighbour that does not exist. What a node sends can be held up too, as by a link
 * that is too thin for it. Without namespaces all nodes are on the loopback, and nothing can be cut.
 */
import { spawnSync } from 'node:child_process'
import { freePorts } from '../../../perf/free-ports.ts'

export interface ChaosNetwork {
  /** Why links cannot be cut here; null: they can. */
  readonly limits: string | null
  /** Why links cannot be made slow here; null: they can. */
  readonly slowLimits: string | null
  /** Where a node is; clients reach it there too. */
  host(node: string): string
  port(node: string): number
  /** How a program is run on a node. */
  command(node: string, program: string, args: readonly string[]): { program: string; args: string[] }
  /** Packets from one node to the other are lost from now on. */
  cut(from: string, to: string): void
  /**
   * What the node sends leaves at this rate from now on. It waits in one queue, for up to so many milliseconds; what
   * would wait longer is lost.
   */
  slow(node: string, kilobitsPerSecond: number, queueMs: number): void
  /** All links are whole and fast again. */
  heal(): void
  close(): void
}

/** Namespaces where they can be had, else the loopback. */
export async function openNetwork(nodes: readonly string[]): Promise<ChaosNetwork> {
  const problem = namespaceProblem()
  return problem === null ? new NamespaceNetwork(nodes) : LoopbackNetwork.open(nodes, problem)
}

function namespaceProblem(): string | null {
  if (process.platform !== 'linux') return 'there are no network namespaces on this system'
  if (process.getuid?.() !== 0) return 'network namespaces need root'
  const probe = `slprobe${process.pid}`
  const made = spawnSync('ip', ['netns', 'add', probe], { encoding: 'utf8' })
  if (made.error !== undefined) return 'the program ip is missing (apt-get install iproute2)'
  if (made.status !== 0) return `network namespaces are not allowed here: ${made.stderr.trim()}`
  spawnSync('ip', ['netns', 'del', probe])
  return null
}

const BROKER_PORT = 9092
const ETCD_PORT = 2379
/** Belongs to nobody. */
const NOBODY = '02:00:00:00:de:ad'

class NamespaceNetwork implements ChaosNetwork {
  readonly limits = null
  readonly slowLimits: string | null
  readonly #tag = (process.pid % 4096).toString(16)
  readonly #subnet = `10.77.${process.pid % 256}`
  readonly #nodes: readonly string[]
  #cuts: { readonly namespace: string; readonly address: string }[] = []
  #slow: string[] = []

  constructor(nodes: readonly string[]) {
    this.#nodes = nodes
    const bridge = `slb${this.#tag}`
    ip('link', 'add', bridge, 'type', 'bridge')
    ip('addr', 'add', `${this.#subnet}.254/24`, 'dev', bridge)
    ip('link', 'set', bridge, 'up')
    for (const [index, node] of nodes.entries()) {
      const namespace = this.#namespace(node)
      const outside = `slv${this.#tag}-${index}`
      ip('netns', 'add', namespace)
      ip('link', 'add', outside, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', namespace)
      ip('link', 'set', outside, 'master', bridge, 'up')
      ip('-n', namespace, 'addr', 'add', `${this.host(node)}/24`, 'dev', 'eth0')
      ip('-n', namespace, 'link', 'set', 'eth0', 'up')
      ip('-n', namespace, 'link', 'set', 'lo', 'up')
    }
    this.slowLimits = this.#slowProblem()
  }

  #slowProblem(): string | null {
    const namespace = this.#namespace(this.#nodes[0]!)
    const { error, status, stderr } = spawnSync('tc', shaping(namespace, 1000, 100), { encoding: 'utf8' })
    if (error !== undefined) return 'the program tc is missing (apt-get install iproute2)'
    if (status !== 0) return `this kernel cannot shape traffic: ${stderr.trim()}`
    must('tc', ...unshaping(namespace))
    return null
  }

  host(node: string): string {
    return `${this.#subnet}.${this.#nodes.indexOf(node) + 1}`
  }

  port(node: string): number {
    return node === 'etcd' ? ETCD_PORT : BROKER_PORT
  }

  command(node: string, program: string, args: readonly string[]): { program: string; args: string[] } {
    return { program: 'ip', args: ['netns', 'exec', this.#namespace(node), program, ...args] }
  }

  cut(from: string, to: string): void {
    const namespace = this.#namespace(from)
    const address = this.host(to)
    ip('-n', namespace, 'neigh', 'replace', address, 'lladdr', NOBODY, 'dev', 'eth0', 'nud', 'permanent')
    this.#cuts.push({ namespace, address })
  }

  slow(node: string, kilobitsPerSecond: number, queueMs: number): void {
    const namespace = this.#namespace(node)
    must('tc', ...shaping(namespace, kilobitsPerSecond, queueMs))
    this.#slow.push(namespace)
  }

  heal(): void {
    for (const { namespace, address } of this.#cuts)
      ip('-n', namespace, 'neigh', 'del', address, 'dev', 'eth0')
    for (const namespace of this.#slow) must('tc', ...unshaping(namespace))
    this.#cuts = []
    this.#slow = []
  }

  close(): void {
    for (const node of this.#nodes) spawnSync('ip', ['netns', 'del', this.#namespace(node)])
    spawnSync('ip', ['link', 'del', `slb${this.#tag}`])
  }

  #namespace(node: string): string {
    return `sl${this.#tag}-${node}`
  }
}

class LoopbackNetwork implements ChaosNetwork {
  readonly limits: string
  readonly slowLimits: string
  readonly #ports: ReadonlyMap<string, number>

  private constructor(limits: string, ports: ReadonlyMap<string, number>) {
    this.limits = limits
    this.slowLimits = limits
    this.#ports = ports
  }

  static async open(nodes: readonly string[], limits: string): Promise<LoopbackNetwork> {
    const ports = await freePorts(nodes.length)
    const portOf = new Map(nodes.map((node, index) => [node, ports[index]!]))
    return new LoopbackNetwork(limits, portOf)
  }

  host(): string {
    return '127.0.0.1'
  }

  port(node: string): number {
    return this.#ports.get(node)!
  }

  command(_node: string, program: string, args: readonly string[]): { program: string; args: string[] } {
    return { program, args: [...args] }
  }

  cut(): void {
    throw new Error(`links cannot be cut: ${this.limits}`)
  }

  slow(): void {
    throw new Error(`links cannot be made slow: ${this.limits}`)
  }

  heal(): void {}

  close(): void {}
}

function must(program: string, ...args: string[]): void {
  const { status, stderr } = spawnSync(program, args, { encoding: 'utf8' })
  if (status !== 0) throw new Error(`${program} ${args.join(' ')}: ${stderr.trim()}`)
}

function ip(...args: string[]): void {
  must('ip', ...args)
}

/** A token bucket that holds one full packet or two. */
function shaping(namespace: string, kilobitsPerSecond: number, queueMs: number): string[] {
  const rate = ['rate', `${kilobitsPerSecond}kbit`, 'burst', '4kb', 'latency', `${queueMs}ms`]
  return ['-n', namespace, 'qdisc', 'replace', 'dev', 'eth0', 'root', 'tbf', ...rate]
}

function unshaping(namespace: string): string[] {
  return ['-n', namespace, 'qdisc', 'del', 'dev', 'eth0', 'root']
}
