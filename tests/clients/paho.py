"""Exercises three nodes (ports in the arguments) with paho-mqtt 1.6 or 2."""

import queue
import socket
import sys
import time

import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

PORTS = [int(port) for port in sys.argv[1:]]
VERSIONS = {mqtt.MQTTv31: "3.1", mqtt.MQTTv311: "3.1.1", mqtt.MQTTv5: "5"}
LIMIT = 15


def client(name, version, clean=True, expiry=None, will=None, node=0):
    arguments = {"client_id": name, "protocol": version}
    if version != mqtt.MQTTv5:
        arguments["clean_session"] = clean
    if hasattr(mqtt, "CallbackAPIVersion"):
        arguments["callback_api_version"] = mqtt.CallbackAPIVersion.VERSION1
    one = mqtt.Client(**arguments)
    one.inbox = queue.Queue()
    one.up = queue.Queue()
    one.granted = queue.Queue()
    one.on_message = lambda _client, _data, message: one.inbox.put(message)
    one.on_connect = lambda _client, _data, flags, *_rest: one.up.put(flags)
    one.on_subscribe = lambda *_arguments: one.granted.put(True)
    if will:
        one.will_set(*will)
    if version == mqtt.MQTTv5:
        properties = Properties(PacketTypes.CONNECT)
        if expiry is not None:
            properties.SessionExpiryInterval = expiry
        one.connect("127.0.0.1", PORTS[node], clean_start=clean, properties=properties)
    else:
        one.connect("127.0.0.1", PORTS[node])
    one.loop_start()
    one.flags = one.up.get(timeout=LIMIT)
    return one


def subscribe(one, topic, qos):
    one.subscribe(topic, qos)
    one.granted.get(timeout=LIMIT)


def publish(one, topic, payload, qos, retain=False):
    one.publish(topic, payload, qos, retain).wait_for_publish(LIMIT)


def leave(one):
    one.disconnect()
    one.loop_stop()


def vanish(one):
    """Cuts the connection without DISCONNECT, and stays away."""
    one.reconnect_delay_set(1000, 1000)
    one.socket().shutdown(socket.SHUT_RDWR)


def expect(one, topic, payload, qos, retain=False):
    message = one.inbox.get(timeout=LIMIT)
    seen = (message.topic, message.payload.decode(), message.qos, bool(message.retain))
    assert seen == (topic, payload, qos, retain), f"{seen} instead of {(topic, payload, qos, retain)}"


def silent(one):
    time.sleep(0.4)
    assert one.inbox.empty(), one.inbox.get().payload


def exchange(version, label):
    subscriber = client("subscriber" + label, version, node=0)
    publisher = client("publisher" + label, version, node=1)
    for granted in range(3):
        subscribe(subscriber, f"exchange/{granted}/+", granted)
        for qos in range(3):
            topic = f"exchange/{granted}/{qos}"
            publish(publisher, topic, "hello", qos)
            expect(subscriber, topic, "hello", min(qos, granted))
    for number in range(200):
        publisher.publish("exchange/2/many", str(number), 2)
    for number in range(200):
        expect(subscriber, "exchange/2/many", str(number), 2)
    subscriber.unsubscribe("exchange/2/+")
    silent(subscriber)
    publish(publisher, "exchange/2/x", "unheard", 1)
    silent(subscriber)
    leave(subscriber)
    leave(publisher)


def retained(version, label):
    publisher = client("publisher" + label, version, node=2)
    publish(publisher, "retained/" + label, "kept", 1, True)
    late = client("late" + label, version, node=0)
    subscribe(late, "retained/" + label, 1)
    expect(late, "retained/" + label, "kept", 1, True)
    publish(publisher, "retained/" + label, "", 1, True)
    expect(late, "retained/" + label, "", 1, False)
    leave(late)
    late = client("late" + label, version, node=1)
    subscribe(late, "retained/" + label, 1)
    silent(late)
    leave(late)
    leave(publisher)


def session(version, label):
    first = client("keeper" + label, version, clean=False, expiry=1000, node=0)
    subscribe(first, "session/#", 2)
    leave(first)
    publisher = client("publisher" + label, version, node=1)
    for number in range(20):
        publish(publisher, "session/x", str(number), 2)
    second = client("keeper" + label, version, clean=False, expiry=1000, node=2)
    if version == mqtt.MQTTv311:
        assert second.flags["session present"] == 1
    for number in range(20):
        expect(second, "session/x", str(number), 2)
    silent(second)
    leave(second)
    leave(client("keeper" + label, version, clean=True, node=0))
    leave(publisher)


def will(version, label):
    watcher = client("watcher" + label, version, node=1)
    subscribe(watcher, "wills/#", 1)
    mortal = client("mortal" + label, version, will=("wills/" + label, "gone", 1, False), node=0)
    vanish(mortal)
    expect(watcher, "wills/" + label, "gone", 1)
    mortal.loop_stop()
    polite = client("polite" + label, version, will=("wills/" + label, "no", 1, False), node=2)
    leave(polite)
    silent(watcher)
    leave(watcher)


for version, label in VERSIONS.items():
    for check in (exchange, retained, session, will):
        print("MQTT", label, check.__name__)
        check(version, label)
print("all is well")
