"""A libzmq socket that is steered by lines on its standard input, for `zmtp_libzmq.rs`.

    peer.py bind TYPE            prints the port first
    peer.py connect TYPE PORT [heartbeat]

Lines that it takes: `send SIZE...` (a message with frames of these sizes), `recv` (prints the sizes of the frames of one message,
or `wrong` if the content is not as `send` makes it), `raw` (prints one message as hex), `echo` (answers everything from then on),
`subscribe TEXT`. It ends with its standard input, and after two minutes in any case.
"""

import signal
import sys

import zmq


def content(size):
    return (bytes(range(251)) * (size // 251 + 1))[:size]


def main():
    signal.alarm(120)
    how, kind, *rest = sys.argv[1:]
    socket = zmq.Context().socket(getattr(zmq, kind))
    socket.linger = 0
    if "heartbeat" in rest:
        socket.setsockopt(zmq.HEARTBEAT_IVL, 20)
        socket.setsockopt(zmq.HEARTBEAT_TIMEOUT, 200)
        socket.setsockopt(zmq.HEARTBEAT_TTL, 500)
        # A connection that was given up must not come back unseen.
        socket.setsockopt(zmq.RECONNECT_IVL, -1)
    if how == "bind":
        print(socket.bind_to_random_port("tcp://127.0.0.1"), flush=True)
    else:
        socket.connect("tcp://127.0.0.1:" + rest[0])
    for line in sys.stdin:
        word, *arguments = line.split()
        if word == "send":
            socket.send_multipart([content(int(size)) for size in arguments])
        elif word == "recv":
            frames = socket.recv_multipart()
            right = all(frame == content(len(frame)) for frame in frames)
            print(*([len(frame) for frame in frames] if right else ["wrong"]), flush=True)
        elif word == "raw":
            print(*[frame.hex() for frame in socket.recv_multipart()], flush=True)
        elif word == "subscribe":
            socket.subscribe(arguments[0] if arguments else "")
        elif word == "echo":
            while True:
                socket.send_multipart(socket.recv_multipart())


main()
