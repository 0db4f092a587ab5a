// A broker that asks a service about each message before it acknowledges it: Aedes, with a pool of connections that stay open.
//
//     broker.mjs SERVICE_PORT http|undici
//     broker.mjs                             asks nobody: it relays
//
// By Node's own HTTP client, or by undici, which is faster. Prints the port that it listens on.

import { Agent, request } from 'node:http'
import { createServer } from 'node:net'
import { Aedes } from 'aedes'
import { Pool } from 'undici'

const CONNECTIONS = 64
const [port, client] = process.argv.slice(2)
const headers = { 'content-type': 'application/octet-stream' }

function byHttp () {
  const agent = new Agent({ keepAlive: true, maxSockets: CONNECTIONS })
  return (path, body) => new Promise((resolve, reject) => {
    const asking = request({ host: '127.0.0.1', port, agent, method: 'POST', path, headers }, (answer) => {
      answer.resume()
      answer.on('end', () => resolve(answer.statusCode))
    })
    asking.on('error', reject)
    asking.end(body)
  })
}

function byUndici () {
  const pool = new Pool(`http://127.0.0.1:${port}`, { connections: CONNECTIONS, pipelining: 1 })
  return async (path, body) => {
    const answer = await pool.request({ method: 'POST', path, headers, body })
    await answer.body.dump()
    return answer.statusCode
  }
}

const ask = port && { http: byHttp, undici: byUndici }[client]()

function authorizePublish (_client, packet, callback) {
  ask(`/${packet.topic}`, packet.payload).then(
    (status) => callback(status === 204 ? null : new Error('refused')),
    callback
  )
}

const hooks = ask ? { authorizePublish } : {}
const broker = await Aedes.createBroker({ ...hooks, concurrency: 2_000, queueLimit: 2_000 })
const server = createServer({ noDelay: true }, broker.handle)
server.listen(0, '127.0.0.1', () => console.log(server.address().port))
