"""Returns made by hand, by name: what state functions return (STATES), and what others do (DATA)."""

import datetime

from salt.defaults import _Constant


def state(number, result=True, changes=None, comment="", name="/etc/motd", sls_id="motd", **more):
    """A state as Salt's state compiler returns it, with its key. `None` leaves a field out."""
    ret = {
        "name": name,
        "changes": {} if changes is None else changes,
        "result": result,
        "comment": comment,
        "__sls__": "motd",
        "__run_num__": number,
        "start_time": f"12:00:{number:02}.123456",
        "duration": 1.5 + number,
        "__id__": sls_id,
    }
    ret.update(more)
    return {f"file_|-{sls_id}_|-{name}_|-managed": {key: value for key, value in ret.items() if value is not ...}}


def states(*many):
    """Several states in one return, each with an id of its own."""
    together = {}
    for number, fields in enumerate(many):
        together |= state(number, **{"sls_id": f"state {number}", "name": f"name {number}"} | fields)
    return together


DIFF = "--- \n+++ \n@@ -1,2 +1,2 @@\n-old\n+new\n same\n"
LONG = "/srv/" + "very/" * 40 + "long"
WARNING = (
    "The 'file' module has been moved -- as announced --into the well-known-and-loved extension 'x-y-z'. "
    "It will be-removed in 2026-01-01: see https://docs.saltproject.io/" + "en/latest/" * 12 + "index.html "
    "for a rather-long-hyphenated-explanation-of-what-to-do-instead-of-it\tafter a tab\n\n  and   more  "
)
NESTED_STATES = state(0, changes={"diff": DIFF}) | state(1, result=False, sls_id="other", comment="two\nlines")

