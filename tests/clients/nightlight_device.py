"""The device of the lesson, with a light sensor that sees night and day in turn."""

import json
import sys
import time

import paho.mqtt.client as mqtt

id = "4711"

client_telemetry_topic = id + "/telemetry"
server_command_topic = id + "/commands"
client_name = id + "nightlight_client"

mqtt_client = mqtt.Client(client_name)
mqtt_client.reconnect_delay_set(1, 1)


def handle_connect(client, userdata, flags, rc):
    client.subscribe(server_command_topic)
    print("Connected")


def handle_command(client, userdata, message):
    payload = json.loads(message.payload.decode())
    print("Message received:", payload)
    print("LED on" if payload["led_on"] else "LED off")


mqtt_client.on_connect = handle_connect
mqtt_client.on_message = handle_command
mqtt_client.connect(sys.argv[1], int(sys.argv[2]))

mqtt_client.loop_start()

while True:
    for light in (0, 400):
        telemetry = json.dumps({"light": light})
        print("Sending telemetry", telemetry)
        mqtt_client.publish(client_telemetry_topic, telemetry)
        time.sleep(0.1)
