// A service that a broker asks about each message: checks its HMAC, answers, and writes what is genuine to PostgreSQL, 500 messages or
// what comes within 50 ms at a time. The key of all devices is 32 times 7.
//
//     service.mjs [URL]    without a URL nothing is written
//
// Prints the port that it listens on.

import { createHmac, timingSafeEqual } from 'node:crypto'
import { createServer } from 'node:http'
import pg from 'pg'

const BATCH_MAX = 500
const BATCH_MS = 50
const KEY = Buffer.alloc(32, 7)
const TABLES = `
CREATE TABLE IF NOT EXISTS hook_envelope (device_id text NOT NULL, counter bigint NOT NULL, device_time timestamptz, received_at timestamptz
    NOT NULL, bytes bytea NOT NULL, PRIMARY KEY (device_id, counter));
CREATE TABLE IF NOT EXISTS hook_reading (device_id text NOT NULL, time timestamptz NOT NULL, name text NOT NULL, unit text, value double
    precision);
CREATE INDEX IF NOT EXISTS hook_reading_by_time ON hook_reading (device_id, time);`
const ENVELOPES = `INSERT INTO hook_envelope SELECT * FROM
    unnest($1::text[], $2::bigint[], $3::timestamptz[], $4::timestamptz[], $5::bytea[])`
const READINGS = `INSERT INTO hook_reading SELECT * FROM
    unnest($1::text[], $2::timestamptz[], $3::text[], $4::text[], $5::float8[])`

const pool = process.argv[2] ? new pg.Pool({ connectionString: process.argv[2], max: 2 }) : null
if (pool) await pool.query(TABLES)
let batch = []
let timer = null

function isGenuine (deviceId, frame) {
  const name = Buffer.from(deviceId)
  const mac = createHmac('sha256', KEY)
  mac.update('sealgate/1\0').update(Buffer.from([name.length])).update(name).update(frame.subarray(0, -36))
  return timingSafeEqual(mac.digest(), frame.subarray(-36, -4))
}

function keep (deviceId, frame) {
  batch.push([deviceId, frame, new Date()])
  if (batch.length >= BATCH_MAX) flush()
  else timer ??= setTimeout(flush, BATCH_MS)
}

function flush () {
  clearTimeout(timer)
  timer = null
  const messages = batch
  batch = []
  write(messages).catch((error) => { console.error(error); process.exit(1) })
}

async function write (messages) {
  const envelopes = [[], [], [], [], []]
  const readings = [[], [], [], [], []]
  const row = (columns, ...values) => values.forEach((value, column) => columns[column].push(value))
  for (const [deviceId, frame, receivedAt] of messages) {
    const time = new Date(Number(frame.readBigInt64BE(16)))
    row(envelopes, deviceId, frame.readBigUInt64BE(8), time, receivedAt, frame)
    let baseName = ''
    let baseTime = time.getTime() / 1000
    for (const record of JSON.parse(frame.subarray(24, -36))) {
      baseName = record.bn ?? baseName
      baseTime = record.bt ?? baseTime
      const at = new Date((baseTime + (record.t ?? 0)) * 1000)
      row(readings, deviceId, at, baseName + record.n, record.u ?? null, record.v)
    }
  }
  const connection = await pool.connect()
  try {
    await connection.query('BEGIN')
    await connection.query({ name: 'envelopes', text: ENVELOPES, values: envelopes })
    await connection.query({ name: 'readings', text: READINGS, values: readings })
    await connection.query('COMMIT')
  } finally {
    connection.release()
  }
}

const server = createServer((request, response) => {
  const parts = []
  request.on('data', (part) => parts.push(part))
  request.on('end', () => {
    const [frame, deviceId] = [Buffer.concat(parts), request.url.split('/')[2]]
    const genuine = frame.length > 60 && isGenuine(deviceId, frame)
    response.writeHead(genuine ? 204 : 403).end()
    if (genuine && pool) keep(deviceId, frame)
  })
})
server.keepAliveTimeout = 60_000
server.listen(0, '127.0.0.1', () => console.log(server.address().port))
