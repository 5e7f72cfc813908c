/** Copying inside LZ77 decoders. */

/** Below this a loop beats the call of a typed array's own method. */
const SHORT = 48

/** Copies `count` bytes from one array to another; the caller has checked both bounds. */
export function copyBytes(from: Uint8Array, start: number, to: Uint8Array, at: number, count: number): void {
  if (count < SHORT) for (let i = 0; i < count; i++) to[at + i] = from[start + i]!
  else to.set(from.subarray(start, start + count), at)
}

/**
 * Repeats what lies `distance` bytes back, for `count` bytes. Where the two overlap (distance < count) the bytes just
 * written are copied again, which is how LZ77 spells a run; the caller has checked the bounds.
 */
export function copyMatch(bytes: Uint8Array, at: number, distance: number, count: number): void {
  if (count < SHORT) {
    for (let i = 0; i < count; i++) bytes[at + i] = bytes[at + i - distance]!
    return
  }
  // Each pass doubles what there is to copy from: a run of any length takes a handful of calls.
  const start = at - distance
  let done = 0
  while (done < count) {
    const step = Math.min(distance + done, count - done)
    bytes.copyWithin(at + done, start, start + step)
    done += step
  }
}
