"""Leads the tests that come with other clients to brokers of ours, as a plugin of pytest.

Those tests have a host and well-known ports in their text. Here each connection to one of them goes to the next of our nodes,
so that publisher and subscriber of a test are at different ones when there are several. SUITE_TCP, SUITE_TLS and SUITE_WS
are the ports of the nodes, separated by commas; SUITE_CA is the CA of their certificates.
"""

import asyncio
import itertools
import os
import shutil
import socket
import sys
import types
from pathlib import Path

HOSTS = {"localhost", "127.0.0.1", "test.mosquitto.org"}


def ports(name):
    return itertools.cycle(int(port) for port in os.environ[name].split(","))


NODES = {1883: ports("SUITE_TCP"), 8883: ports("SUITE_TLS"), 8080: ports("SUITE_WS")}


def led(host, port):
    """Where a connection goes."""
    if host in HOSTS and port in NODES:
        return "localhost", next(NODES[port])
    return host, port


connect = socket.create_connection
asyncio_connect = asyncio.BaseEventLoop.create_connection


def create_connection(address, *arguments, **named):
    return connect(led(*address), *arguments, **named)


async def create_asyncio_connection(loop, factory, host=None, port=None, **named):
    return await asyncio_connect(loop, factory, *led(host, port), **named)


socket.create_connection = create_connection
asyncio.BaseEventLoop.create_connection = create_asyncio_connection


def stand_in():
    """paho's tests start a broker from a repository of their own, and ask it for its port."""
    server = types.SimpleNamespace(
        socket=types.SimpleNamespace(getsockname=lambda: ("localhost", 1883)),
        shutdown=lambda: None,
    )
    brokers = types.ModuleType("mqtt.brokers")
    brokers.run = lambda config: None
    brokers.listeners = types.SimpleNamespace(TCPListeners=types.SimpleNamespace(server=server))
    package = types.ModuleType("mqtt")
    package.brokers = brokers
    sys.modules["mqtt"] = package
    sys.modules["mqtt.brokers"] = brokers


stand_in()


def pytest_configure(config):
    """aiomqtt's tests trust the CA of test.mosquitto.org, in a file beside them."""
    for path in Path.cwd().glob("tests/mosquitto.org.crt"):
        shutil.copy(os.environ["SUITE_CA"], path)
