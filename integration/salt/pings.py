"""Publishes `test.ping`s for a minion through this master, again and again, when told to, until one is answered.

Usage: pings.py CONFIG MINION. Prints `ready`; then for each line on stdin, which has the seconds from one publication to the
next one, asks until an answer is there, and prints a line of JSON: how many it published, and how long the one that was
answered took. What was published before the line counts for nothing. One process that asks again is far cheaper than one
`salt` command after the other.
"""

import json
import logging
import sys
import time

import salt.client
import salt.exceptions

# After so many seconds without an answer a minion that is there may be a busy one, and what it is asked in vain keeps it busy:
# from now on it is asked after a quarter more of the time that has gone,
BUSY = 1.5
# but at least so often.
LONGEST_GAP = 5


def until_answered(client, minion, gap):
    published, start = {}, time.monotonic()
    while True:
        begun = time.monotonic()
        job = publish(client, minion)
        if job:
            published[job] = begun
        gone = begun - start
        due = time.monotonic() + (gap if gone < BUSY else min(gone / 4, LONGEST_GAP))
        while (left := due - time.monotonic()) > 0:
            event = client.event.get_event(wait=left, tag="salt/job/", full=True)
            if not event:
                continue
            _, _, job, what, *who = event["tag"].split("/")
            if what == "ret" and who == [minion] and job in published and event["data"]["return"] is True:
                return {"published": len(published), "took": time.monotonic() - published[job]}


def publish(client, minion):
    try:
        return client.pub([minion], "test.ping", tgt_type="list", timeout=5).get("jid")
    except salt.exceptions.SaltException:
        return None


def main():
    config, minion = sys.argv[1:]
    logging.disable(logging.CRITICAL)
    client = salt.client.LocalClient(c_path=config)
    client.event.subscribe("salt/job/")
    if not client.event.connect_pub(timeout=60):
        return "no event bus"
    print("ready", flush=True)
    for gap in sys.stdin:
        print(json.dumps(until_answered(client, minion, float(gap))), flush=True)


if __name__ == "__main__":
    sys.exit(main())
