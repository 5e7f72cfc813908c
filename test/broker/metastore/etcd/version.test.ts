import t from 'tap'
import { judgeVersion } from '../../../../broker/metastore/etcd/version.ts'

t.test('old versions do not understand us, many have bugs, and some are fine', async t => {
  const verdicts = {
    unsupported: ['2.3.8', '3.3.27'],
    unsound: ['3.4.0', '3.4.23', '3.4.99', '3.5.0', '3.5.32', '3.5.33-rc.0', '3.6.13', '4.0.0', 'main', ''],
    sound: ['3.5.33', '3.5.40', '3.6.14', '3.6.15-rc.1', '3.7.0'],
  }
  for (const [verdict, versions] of Object.entries(verdicts)) {
    for (const version of versions) t.equal(judgeVersion(version), verdict, version)
  }
})
