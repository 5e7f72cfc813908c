/** Long work in slices: when the clock is looked at, and when the others have their turn. */
import t from 'tap'
import { HEAVY, Slices } from '../../../broker/runtime/slices.ts'

function scene() {
  const state = { nowMs: 0, looks: 0, turns: 0 }
  const clock = {
    monotonicMs: () => {
      state.looks++
      return state.nowMs
    },
    wallMs: () => 0,
  }
  const timers = {
    set: () => 0,
    clear: () => {},
    endOfTurn: (run: () => void) => {
      state.turns++
      run()
    },
  }
  const slices = new Slices({ clock, timers } as unknown as ConstructorParameters<typeof Slices>[0])
  state.looks = 0
  return { state, slices }
}

t.test('the clock is looked at once for several small pieces', async t => {
  const { state, slices } = scene()
  for (let piece = 0; piece < 160; piece++) slices.isOver()
  t.equal(state.looks, 10)
})

t.test('after a heavy piece the clock is looked at, so two of them are never one slice too long', async t => {
  const { state, slices } = scene()
  state.nowMs = 3
  t.equal(slices.isOver(HEAVY), true)
  await slices.rest()
  t.equal(state.turns, 1)
  t.equal(slices.isOver(HEAVY), false, 'a new slice has begun')
  state.nowMs = 6
  t.equal(slices.isOver(HEAVY / 2), false)
  t.equal(slices.isOver(HEAVY / 2), true, 'weights add up')
})
