/**
 * The frame of the HTML reports: one file with its style, its figures and (where asked for) uPlot inside, so that it
 * can be mailed, archived and opened without a network. It must never refer to anything outside itself.
 */
import { readFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'

export interface Page {
  readonly title: string
  readonly subtitle: string
  /** HTML. */
  readonly body: string
  /** Script that runs at the end of the page, with uPlot at hand; null for a page without. */
  readonly script: string | null
}

const ESCAPES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
}

export function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, character => ESCAPES[character]!)
}

/** JSON that can stand inside a script element. */
export function embedJson(value: unknown): string {
  return JSON.stringify(value).replaceAll('<', '\\u003c')
}

const STYLE = `
:root { color-scheme: light dark; --ground: #fbfbfa; --card: #ffffff; --ink: #1b1f24; --quiet: #667078; --line: #e4e6e8;
  --accent: #0f766e; --accent-soft: #99d5cd; --second: #b45309; --third: #6d28d9; --bad: #b42318; --bar: #cfd5da }
@media (prefers-color-scheme: dark) { :root { --ground: #121517; --card: #1a1e21; --ink: #e7eaec; --quiet: #97a1a9;
  --line: #2b3135; --accent: #2dd4bf; --accent-soft: #155e57; --second: #f59e0b;
  --third: #a78bfa; --bad: #f97066; --bar: #3a4248 } }
* { box-sizing: border-box }
body { margin: 0; background: var(--ground); color: var(--ink);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", sans-serif }
main { max-width: 1080px; margin: 0 auto; padding: 40px 24px 64px }
h1 { font-size: 26px; font-weight: 650; letter-spacing: -.01em; margin: 0 }
h2 { font-size: 16px; font-weight: 600; margin: 0 0 2px }
p.sub, .note { color: var(--quiet); margin: 4px 0 0 }
.note { font-size: 13px }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: 12px; margin: 28px 0 }
.card, section { background: var(--card); border: 1px solid var(--line); border-radius: 10px }
.card { padding: 14px 16px }
.card b { display: block; font-size: 24px; font-weight: 620; letter-spacing: -.02em;
  font-variant-numeric: tabular-nums }
.card b small { font-size: 13px; font-weight: 500; color: var(--quiet); margin-left: 4px; letter-spacing: 0 }
.card { white-space: nowrap }
.card span { color: var(--quiet); font-size: 13px }
section { padding: 18px 20px; margin: 16px 0 }
section .chart { margin-top: 12px }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums }
th, td { text-align: right; padding: 6px 10px; border-bottom: 1px solid var(--line) }
th { color: var(--quiet); font-weight: 500; font-size: 13px }
th:first-child, td:first-child { text-align: left; padding-left: 0 }
tr:last-child td { border-bottom: 0 }
.columns { display: grid; grid-template-columns: repeat(auto-fit, minmax(300px, 1fr)); gap: 0 40px }
.bars { display: grid; grid-template-columns: minmax(180px, 300px) 1fr 88px;
  gap: 14px 16px; align-items: center; margin-top: 16px }
.track { position: relative; height: 26px; border-radius: 5px;
  background: color-mix(in srgb, var(--bar) 45%, transparent) }
.fill { position: absolute; inset: 0 auto 0 0; border-radius: 5px; background: var(--accent) }
.fill.low { background: var(--second) }
.goal { position: absolute; top: -4px; bottom: -4px; width: 2px; background: var(--ink); opacity: .75 }
.dot { position: absolute; top: 50%; width: 7px; height: 7px; margin: -3.5px 0 0 -3.5px;
  border-radius: 50%; background: var(--card); border: 1.5px solid var(--ink); opacity: .8 }
.value { font-weight: 620; text-align: right; font-variant-numeric: tabular-nums }
.value small { display: block; color: var(--quiet); font-weight: 400; font-size: 12px }
main .u-legend :is(th, td) { border: 0; padding: 2px 6px }
.u-legend { font-size: 13px; color: var(--quiet) }
.u-legend .u-value { color: var(--ink); font-variant-numeric: tabular-nums }
footer { color: var(--quiet); font-size: 13px; margin-top: 28px }
`

async function chartLibrary(): Promise<{ script: string; style: string }> {
  const folder = dirname(createRequire(import.meta.url).resolve('uplot/package.json'))
  const [script, style] = await Promise.all([
    readFile(join(folder, 'dist/uPlot.iife.min.js'), 'utf8'),
    readFile(join(folder, 'dist/uPlot.min.css'), 'utf8'),
  ])
  return { script, style }
}

export async function renderPage(page: Page): Promise<string> {
  const library = page.script === null ? { script: '', style: '' } : await chartLibrary()
  const scripts =
    page.script === null ? '' : `<script>${library.script}</script>\n<script>${page.script}</script>\n`
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escapeHtml(page.title)}</title>
<style>${library.style}${STYLE}</style>
</head>
<body>
<main>
<h1>${escapeHtml(page.title)}</h1>
<p class="sub">${escapeHtml(page.subtitle)}</p>
${page.body}
</main>
${scripts}</body>
</html>
`
}
