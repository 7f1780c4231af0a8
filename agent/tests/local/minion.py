"""A process that looks like a salt-minion and does with its sockets what it is told, a line at a time."""

import ctypes
import os
import socket
import sys
import time

held = []
listeners = {}


def new():
    made = socket.socket()
    held.append(made)
    return made


def listen(address, port, backlog="16"):
    listener = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((address, int(port)))
    listener.listen(int(backlog))
    listeners[address] = listener


def connect(address, port):
    held.append(socket.create_connection((address, int(port))))


def connect_mapped(address, port):
    made = socket.socket(socket.AF_INET6)
    held.append(made)
    made.connect(("::ffff:" + address, int(port)))


def begin_to_connect(address, port):
    made = new()
    made.setblocking(False)
    made.connect_ex((address, int(port)))


def accept_all(address):
    listener = listeners[address]
    listener.setblocking(False)
    try:
        while True:
            held.append(listener.accept()[0])
    except BlockingIOError:
        pass


def close():
    while held:
        held.pop().close()


def fork():
    """A job: it has copies of all sockets."""
    pid = os.fork()
    if pid == 0:
        os.close(0)
        os.close(1)
        while os.getppid() == parent:
            time.sleep(0.02)
        os._exit(0)
    return pid


def job(title):
    """A job as Salt has them: with another title, and it may outlive its minion."""
    pid = os.fork()
    if pid == 0:
        os.close(0)
        os.close(1)
        entitle(title)
        os.setsid()
        time.sleep(60)
        os._exit(0)
    while title.encode() not in cmdline(pid):
        time.sleep(0.01)
    return pid


def entitle(word):
    """As setproctitle does: the arguments and one word more, written over them and what follows."""
    with open("/proc/self/stat") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    start = int(fields[48 - 3])
    line = cmdline("self").rstrip(b"\0").replace(b"\0", b" ") + b" " + word.encode() + b"\0"
    ctypes.memmove(start, line, len(line))


def cmdline(pid):
    with open(f"/proc/{pid}/cmdline", "rb") as file:
        return file.read()


def hide():
    """As kernels hide processes that others may not look into."""
    PR_SET_DUMPABLE = 4
    ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0)


parent = os.getpid()
print("ready", flush=True)
for line in sys.stdin:
    command, *words = line.split()
    result = globals()[command](*words)
    print("done" if result is None else result, flush=True)
