// MQTT.js authenticates by SCRAM-SHA-256 at three nodes (ports in the arguments), with the client of KafkaJS for SCRAM.
const mqtt = require('mqtt')
const { SCRAM, DIGESTS } = require('kafkajs/src/broker/saslAuthenticator/scram')
const assert = require('assert')

const ports = process.argv.slice(1)
const METHOD = 'SCRAM-SHA-256'
const [CONTINUE, REAUTHENTICATE] = [0x18, 0x19]
const quiet = { debug () {}, error () {} }
const timer = setTimeout(() => { console.log('took too long'); process.exit(1) }, 50000)

// Says what SCRAM wants to send, is told what came; `done` is settled when it has checked the server's signature.
class Exchange {
  constructor (username, password) {
    this.waiting = []
    const send = ({ request, response }) => new Promise((resolve, reject) => {
      request.encode().then((bytes) => this.say(bytes.subarray(4)), reject) // without Kafka's length
      this.heard = (data) => resolve(response.parse(data))
    })
    const scram = new SCRAM({ username, password }, 'localhost', 0, quiet, send, DIGESTS.SHA256)
    this.first = this.next()
    this.done = scram.authenticate()
    this.done.catch(() => {})
  }

  next () { return new Promise((resolve) => { this.say = resolve }) }

  answer (data) {
    const next = this.next()
    this.heard(data)
    return next
  }
}

function auth (reasonCode, authenticationData) {
  return { cmd: 'auth', reasonCode, properties: { authenticationMethod: METHOD, authenticationData } }
}

async function connect (port, username, password) {
  const exchange = new Exchange(username, password)
  const client = new mqtt.MqttClient((client) => require('net').connect(port, '127.0.0.1'), {
    clientId: `scram-${username}`,
    protocolVersion: 5,
    reconnectPeriod: 0,
    properties: { authenticationMethod: METHOD, authenticationData: await exchange.first }
  })
  client.handleAuth = (packet, callback) => {
    assert.strictEqual(packet.properties.authenticationMethod, METHOD)
    exchange.answer(packet.properties.authenticationData)
      .then((data) => callback(null, auth(CONTINUE, data)), callback)
  }
  const connack = await new Promise((resolve, reject) => {
    client.once('connect', resolve)
    client.once('error', reject)
  })
  assert.strictEqual(connack.properties.authenticationMethod, METHOD)
  exchange.heard(connack.properties.authenticationData)
  await exchange.done // the server knows the user, too
  return client
}

async function reauthenticate (client, username, password) {
  const exchange = new Exchange(username, password)
  const over = new Promise((resolve, reject) => {
    client.once('disconnect', (packet) => reject(new Error(`disconnected with ${packet.reasonCode}`)))
    client.handleAuth = (packet, callback) => {
      if (packet.reasonCode === 0) {
        exchange.heard(packet.properties.authenticationData)
        resolve(exchange.done)
        return
      }
      exchange.answer(packet.properties.authenticationData)
        .then((data) => callback(null, auth(CONTINUE, data)), callback)
    }
  })
  client._sendPacket(auth(REAUTHENTICATE, await exchange.first))
  await over
}

async function main () {
  for (const port of ports) {
    const client = await connect(port, 'anna,=', 'secret')
    const message = new Promise((resolve) => client.once('message', (topic, payload) => resolve(payload.toString())))
    await client.subscribeAsync(`scram/${port}`, { qos: 1 })
    await reauthenticate(client, 'anna,=', 'secret')
    await client.publishAsync(`scram/${port}`, 'hello', { qos: 1 })
    assert.strictEqual(await message, 'hello')
    await assert.rejects(reauthenticate(client, 'anna,=', 'wrong'), /disconnected with 135/)
    await assert.rejects(connect(port, 'anna,=', 'wrong'), (error) => error.code === 135)
    await assert.rejects(connect(port, 'nobody', 'secret'), (error) => error.code === 135)
  }
  clearTimeout(timer)
  console.log('all is well')
  process.exit(0)
}

main().catch((error) => { console.log(error); process.exit(1) })