STATES = {
    "nothing ran": {},
    "order of execution": state(11, sls_id="last") | state(2, sls_id="second") | state(-1, sls_id="first"),
    "same number": state(1, sls_id="b") | state(1, sls_id="a"),
    "ten of them": states(*[{"changes": {"n": n}, "result": n % 3 != 0} for n in range(12)]),
    "id and name": state(0, name="same", sls_id="same") | state(1, name="name", sls_id="id"),
    "long names": state(0, name=LONG, sls_id="an id"),
    "key with more parts": {"cmd_|-a_|-b_|-c_|-run": list(state(0).values())[0]},
    "unicode": state(0, name="/etc/überraschung 😀", sls_id="日本語", comment="naïve\u2028café", changes={"ключ": "значение"}),
    "comment with lines": state(0, comment="\n  first\n    second\n\nlast\r\nend\n\n  "),
    "comments that are not text": states(
        {"comment": ["a", "b\n", b"\xff"]},
        {"comment": None},
        {"comment": {"k": 1.0, "it's": '"'}},
        {"comment": b"\xff\x00'\n"},
        {"comment": 17},
    ),
    "escapes": state(0, name="n\x1b[31m", comment="red \x1b[31m comment", changes={"k\x1b": "v\x1b[0m"}),
    "diff": state(0, changes={"diff": DIFF, "mode": "0644"}),
    "nested changes": state(0, changes={"b": {"z": [1, [2, {"x": None}], "a\nb"], "y": {}}, "a": [], "c": ""}),
    "old and new": state(0, changes={"nginx": {"old": "", "new": "1.18.0-6.1+deb11u3"}}),
    "changes that end in blanks": state(0, changes={"diff": "text\n   \n"}),
    "changes that are not a dict": states(
        {"changes": "text"}, {"changes": ["a", "b'", 1.5]}, {"changes": True}, {"changes": 3},
        {"changes": ""}, {"changes": []}, {"changes": None}, {"changes": 0},
    ),
    "results": states({"result": True}, {"result": False}, {"result": None, "changes": {"a": 1}}, {"result": None}),
    "odd results": states({"result": "maybe"}, {"result": 1}, {"result": 0}, {"result": ""}, {"result": 2.0}, {"result": "warnings"}),
    "all failed": states({"result": False}, {"result": False, "comment": "One or more requisite failed: motd.a"}),
    "test run": states({"result": None, "comment": "would change", "changes": {"x": 1}}, {"result": None}, {}),
    "skipped": states(
        {"__state_ran__": False, "comment": "State was not run because none of the onchanges reqs changed"},
        {"skip_watch": True, "comment": "unless condition is true", "duration": 1200.25},
    ),
    "warnings": states(
        {"warnings": [WARNING]},
        {"warnings": ["one", "two"], "result": False},
        {"warnings": [], "changes": {"a": 1}},
        {"warnings": "text"},
        {"warnings": ["--- a---b --c-- d--", "é" * 70 + " ab-cd-ef 1-2 a-b-c" * 9]},
    ),
    "warnings of many blanks": state(0, warnings=["  \n " + "x" * 66 + "   " + "y" * 67 + " - " + "-" * 80 + " ab-" * 30]),
    "durations": states(
        {"duration": "12.5 ms"}, {"duration": "1_0"}, {"duration": "soon"}, {"duration": 3}, {"duration": True},
        {"duration": ""}, {"duration": " 1e2 ms"}, {"duration": 0.1}, {"duration": 0.2},
    ),
    "seconds": states({"duration": 999.0}, {"duration": 0.5005}),
    "just milliseconds": state(0, duration=999.0),
    "parallel": states(*[{"duration": d, "__parallel__": True} for d in (100.5, 2500.25, "7 ms")], {"duration": 10.0625}),
    "infinite durations": states({"duration": float("inf")}, {"duration": 1e300}),
    "no times": states({"start_time": ..., "duration": ...}, {"start_time": ...}),
    "start without duration": state(0, duration=...),
    "data": states(
        {"data": ["a", 1, None]}, {"data": {"k": "v", "n": [1, "x"]}}, {"data": "text", "comment": "c"}, {"data": None},
    ),
    "returned states": state(0, changes={"out": "highstate", "ret": {"minion02": NESTED_STATES, "minion03": ["error", "two"], "m4": "text\nmore", "m5": False}}),
    "returned states without changes": state(0, changes={"out": "highstate", "ret": {"minion02": states({}, {})}}),
    "returned nothing": state(0, changes={"out": "highstate", "ret": None}),
    "returned data": state(0, changes={"out": "nested", "ret": {"minion02": True}}),
    "returned no dict": state(0, changes={"out": "highstate", "ret": "text"}),
    "orchestration": state(0, name="state.orchestrate", changes={"return": {"outputter": "highstate", "data": {"master_master": NESTED_STATES, "retcode": 1}}}),
    "orchestration of orchestrations": state(0, name="state.sls", changes={"data": {"a_master": state(0, name="state.orch", changes={"ret": {"b": 5}})["file_|-motd_|-state.orch_|-managed"] and state(0, name="state.orch", changes={"ret": NESTED_STATES})}}),
    "orchestration of a job": state(0, name="state.orch", changes={"x": {"jid": "1", "fun": "f", "return": {"data": {"h": NESTED_STATES}}}}),
    "orchestration of a job without data": state(0, name="state.orch", changes={"x": {"jid": "1", "fun": "f"}}),
    "orchestration of text": state(0, name="state.orch", changes="some\ntext\n"),
    "orchestration of nothing": state(0, name="state.orch", changes={}),
    "orchestration of none": state(0, name="state.orch", changes=None) | {"file_|-z_|-z_|-y": {"name": "state.sls", "changes": None, "result": True, "comment": "", "__run_num__": 3}},
    "orchestration of a number": state(0, name="state.orch", changes=7),
    "orchestration of a list": state(0, name="state.orch", changes=["a"]),
    "no order": {
        "cmd_|-a_|-a_|-run": {"result": True, "changes": {}, "comment": "no number"},
        "b": {"k": "v" * 100, "list": list(range(40)), "nested": {"deep": {"deeper": ["text " * 30, b"\xff" * 40, None, 1.5]}}},
        "changes": {"not": "looked at"},
        "c": {"a": 1, 2: {"x": ["y" * 70]}, None: "line one\nline two is a good deal longer than what fits on one line of eighty columns\n", "": ""},
        "d": {"s": "'quoted' \"twice\"" * 8, "u": "日本語 " * 20, "e": {}, "l": [], "t": "a" * 90, "b": b"\x00"},
        "e": {},
        "f": "text",
    },
    "order of different kinds": {"a_|-b_|-c_|-d": {"result": True, "changes": {}, "comment": "", "__run_num__": 1}, "e_|-f_|-g_|-h": {"result": True, "changes": {}, "comment": "", "__run_num__": "2"}},
    "not states": {"a": {"result": True, "__run_num__": 1}},
    "states under numbers": {1: {"result": True, "__run_num__": 1, "changes": {}, "comment": ""}},
    "a result that is a list": state(0, result=["x"]),
    "a duration that is none": state(0, duration=None),
    "no comment": state(0, comment=...),
    "no changes": state(0, changes=...),
    "errors": ["Rendering SLS 'base:motd' failed: Jinja variable 'x' is undefined", "line\nline \x1b[1m", 5, None, {"a": "b"}, ["é"]],
    "no errors": [],
    "text": "first\nsecond\r\nthird",
    "empty text": "",
    "true": True,
    "number": -3,
    "float": 1.5,
    "none": None,
    "flat": {"a": 1, "b": "two", "c": {}},
}

