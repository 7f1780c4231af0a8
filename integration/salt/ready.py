"""Waits until a master's workers answer: a clear `ping` to its request port, again and again.

Usage: ready.py ADDRESS PUBLISH_PORT REQUEST_PORT SECONDS. Exits 1 with the reason when time is up.
"""

import socket
import sys
import time

import msgpack
import zmq

PING = msgpack.packb({"enc": "clear", "load": {"cmd": "ping"}, "version": 3}, use_bin_type=False)


def ask(context, address, port, seconds):
    """None when the master answered the ping, else what happened instead."""
    request = context.socket(zmq.REQ)
    request.linger = 0
    request.reconnect_ivl = 50
    try:
        request.connect(f"tcp://{address}:{port}")
        request.send(PING)
        if not request.poll(int(seconds * 1000)):
            return f"no answer from port {port}"
        reply = msgpack.unpackb(request.recv(), raw=False, strict_map_key=False)
        if isinstance(reply, dict) and reply.get("cmd") == "ping":
            return None
        return f"port {port} answered {reply!r}"
    finally:
        request.close()


def main():
    address, publish_port, request_port, seconds = sys.argv[1:5]
    deadline = time.monotonic() + float(seconds)
    context = zmq.Context()
    reason = "no time was given"
    while True:
        left = deadline - time.monotonic()
        if left <= 0:
            return reason
        try:
            socket.create_connection((address, int(publish_port)), timeout=min(left, 2)).close()
        except OSError as error:
            reason = f"port {publish_port}: {error}"
            time.sleep(0.05)
            continue
        reason = ask(context, address, request_port, left)
        if reason is None:
            return None
        time.sleep(0.1)


if __name__ == "__main__":
    sys.exit(main())
