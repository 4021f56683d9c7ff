"""Talks to one node over TCP, TLS, WebSocket and both with paho-mqtt 1.6 or 2."""

import queue
import sys

import paho.mqtt.client as mqtt

FOLDER, PORTS = sys.argv[1], [int(port) for port in sys.argv[2:]]
VERSIONS = {mqtt.MQTTv31: "3.1", mqtt.MQTTv311: "3.1.1", mqtt.MQTTv5: "5"}
KINDS = ["tcp", "tls", "ws", "wss"]
LIMIT = 15


def client(name, version, kind):
    arguments = {"client_id": name, "protocol": version, "transport": "websockets" if kind.startswith("ws") else "tcp"}
    if hasattr(mqtt, "CallbackAPIVersion"):
        arguments["callback_api_version"] = mqtt.CallbackAPIVersion.VERSION1
    one = mqtt.Client(**arguments)
    if kind in ("tls", "wss"):
        one.tls_set(FOLDER + "/ca.pem", FOLDER + "/client.pem", FOLDER + "/client.key")
    one.inbox, one.up, one.granted = queue.Queue(), queue.Queue(), queue.Queue()
    one.on_message = lambda _client, _data, message: one.inbox.put(message)
    one.on_connect = lambda *_arguments: one.up.put(True)
    one.on_subscribe = lambda *_arguments: one.granted.put(True)
    one.connect("localhost" if kind in ("tls", "wss") else "127.0.0.1", PORTS[KINDS.index(kind)])
    one.loop_start()
    one.up.get(timeout=LIMIT)
    return one


def check(version, label, kind):
    subscriber = client("subscriber", version, kind)
    subscriber.subscribe("t/#", 2)
    subscriber.granted.get(timeout=LIMIT)
    # The other end is on plain TCP: all transports lead to the same topics.
    publisher = client("publisher", version, "tcp")
    large = "x" * 300_000
    for one in (publisher, subscriber):
        for qos in range(3):
            for payload in ("", "hello", large):
                one.publish("t/x", payload, qos).wait_for_publish(LIMIT)
                message = subscriber.inbox.get(timeout=LIMIT)
                assert (message.payload.decode(), message.qos) == (payload, qos), (label, kind, qos)
    for number in range(500):
        subscriber.publish("t/many", str(number), 2)
    for number in range(500):
        assert subscriber.inbox.get(timeout=LIMIT).payload == str(number).encode()
    for one in (publisher, subscriber):
        one.disconnect()
        one.loop_stop()


for version, label in VERSIONS.items():
    for kind in KINDS:
        print("MQTT", label, kind)
        check(version, label, kind)
print("all is well")
