/**
 * Where the links between brokers receive: the same counted memory as the server's connections, cut into frames the
 * same way. What links and server share they must not know of each other.
 */
import { type LinkMemory } from './runtime/broker-link.ts'
import { FrameReceiver } from './server/frame-receiver.ts'
import { ReceiveMemory } from './server/receive-memory.ts'
import { type SlabPool } from './slab.ts'

export function linkMemory(pool: SlabPool): LinkMemory {
  const memory = new ReceiveMemory(pool)
  return {
    intake: maxFrameBytes => new FrameReceiver(memory, maxFrameBytes),
    whenAvailable: listener => memory.whenAvailable(listener),
    rest: () => memory.rest(),
    pooledFrameBytes: pool.slabBytes,
  }
}
