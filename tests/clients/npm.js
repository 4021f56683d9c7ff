// Exercises three nodes (ports in the arguments) with MQTT.js.
const mqtt = require('mqtt')
const assert = require('assert')

const ports = process.argv.slice(1)
const LIMIT = 15000
const versions = [
  ['3.1', { protocolId: 'MQIsdp', protocolVersion: 3 }],
  ['3.1.1', { protocolId: 'MQTT', protocolVersion: 4 }],
  ['5', { protocolId: 'MQTT', protocolVersion: 5 }]
]

const timer = setTimeout(() => { console.log('took too long'); process.exit(1) }, 50000)
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms))

async function connect (node, clientId, options) {
  const client = await mqtt.connectAsync(`mqtt://127.0.0.1:${ports[node]}`, { clientId, reconnectPeriod: 0, connectTimeout: LIMIT, ...options })
  client.inbox = []
  client.on('message', (topic, payload, packet) => client.inbox.push([topic, payload.toString(), packet.qos, packet.retain]))
  return client
}

async function expect (client, ...expected) {
  for (let waited = 0; client.inbox.length === 0 && waited < LIMIT; waited += 10) await pause(10)
  assert.deepStrictEqual(client.inbox.shift(), expected)
}

async function silent (client) {
  await pause(400)
  assert.deepStrictEqual(client.inbox, [])
}

async function check (label, version) {
  const subscriber = await connect(0, `subscriber${label}`, version)
  const publisher = await connect(1, `publisher${label}`, version)
  for (const granted of [0, 1, 2]) {
    await subscriber.subscribeAsync(`js/${granted}/#`, { qos: granted })
    for (const qos of [0, 1, 2]) {
      const topic = `js/${granted}/${qos}`
      await publisher.publishAsync(topic, 'hello', { qos })
      await expect(subscriber, topic, 'hello', Math.min(qos, granted), false)
    }
  }
  for (let number = 0; number < 200; number++) publisher.publish('js/2/many', String(number), { qos: 2 })
  for (let number = 0; number < 200; number++) await expect(subscriber, 'js/2/many', String(number), 2, false)

  await publisher.publishAsync(`retained/${label}`, 'kept', { qos: 1, retain: true })
  await subscriber.subscribeAsync(`retained/${label}`, { qos: 1 })
  await expect(subscriber, `retained/${label}`, 'kept', 1, true)
  await publisher.publishAsync(`retained/${label}`, '', { qos: 1, retain: true })
  await expect(subscriber, `retained/${label}`, '', 1, false)

  const will = { topic: `wills/${label}`, payload: Buffer.from('gone'), qos: 1, retain: false }
  const mortal = await connect(2, `mortal${label}`, { ...version, will })
  await subscriber.subscribeAsync('wills/#', { qos: 2 })
  mortal.stream.destroy()
  await expect(subscriber, `wills/${label}`, 'gone', 1, false)

  const properties = version.protocolVersion === 5 ? { properties: { sessionExpiryInterval: 1000 } } : {}
  const keeper = { ...version, ...properties, clean: false }
  const first = await connect(0, `keeper${label}`, keeper)
  await first.subscribeAsync('session/#', { qos: 2 })
  await first.endAsync()
  for (let number = 0; number < 10; number++) await publisher.publishAsync('session/x', String(number), { qos: 1 })
  const second = mqtt.connect(`mqtt://127.0.0.1:${ports[2]}`, { clientId: `keeper${label}`, reconnectPeriod: 0, ...keeper })
  second.inbox = []
  second.on('message', (topic, payload, packet) => second.inbox.push([topic, payload.toString(), packet.qos, packet.retain]))
  for (let number = 0; number < 10; number++) await expect(second, 'session/x', String(number), 1, false)
  await silent(second)
  for (const client of [second, subscriber, publisher]) await client.endAsync()
  const last = await connect(1, `keeper${label}`, { ...version, clean: true })
  await last.endAsync()
}

async function main () {
  for (const [label, version] of versions) {
    console.log('MQTT', label)
    await check(label, version)
  }
  clearTimeout(timer)
  console.log('all is well')
}

main().catch((error) => { console.log(error); process.exit(1) })
