/** The report of `npm run bench`: broker beside bare pipe, as JSON, Markdown or one HTML page, by the file's ending. */
import { writeFile } from 'node:fs/promises'
import type { BenchRun, Measured } from '../results.ts'
import { escapeHtml, renderPage } from './page.ts'

/** Throws where the ending is none of .json, .md, .html. */
export async function writeRatioReport(file: string, run: BenchRun): Promise<void> {
  const ending = /\.(json|md|html)$/.exec(file)?.[1]
  switch (ending) {
    case 'json':
      return writeFile(file, `${JSON.stringify(run, null, 2)}\n`)
    case 'md':
      return writeFile(file, markdown(run))
    case 'html':
      return writeFile(file, await html(run))
    default:
      throw new Error(`The report ${file} has an ending that is not known: use .json, .md or .html.`)
  }
}

function conditions(run: BenchRun): string {
  const { date, commit, node, machine, rounds, seconds, connections } = run
  const load = `${rounds} rounds of ${seconds} s, ${connections} connection${connections === 1 ? '' : 's'}`
  return `${date.slice(0, 16).replace('T', ' ')} UTC, commit ${commit}, Node ${node}, ${machine}, ${load}`
}

function markdown(run: BenchRun): string {
  const rows = run.results.map(result => {
    const figures = [result.brokerMedian.toFixed(0), result.pipeMedian.toFixed(0), result.ratio.toFixed(2)]
    return `| ${[result.title, ...figures, `±${(result.spread * 100).toFixed(0)}%`, result.target.toFixed(1)].join(' | ')} |`
  })
  return `# The broker beside the bare pipe

${conditions(run)}

| case | broker, MiB/s | pipe, MiB/s | ratio | spread | target |
|---|---:|---:|---:|---:|---:|
${rows.join('\n')}
`
}

function bar(result: Measured): string {
  const widest = Math.max(1, ...result.broker.map((value, round) => value / result.pipe[round]!))
  const at = (ratio: number): string => `${((ratio / widest) * 100).toFixed(2)}%`
  const dots = result.broker
    .map((value, round) => `<i class="dot" style="left:${at(value / result.pipe[round]!)}"></i>`)
    .join('')
  const low = result.ratio < result.target ? ' low' : ''
  const figures = `${result.brokerMedian.toFixed(0)} of ${result.pipeMedian.toFixed(0)} MiB/s`
  return `<div><b>${escapeHtml(result.title)}</b><div class="note">${figures}</div></div>
<div class="track"><div class="fill${low}" style="width:${at(result.ratio)}"></div>${dots}<div class="goal" style="left:${at(result.target)}"></div></div>
<div class="value">${result.ratio.toFixed(2)}<small>target ${result.target.toFixed(1)}</small></div>`
}

function html(run: BenchRun): Promise<string> {
  const body = `<section>
<h2>Ratio to the bare pipe</h2>
<p class="note">The pipe is a server without a protocol, written as well as we know how: it checks the bytes, appends
them and acknowledges, or sends them. Both were driven in turn by the same generator with the same bytes. The whole
track is the pipe; the line is the target, each dot one round, the bar the median.</p>
<div class="bars">
${run.results.map(bar).join('\n')}
</div>
</section>`
  return renderPage({
    title: 'The broker beside the bare pipe',
    subtitle: conditions(run),
    body,
    script: null,
  })
}