DATA = {
    "true": True,
    "false": False,
    "none": None,
    "text": "text",
    "empty text": "",
    "lines": "one\ntwo\r\nthree\x0bfour\x0cfive\x1csix\x85seven\u2028eight\u2029nine\n\n",
    "blanks": "  indented\n\ttab \n   \n",
    "escapes": {"key\x1b[1m": "value\x1b[31m", "list": ["\x1b"]},
    "unicode": {"ключ": "значение", "日本": ["語", "😀"], "e\u0301": "\u200b\xa0\xad\ufeff", "\U000e0001": "\ue000"},
    "controls": "".join(map(chr, range(32))) + "\x7f\x80\x9f\xa0\"\\'",
    "binary": {"whole": b"\xff\xfe\x00", "list": [b"\x80", "text"], "part": "ok", "long": b"\x00\xff" * 60},
    "binary alone": b"\xff",
    "binary key": {"k": {b"\xff": 1}},
    "numbers": [0, -1, 2**63 - 1, -(2**63), 2**64 - 1, 2**64, 1.0, -0.0, 0.1, 1e16, 1e15, 1e-5, 1.5e-7, 123456789.125, 5e-324, 1.7976931348623157e308],
    "no numbers": [float("inf"), float("-inf"), float("nan")],
    "empty": {"list": [], "dict": {}, "text": "", "lists": [[], {}, [[]], [{}], ""]},
    "empty list": [],
    "empty dict": {},
    "lists": [1, [2, [3, [4, "a\nb"], "c"], {"d": [5]}], {"e": {"f": [[], [6]]}}, "g\nh"],
    "list of dicts": {"k": [{"a": 1, "b": {"c": [1, {"d": 2}]}}, {"e": None}]},
    "keys in order": {"b": 1, "a": 2, "B": 3, "aa": 4, "é": 5, "_": 6, "1": 7, "10": 8, "2": 9},
    "number keys": {3: "a", 1.5: "b", True: "c", -2: "d", 2**64 - 1: "e"},
    "keys of all kinds": {1: "a", "b": "c", None: "d", 2.0: "e", True + 1.5: "f", "1": "g", b"\xff": "h"},
    "none as key": {None: {None: 1}},
    "dates": {"d": datetime.datetime(2026, 1, 2, 3, 4, 5), "u": datetime.datetime(2026, 1, 2, 3, 4, 5, 600), "m": datetime.datetime(2026, 1, 2), "day": datetime.date(2026, 12, 31)},
    "dates as keys": {datetime.datetime(2026, 1, 2, 3, 4): 1, datetime.datetime(2025, 1, 2): 2},
    "constants": [_Constant("NOT_SET"), _Constant("OTHER", "value"), _Constant("ZERO", 0)],
    "yaml words": ["yes", "No", "TRUE", "true", "tRue", "on", "off", "null", "~", "Null", "nULL", "=", "<<", "!", "&", "*", "y", "n", "none", "None"],
    "yaml numbers": [
        "1", "-1", "+1", "0", "00", "08", "0o7", "07", "0_", "0b1", "0b", "0b2", "0x1F", "0xG", "0x_", "1_000", "1__", "_1",
        "1:30", "1:60", "0:30", "1:3:5", "1:30:", ":30", "-190:20:30", "1.5", ".5", "-.5", "5.", "1.5e3", "1.5e+3", "1e3", "1.e+3",
        ".5e-1", "._5", ".", "1:30.5", "1:30.5e+1", ".inf", "-.INF", "+.Inf", ".iNf", ".nan", "-.nan", ".NaN", "1.2.3", "12e03", "1_0.0_1",
    ],
    "yaml dates": [
        "2026-01-02", "2026-1-2", "2026-01-02 03:04:05", "2026-1-2T3:04:05", "2026-01-02t03:04:05.5 +01:00", "2026-01-02 03:04:05Z",
        "2026-01-02 03:04:05 ", "2026-01-02 03:04", "2026-01-02 03:04:05-1", "2026-01-02 03:04:05 +1:0", "2026-01-02\t 03:04:05.Z", "02026-01-02",
    ],
    "yaml indicators": [
        "- a", "-", "-a", "--- a", "...", "? a", "?a", ": a", ":a", "a: b", "a:b", "a:", "a #b", "a#b", "#a", ",a", "[a", "]a", "{a", "}a", "&a", "*a",
        "!a", "|a", ">a", "'a", "\"a", "%a", "@a", "`a", "a,b", "a [b] {c}", "it's", "'it''s': \"x\"", "a\tb", " a", "a ", "a\n", "\na", "\\", "a: 'b\\'",
        "a:\x00", "a \x00#b", "http://x.y/z?q=1#f", "C:\\x", "=a", "<<a", "\u2028", "a\u2028b", "a\u2029 b", "a\x85b", "a\rb", "#", ":", "?", "é: ü", "- é",
    ],
    "yaml lines": [
        "one\ntwo\n", "one\n\ntwo", "one\n two", "one \ntwo", "\n", "\n\n", "  one\ntwo\n\n", "one\n\n\n\ntwo's\n", "tab\there\nnext", "long " * 40 + "\n" + "word " * 40,
    ],
    "yaml long lines": {
        "plain": "word " * 50, "plain two": ("two  " * 50).strip(), "single": "it: 'is' " * 30, "double": "tab\t and  blanks " * 30 + " \\",
        "unbroken": "x" * 300, "unicode": "日本 語 " * 60, "emoji": "😀 😀" * 30, "list": [["word " * 30], {"k" * 20: "word " * 30}], "ends": "a" * 81 + " ", "begins": " " + "b " * 60,
    },
    "yaml long keys": {"k" * 128: 1, "l" * 129: {"a": [1]}, "é" * 65: 2, "key\nwith lines": [3], "": 4, "key with\ttab": 5, "a: b": 6, "yes": 7, "1": 8, "word " * 24: 9},
    "yaml binary": {"a": {b"\xff\xfe": b"\xff" * 100}, "b": [b"\xfe" * 57, [b"\xfd"]]},
}
