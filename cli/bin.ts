#!/usr/bin/env node
/** The executable `sluice`. */
import { runCli } from './run.ts'

await runCli(process.argv.slice(2), import.meta.url)
