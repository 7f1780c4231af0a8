"""Relays 127.0.0.1:4506 to a master and loses one reply: that to the second request of the second connection.

saltfo's first connection looks for the minion, its second one signs in and publishes. The publish port is relayed
as well ("relay"), or nothing listens there ("refuse"). Ends when stdin does.
"""

import os
import socket
import sys
import threading

MASTER, PUBLICATIONS = sys.argv[1:]
accepted = 0


def pump(source, target, on_data):
    try:
        while data := source.recv(65536):
            if not on_data(data):
                break
            target.sendall(data)
    except OSError:
        pass
    for end in (source, target):
        try:
            end.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass


def serve(listener, port, lossy):
    global accepted
    while True:
        client, _ = listener.accept()
        master = socket.create_connection((MASTER, port))
        loses = False
        if lossy:
            accepted += 1
            loses = accepted == 2
        # The ZMTP handshake is smaller than any request, and requests wait for their replies.
        requests = [0]

        def count(data):
            if len(data) > 300:
                requests[0] += 1
            return True

        def lose(data):
            return not (loses and requests[0] >= 2)

        threading.Thread(target=pump, args=(client, master, count), daemon=True).start()
        threading.Thread(target=pump, args=(master, client, lose), daemon=True).start()


def listen(port, lossy):
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    listener.listen(64)
    threading.Thread(target=serve, args=(listener, port, lossy), daemon=True).start()


listen(4506, True)
if PUBLICATIONS == "relay":
    listen(4505, False)
print("ready", flush=True)
sys.stdin.read()
os._exit(0)
