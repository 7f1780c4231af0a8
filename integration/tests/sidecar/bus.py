"""Listens on a master's event bus with Salt's own code. Usage: bus.py CONFIG TAG. Prints `listening`, then a line of JSON for each
event whose tag begins so."""

import json
import sys

import salt.config
import salt.utils.event


def main():
    config, tag = sys.argv[1:]
    opts = salt.config.master_config(config)
    with salt.utils.event.get_event("master", sock_dir=opts["sock_dir"], opts=opts, listen=True) as bus:
        bus.subscribe(tag)
        if not bus.connect_pub(timeout=30):
            return "no event bus"
        print("listening", flush=True)
        while True:
            event = bus.get_event(wait=60, tag=tag, full=True)
            if event:
                print(json.dumps(event), flush=True)


if __name__ == "__main__":
    sys.exit(main())
