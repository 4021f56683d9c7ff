"""A TLS client that says CONNECT: prints the version of TLS, the ALPN and what comes back in hex, or what went wrong."""

import argparse
import socket
import ssl

options = argparse.ArgumentParser()
options.add_argument("host")
options.add_argument("port", type=int)
options.add_argument("--cafile")
options.add_argument("--cert")
options.add_argument("--key")
options.add_argument("--name", default="localhost")
options.add_argument("--alpn", action="append", default=[])
options.add_argument("--max", choices=["1.2", "1.3"])
options.add_argument("--before", default="", help="hex of what goes out before TLS")
options.add_argument("--pieces", action="store_true", help="one byte at a time")
options = options.parse_args()

context = ssl.create_default_context(cafile=options.cafile)
if options.cert:
    context.load_cert_chain(options.cert, options.key)
if options.alpn:
    context.set_alpn_protocols(options.alpn)
if options.max == "1.2":
    context.maximum_version = ssl.TLSVersion.TLSv1_2

try:
    tcp = socket.create_connection((options.host, options.port), timeout=10)
    before = bytes.fromhex(options.before)
    step = 1 if options.pieces else len(before) or 1
    tcp.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for at in range(0, len(before), step):
        tcp.sendall(before[at : at + step])
    tls = context.wrap_socket(tcp, server_hostname=options.name)
    tls.sendall(b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x3c\x00\x01x")
    answer = b""
    while len(answer) < 4:
        part = tls.recv(4)
        if not part:
            break
        answer += part
    print(tls.version(), tls.selected_alpn_protocol(), answer.hex() or "closed")
    if answer[:1] == b"\x20":
        tls.sendall(b"\xe0\x00")
    # The server says that this is the end (close_notify); without it, this would be an error.
    while tls.recv(4096):
        pass
except (OSError, ssl.SSLError) as error:
    print("failed:", error)
