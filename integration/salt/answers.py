"""Waits until minions answer a `test.ping` through this master: published here, answered here.

Usage: answers.py CONFIG SECONDS MINION... Prints each minion as it answers. Exits 1 with the names of those that
did not when time is up. One process that asks again is far cheaper than one `salt` command after the other.
"""

import logging
import sys
import time

import salt.client
import salt.exceptions


def main():
    config, seconds, *minions = sys.argv[1:]
    deadline = time.monotonic() + float(seconds)
    logging.disable(logging.CRITICAL)
    client = salt.client.LocalClient(c_path=config)
    missing = set(minions)
    while missing and time.monotonic() < deadline:
        try:
            job = client.run_job(sorted(missing), "test.ping", tgt_type="list", timeout=5, listen=True)
        except salt.exceptions.SaltException:
            job = {}
        if not job.get("jid"):
            time.sleep(0.1)
            continue
        for event in client.get_event_iter_returns(job["jid"], job["minions"], timeout=1):
            for minion, answer in (event or {}).items():
                if minion in missing and answer.get("ret") is True:
                    missing.remove(minion)
                    print(minion, flush=True)
            if not missing:
                break
    return f"no answer from {' '.join(sorted(missing))}" if missing else None


if __name__ == "__main__":
    sys.exit(main())
