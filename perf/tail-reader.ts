/**
 * A follower of the bare pipe: asks for what was appended, throws it away and asks again, with one request under way. A
 * process of its own, so that what it costs is not in the figure of the pipe. Its argument is the port; it says
 * `ready` when it is connected and ends with its parent.
 */
import { connect } from 'node:net'
import { FrameCounter } from './frame-counter.ts'

const PREFIX_BYTES = 4
/** As long as a follower's Fetch request for one partition. */
const REQUEST_BYTES = 128
const RECEIVE_BYTES = 512 << 10

const request = Buffer.alloc(REQUEST_BYTES)
request.writeInt32BE(REQUEST_BYTES - PREFIX_BYTES, 0)
const buffer = Buffer.allocUnsafeSlow(RECEIVE_BYTES)
const answers = new FrameCounter()

const socket = connect({
  host: '127.0.0.1',
  port: Number(process.argv[2]),
  noDelay: true,
  onread: {
    buffer,
    callback: length => {
      if (answers.count(buffer, length) > 0) socket.write(request)
      return true
    },
  },
})
socket.once('connect', () => {
  socket.write(request)
  process.send?.('ready')
})
process.on('disconnect', () => process.exit(0))
