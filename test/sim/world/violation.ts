/** A promise was broken: what the simulator looks for. Ends the run. */
export class Violation extends Error {
  override readonly name = 'Violation'
  /** The checker that found it, as `lost-record`. */
  readonly check: string

  constructor(check: string, message: string) {
    super(message)
    this.check = check
  }
}
