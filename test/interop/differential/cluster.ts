/** What a broker says about itself: versions, the cluster, its folders. */
import { API } from '../../../client/protocol/apis.ts'
import { type Scenario } from './script.ts'

const versions: Scenario = {
  name: 'cluster: versions',
  async run(script) {
    for (const version of script.versions(API.ApiVersions)) {
      for (const [clientSoftwareName, clientSoftwareVersion] of [
        ['peer', '1'],
        ['', ''],
        ['no name', '1'],
        ['name', 'version with spaces'],
        ['-name', '.1'],
      ] as const) {
        if (version < 3 && clientSoftwareName !== 'peer') continue
        const answer = await script.quietly(API.ApiVersions, version, {
          clientSoftwareName,
          clientSoftwareVersion,
        })
        script.lines.push({
          what: `ApiVersions v${version}: ${clientSoftwareName} ${clientSoftwareVersion}`,
          answer: { errorCode: answer.errorCode, isEmpty: answer.apiKeys.length === 0 },
        })
      }
    }
  },
}

const described: Scenario = {
  name: 'cluster: described',
  async run(script) {
    for (const version of script.versions(API.DescribeCluster)) {
      for (const includeClusterAuthorizedOperations of [false, true]) {
        await script.ask(`operations ${includeClusterAuthorizedOperations}`, API.DescribeCluster, version, {
          includeClusterAuthorizedOperations,
        })
      }
      for (const endpointType of version >= 1 ? [2, 3, 0] : []) {
        await script.ask(`endpoints of type ${endpointType}`, API.DescribeCluster, version, {
          includeClusterAuthorizedOperations: false,
          endpointType,
        })
      }
      if (version >= 2) {
        await script.ask('fenced ones too', API.DescribeCluster, version, {
          includeClusterAuthorizedOperations: false,
          includeFencedBrokers: true,
        })
      }
    }
  },
}

const folders: Scenario = {
  name: 'cluster: folders',
  async run(script) {
    const topic = 'cluster-folders'
    await script.createTopic(topic, 2)
    await script.fill(topic, 0, script.batch(['a', 'b']))
    for (const version of script.versions(API.DescribeLogDirs)) {
      const ask = async (what: string, topics: { topic: string; partitions: number[] }[] | null) => {
        const { results, ...rest } = await script.quietly(API.DescribeLogDirs, version, { topics })
        script.lines.push({
          what: `DescribeLogDirs v${version}: ${what}`,
          answer: {
            errorCode: rest.errorCode,
            folders: results.map(({ errorCode, topics, totalBytes, usableBytes }) => ({
              errorCode,
              hasSpace: totalBytes > 0 && usableBytes > 0,
              topics: topics
                .filter(({ name }) => name.startsWith('cluster-'))
                .map(({ name, partitions }) => ({
                  name,
                  partitions: partitions.toSorted((a, b) => a.partitionIndex - b.partitionIndex),
                })),
            })),
          },
        })
      }
      await ask('all', null)
      await ask('one', [{ topic, partitions: [0] }])
      await ask('two', [{ topic, partitions: [0, 1] }])
      await ask('twice', [{ topic, partitions: [0, 0] }])
      await ask('unknown', [{ topic, partitions: [5] }])
      await ask('missing', [{ topic: 'missing', partitions: [0] }])
      await ask('none', [])
    }
  },
}

export const clusterScenarios = [versions, described, folders]
