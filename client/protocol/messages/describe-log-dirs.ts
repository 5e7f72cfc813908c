/**
 * DescribeLogDirs: size of the partitions in each data folder of a broker.
 *
 * Versions: 2 is flexible, 3 has an error for the whole response, 4 adds total and usable bytes of the volume
 * (KIP-827), 5 tells whether a folder takes no new partitions.
 */
import { array, bool, type Infer, int16, int32, int64, message, string } from '../schema.ts'

const versions = { min: 1, max: 5, flexible: 2 }

export const DescribeLogDirsRequest = message('DescribeLogDirsRequest', versions, {
  topics: array(
    {
      topic: string(),
      partitions: array(int32()),
    },
    { nullable: true },
  ),
})
export type DescribeLogDirsRequest = Infer<typeof DescribeLogDirsRequest>

export const DescribeLogDirsResponse = message('DescribeLogDirsResponse', versions, {
  throttleTimeMs: int32({ default: 0 }),
  errorCode: int16({ since: 3, ignorable: true }),
  results: array({
    errorCode: int16(),
    logDir: string(),
    topics: array({
      name: string(),
      partitions: array({
        partitionIndex: int32(),
        partitionSize: int64(),
        offsetLag: int64(),
        isFutureKey: bool(),
      }),
    }),
    totalBytes: int64({ since: 4, default: -1, ignorable: true }),
    usableBytes: int64({ since: 4, default: -1, ignorable: true }),
    isCordoned: bool({ since: 5, default: false, ignorable: true }),
  }),
})
export type DescribeLogDirsResponse = Infer<typeof DescribeLogDirsResponse>
