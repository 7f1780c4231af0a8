"""Asks a sidecar on its own host. `watch PORT` prints a line of JSON whenever something changed, and once a second;
`get PORT PATH` prints one answer; `take PORT` holds a port that somebody else wants."""

import http.client
import json
import socket
import sys
import time


def get(port, path):
    """Status and body; 0 if nobody answers."""
    try:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    except (OSError, http.client.HTTPException):
        return 0, ""


def facts(report):
    """What a change of is news; times are not."""
    masters = [(m["name"], m["state"], m["why"]) for m in report.get("masters", [])]
    minion = report.get("minion", {})
    restart = report.get("last_restart") or {}
    active = report.get("active") or {}
    return masters, minion.get("tied_to"), restart.get("result"), active.get("name"), report.get("why")


def watch(port):
    told, when = None, 0
    while True:
        ready, why = get(port, "/readyz")
        code, body = get(port, "/status")
        report = json.loads(body) if code == 200 else {}
        now = (ready, facts(report))
        if now != told or time.monotonic() - when > 1:
            line = {"readyz": ready, "body": why.strip(), "status": report}
            print(json.dumps(line), flush=True)
            told, when = now, time.monotonic()
        time.sleep(0.02)


def take(port):
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    listener.listen()
    print("taken", flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    what, port = sys.argv[1], int(sys.argv[2])
    if what == "watch":
        watch(port)
    elif what == "take":
        take(port)
    else:
        code, body = get(port, sys.argv[3])
        print(code)
        print(body, end="")
