"""Relays 127.0.0.1:4506 to a master and loses one reply, that to the first long request: a job whose arguments are longer
than any other request. The connection ends with it.

The publish port is relayed as well ("relay"), or nothing listens there ("refuse"). Ends when stdin does.
"""

import os
import socket
import sys
import threading

MASTER, PUBLICATIONS = sys.argv[1:]
LONG = 3000
# The connection that lost a reply; there is one.
lost = []


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
    while True:
        client, _ = listener.accept()
        master = socket.create_connection((MASTER, port))

        def look(data, client=client):
            if lossy and not lost and len(data) > LONG:
                lost.append(client)
            return True

        def lose(_, client=client):
            return client not in lost

        threading.Thread(target=pump, args=(client, master, look), daemon=True).start()
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
