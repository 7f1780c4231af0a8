"""What real Salt makes of arguments, a JSON line in and a JSON line out.

In:  {"words": [...], "wire": HEX} or {"document": TEXT, "wire": HEX} or {"value": TEXT}
Out: null if the function gets from `wire` what it should get, else a text that says how they differ.
     For "value": whether Salt reads it as a mapping.

`wire` is the `arg` list of a minion_pub, as msgpack.
"""

import json
import re
import sys

import salt.minion
import salt.payload
import salt.utils.args


def function(*args, **kwargs):
    """Takes everything."""


def published(arg):
    """What the minion receives when a master or `salt` publishes `arg`."""
    return salt.payload.loads(salt.payload.dumps({"arg": arg}))["arg"]


def called(arg):
    """What the function is called with, types and order included."""
    text = repr(salt.minion.load_args_and_kwargs(function, published(arg)))
    # A list that holds itself: Salt sends its address in memory.
    return re.sub(r"<Recursion on (\w+) with id=\d+>", r"<Recursion on \1>", text)


def outcome(of):
    # What can't be sent has to fail both ways.
    try:
        return of()
    except Exception as error:
        return f"fails: {type(error).__name__}"


def by_salt(words):
    # salt/utils/parsers.py, then salt/client/__init__.py
    arg = salt.utils.args.parse_input(words, no_parse=[])
    return called(salt.utils.args.condition_input(arg, None))


def by_minion_pub(wire):
    # salt/daemons/masterapi.py, then salt/client/__init__.py
    arg = salt.utils.args.parse_input(salt.payload.loads(wire), no_parse=[])
    return called(salt.utils.args.condition_input(arg, None))


def literally(document):
    data = json.loads(document)
    args, kwargs = (data, {}) if isinstance(data, list) else (data.get("args", []), data.get("kwargs", {}))
    return repr((args, kwargs))


def answer(case):
    if "value" in case:
        return isinstance(salt.utils.args.yamlify_arg(case["value"]), dict)
    if "words" in case:
        expected = outcome(lambda: by_salt(case["words"]))
    else:
        expected = literally(case["document"])
    got = outcome(lambda: by_minion_pub(bytes.fromhex(case["wire"])))
    return None if got == expected else f"{case}: expected {expected}, got {got}"


for line in sys.stdin:
    print(json.dumps(answer(json.loads(line))))
