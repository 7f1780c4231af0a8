"""A cable that delays and loses frames, as not every kernel has netem.

    bad_cable.py plain NIC              makes the kernel send frames through NIC as they go over a wire
    bad_cable.py carry A B DELAY LOSS   carries frames between two NICs, DELAY seconds late, without a share LOSS of them,
                                        until stdin ends; prints a line when it is ready
"""

import array
import fcntl
import heapq
import random
import select
import socket
import struct
import sys
import time

SOL_PACKET = 263
PACKET_IGNORE_OUTGOING = 23
ETH_P_ALL = 3
SIOCETHTOOL = 0x8946
ETHTOOL_STXCSUM = 0x17


def plain(nic):
    """Without checksums by the NIC, and so without segments larger than a frame: a veth would leave both to nobody."""
    value = array.array("I", [ETHTOOL_STXCSUM, 0])
    request = struct.pack("16sP", nic.encode(), value.buffer_info()[0])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, SIOCETHTOOL, request)


def end(nic):
    packets = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
    packets.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
    packets.bind((nic, ETH_P_ALL))
    packets.setblocking(False)
    return packets


def carry(a, b, delay, loss):
    a, b = end(a), end(b)
    other = {a: b, b: a}
    under_way, number = [], 0
    print("ready", flush=True)
    while True:
        pause = max(0.0, under_way[0][0] - time.monotonic()) if under_way else None
        readable, _, _ = select.select([a, b, sys.stdin], [], [], pause)
        if sys.stdin in readable:
            return
        for packets in readable:
            try:
                frame = packets.recv(65535)
            except BlockingIOError:
                continue
            if random.random() >= loss:
                number += 1
                heapq.heappush(under_way, (time.monotonic() + delay, number, other[packets], frame))
        while under_way and under_way[0][0] <= time.monotonic():
            _, _, packets, frame = heapq.heappop(under_way)
            try:
                packets.send(frame)
            except OSError:
                # A queue is full, or the NIC is going: lost, as on any cable.
                pass


if __name__ == "__main__":
    if sys.argv[1] == "plain":
        plain(sys.argv[2])
    else:
        carry(sys.argv[2], sys.argv[3], float(sys.argv[4]), float(sys.argv[5]))
