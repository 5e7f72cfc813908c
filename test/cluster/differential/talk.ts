/** What parts of a random conversation have in common: a script to write, chance to draw from, and how to ask. */
import { type Api } from '../../../client/protocol/apis.ts'
import { type Chance } from '../../fuzz/chance.ts'
import { type Script } from '../../interop/differential/script.ts'

export abstract class Talk {
  protected readonly script: Script
  protected readonly chance: Chance

  constructor(script: Script, chance: Chance) {
    this.script = script
    this.chance = chance
  }

  /** In one of the versions that all serve. */
  protected async ask<Response, RequestInput>(
    what: string,
    api: Api<unknown, Response, RequestInput, unknown>,
    body: RequestInput,
    from = 0,
    to = 99,
  ): Promise<Response> {
    return this.script.ask(what, api, this.chance.pick(this.script.versions(api, from, to)), body)
  }
}
