/** The report of `sluice bench failover`: JSON, Markdown, or one HTML page with a bar for each fault. */
import { writeFile } from 'node:fs/promises'
import type { FailoverFault, FailoverResult } from '../workload/failover.ts'
import { escapeHtml, renderPage } from './page.ts'
import { milliseconds, number } from './text.ts'

/** Throws where the ending is none of .json, .md, .html. */
export async function writeFailoverReport(file: string, result: FailoverResult): Promise<void> {
  const ending = /\.(json|md|html)$/.exec(file)?.[1]
  switch (ending) {
    case 'json':
      return writeFile(file, `${JSON.stringify(result, null, 2)}\n`)
    case 'md':
      return writeFile(file, failoverMarkdown(result))
    case 'html':
      return writeFile(file, await failoverHtml(result))
    default:
      throw new Error(`The report ${file} has an ending that is not known: use .json, .md or .html.`)
  }
}

const TITLE = 'Failover'

const MEANING: Readonly<Record<FailoverFault, string>> = {
  kill: 'kill -9 of the leader',
  halt: 'the leader halts (SIGSTOP)',
}

export function failoverHeadline({ p50, p99, max }: FailoverResult): string {
  return `writing stands still for ${milliseconds(p50)} ms (p50), ${milliseconds(p99)} ms (p99), ${milliseconds(max)} ms (max)`
}

export function failoverConditions(result: FailoverResult): [string, string][] {
  const { options, gaps, records, errors, node, machine } = result
  return [
    ['faults', `${gaps.length}, ${MEANING[options.fault]}`],
    ['writer', `one record every ${options.everyMs} ms, acks=${options.acks}`],
    ['acknowledged', number(records)],
    ['errors', number(errors)],
    ['node', node],
    ['machine', machine],
  ]
}

export function failoverMarkdown(result: FailoverResult): string {
  const pairs = failoverConditions(result).map(([name, value]) => `| ${name} | ${value} |`)
  const gaps = result.gaps.map(
    ({ leader, newLeader, gapMs }, index) =>
      `| ${index + 1} | ${leader} | ${newLeader} | ${milliseconds(gapMs)} |`,
  )
  return `# ${TITLE}, ${result.startedAt.slice(0, 16).replace('T', ' ')} UTC

${failoverHeadline(result)}

| fault | leader | new leader | gap, ms |
|---:|---:|---:|---:|
${gaps.join('\n')}

## Conditions

| | |
|---|---|
${pairs.join('\n')}
`
}

export function failoverHtml(result: FailoverResult): Promise<string> {
  const { gaps, options, p50, p99, max, errors } = result
  const card = (value: string, unit: string, label: string): string =>
    `<div class="card"><b>${value}<small>${unit}</small></b><span>${label}</span></div>`
  const cards = [
    card(milliseconds(p50), 'ms', 'median gap'),
    card(milliseconds(p99), 'ms', '99th percentile'),
    card(milliseconds(max), 'ms', 'largest'),
    card(number(gaps.length), '', 'faults'),
    card(number(errors), '', 'errors'),
  ]
  const bars = gaps.map(({ leader, newLeader, gapMs }, index) => {
    const width = max > 0 ? (gapMs / max) * 100 : 0
    const slow = gapMs > 2 * p50 ? ' low' : ''
    return `<span>${options.fault} ${index + 1}: broker ${leader} to ${newLeader}</span><div class="track"><div class="fill${slow}" style="width:${width.toFixed(1)}%"></div></div><span class="value">${milliseconds(gapMs)} ms</span>`
  })
  const rows = failoverConditions(result).map(
    ([name, value]) => `<tr><td>${escapeHtml(name)}</td><td>${escapeHtml(value)}</td></tr>`,
  )
  return renderPage({
    title: TITLE,
    subtitle: `${result.startedAt.slice(0, 16).replace('T', ' ')} UTC`,
    body: `<div class="cards">${cards.join('')}</div>
<section><h2>Gaps</h2><p class="note">Milliseconds from the last acknowledgement before to the first after: ${MEANING[options.fault]}</p><div class="bars">${bars.join('')}</div></section>
<section><h2>Conditions</h2><table>${rows.join('')}</table></section>`,
    script: null,
  })
}
