// Talks to one node over TCP, TLS, WebSocket and both with MQTT.js.
const mqtt = require('mqtt')
const assert = require('assert')
const fs = require('fs')

const [folder, ...ports] = process.argv.slice(1)
const LIMIT = 15000
const kinds = ['mqtt', 'mqtts', 'ws', 'wss']
const versions = [
  ['3.1', { protocolId: 'MQIsdp', protocolVersion: 3 }],
  ['3.1.1', { protocolId: 'MQTT', protocolVersion: 4 }],
  ['5', { protocolId: 'MQTT', protocolVersion: 5 }]
]

const timer = setTimeout(() => { console.log('took too long'); process.exit(1) }, 50000)
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms))
const file = (name) => fs.readFileSync(`${folder}/${name}`)

async function connect (clientId, version, kind) {
  const port = ports[kinds.indexOf(kind)]
  const path = kind.startsWith('ws') ? '/mqtt' : ''
  const secure = ['mqtts', 'wss'].includes(kind)
  const options = { clientId, reconnectPeriod: 0, connectTimeout: LIMIT, ...version }
  if (secure) Object.assign(options, { ca: file('ca.pem'), cert: file('client.pem'), key: file('client.key') })
  const host = secure ? 'localhost' : '127.0.0.1'
  const client = await mqtt.connectAsync(`${kind}://${host}:${port}${path}`, options)
  client.inbox = []
  client.on('message', (topic, payload, packet) => client.inbox.push([payload.toString(), packet.qos]))
  return client
}

async function expect (client, ...expected) {
  for (let waited = 0; client.inbox.length === 0 && waited < LIMIT; waited += 10) await pause(10)
  assert.deepStrictEqual(client.inbox.shift(), expected)
}

async function check (version, kind) {
  const subscriber = await connect('subscriber', version, kind)
  await subscriber.subscribeAsync('t/#', { qos: 2 })
  const publisher = await connect('publisher', version, 'mqtt')
  const large = 'x'.repeat(300000)
  for (const one of [publisher, subscriber]) {
    for (const qos of [0, 1, 2]) {
      for (const payload of ['', 'hello', large]) {
        await one.publishAsync('t/x', payload, { qos })
        await expect(subscriber, payload, qos)
      }
    }
  }
  for (let number = 0; number < 500; number++) subscriber.publish('t/many', String(number), { qos: 2 })
  for (let number = 0; number < 500; number++) await expect(subscriber, String(number), 2)
  for (const one of [subscriber, publisher]) await one.endAsync()
}

async function main () {
  for (const [label, version] of versions) {
    for (const kind of kinds) {
      console.log('MQTT', label, kind)
      await check(version, kind)
    }
  }
  clearTimeout(timer)
  console.log('all is well')
}

main().catch((error) => { console.log(error); process.exit(1) })
