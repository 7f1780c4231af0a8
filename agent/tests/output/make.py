#!/usr/bin/env python3
"""Gives returns to Salt's outputters, as `salt` does, and stores what they print in printed.jsonl."""

import argparse
import base64
import contextlib
import copy
import io
import json
import logging
import pathlib

import salt.config
import salt.output
import salt.payload

import random_returns
import returns

HERE = pathlib.Path(__file__).parent
MINION = "minion01"
# Random returns of each kind. A file with more of them is too large to keep.
COUNT = 90

# What is compared: the outputter, and the options of the command line that it looks at.
STATES = {
    "full": {},
    "full color": {"color": True},
    "full quiet": {"state_verbose": False},
    "terse": {"state_output": "terse"},
    "terse color": {"state_output": "terse", "color": True},
    "mixed": {"state_output": "mixed"},
    "mixed color": {"state_output": "mixed", "color": True},
    "changes": {"state_output": "changes"},
    "changes color quiet": {"state_output": "changes", "color": True, "state_verbose": False},
    "full_id": {"state_output": "full_id"},
    "terse_id": {"state_output": "terse_id"},
    "mixed_id color": {"state_output": "mixed_id", "color": True},
    "changes_id": {"state_output": "changes_id"},
}
NESTED = {
    "nested": {},
    "nested color": {"color": True},
    "nested color failed": {"color": True, "retcode": 1},
}
DATA = {"json": {}, "yaml": {}}


def printed(value, how):
    """What `salt` prints, or None where it is not for us to print the same."""
    outputter = how.split()[0]
    outputter = outputter if outputter in ("nested", "json", "yaml") else "highstate"
    opts = copy.deepcopy(salt.config.DEFAULT_MASTER_OPTS)
    opts.update(color=False)
    opts.update((STATES | NESTED | DATA)[how])
    retcode = opts.pop("retcode", 0)
    if outputter in ("json", "yaml"):
        opts["output"] = outputter

    def display(outputter):
        stdout = io.StringIO()
        with contextlib.redirect_stdout(stdout):
            # As it arrives, and anew each time: the highstate outputter writes into what it prints.
            data = {MINION: salt.payload.loads(salt.payload.dumps(value))}
            salt.output.display_output(data, out=outputter, opts=opts, _retcode=retcode)
        return stdout.getvalue()

    try:
        text = display(outputter)
        if outputter == "highstate":
            salt.output.get_printout(outputter, opts)({MINION: salt.payload.loads(salt.payload.dumps(value))})
    except (ValueError, IndexError):
        # `salt` ends with a traceback.
        return None
    except (AttributeError, KeyError, TypeError):
        # Salt printed the data with the nested outputter instead, but only after it had written into them.
        return text if text == display("nested") else None
    # Because of a key that it cannot print, Salt prints nothing of the return.
    return None if text == "{}\n" else text


def case(name, value, hows):
    texts = {how: printed(value, how) for how in hows}
    wire = base64.b64encode(salt.payload.dumps(value)).decode()
    return {"name": name, "value": wire, "printed": {how: text for how, text in texts.items() if text is not None}}


def cases(count):
    for name, value in json.loads((HERE / "real.json").read_text()).items():
        yield case(name, value, ["full color", "changes", "mixed_id color", "terse"] if name == "apply" else ["full quiet", "mixed"])
    for name, value in returns.STATES.items():
        yield case(name, value, ["full color", "terse", "changes_id"])
    for name, value in returns.DATA.items():
        yield case(name, value, ["nested color", *DATA])
    hows = [*NESTED, *DATA]
    for seed in range(count):
        yield case(f"random data {seed}", random_returns.data(seed), [hows[seed % len(hows)]])
    hows = list(STATES)
    for seed in range(count):
        yield case(f"random states {seed}", random_returns.states(seed), [hows[seed % len(hows)]])


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--file", type=pathlib.Path, default=HERE / "printed.jsonl")
    parser.add_argument("--count", type=int, default=COUNT, help="random returns of each kind")
    options = parser.parse_args()
    # Salt logs what it cannot make sense of.
    logging.disable()
    with options.file.open("w", encoding="utf-8") as file:
        for line in cases(options.count):
            file.write(json.dumps(line, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
