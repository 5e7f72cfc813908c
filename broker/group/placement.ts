/**
 * Which partition of `__consumer_offsets` holds a group. Kafka's rule, so that a data folder can move between the two.
 */

/** `partitionCount` is 1 or more. The hash is that of Java's String, over UTF-16 units. */
export function partitionOfGroup(groupId: string, partitionCount: number): number {
  let hash = 0
  for (let index = 0; index < groupId.length; index++)
    hash = (Math.imul(hash, 31) + groupId.charCodeAt(index)) | 0
  // The absolute value of -2^31 does not fit an int32: Java's `Utils.abs` makes it 0.
  const positive = hash === -0x8000_0000 ? 0 : Math.abs(hash)
  return positive % partitionCount
}
