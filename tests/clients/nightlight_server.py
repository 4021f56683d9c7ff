"""The server program of the lesson."""

import json
import sys
import time

import paho.mqtt.client as mqtt

id = "4711"

client_telemetry_topic = id + "/telemetry"
server_command_topic = id + "/commands"
client_name = id + "nightlight_server"

mqtt_client = mqtt.Client(client_name)
mqtt_client.reconnect_delay_set(1, 1)


def handle_connect(client, userdata, flags, rc):
    client.subscribe(client_telemetry_topic)
    print("Connected")


def handle_telemetry(client, userdata, message):
    payload = json.loads(message.payload.decode())
    print("Message received:", payload)

    command = {"led_on": payload["light"] < 300}
    print("Sending message:", command)

    client.publish(server_command_topic, json.dumps(command))


mqtt_client.on_connect = handle_connect
mqtt_client.on_message = handle_telemetry
mqtt_client.connect(sys.argv[1], int(sys.argv[2]))

mqtt_client.loop_start()

while True:
    time.sleep(2)
