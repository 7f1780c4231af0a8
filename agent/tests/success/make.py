"""Makes returns-*.json: what a real minion returns, with the retcode, for many ways of ending well or badly.

    lab up --salt 3008 --name success
    lab exec --lab success salt1 sh -c 'exec PYTHON agent/tests/success/make.py $(dirname $(dirname $(command -v salt)))'

with the Python that has this Salt (`lab` installs it into `~/.cache/saltfo-lab`). It writes states into the lab's
file roots and runs them on minion01.
"""

import base64
import json
import os
import sys
import time

import salt.client
import salt.payload
import salt.version

HERE = os.path.dirname(os.path.abspath(__file__))
MINION = "minion01"

STATES = {
    "good": "a: {test.succeed_with_changes: []}\nb: {test.succeed_without_changes: []}\n",
    "bad": "a: {test.succeed_with_changes: []}\nb: {test.fail_without_changes: [{comment: on purpose}]}\n",
    "requisite": "a: {test.fail_with_changes: []}\nb: {test.nop: [{require: [{test: a}]}]}\n",
    "onchanges": "a: {test.nop: []}\nb: {test.nop: [{onchanges: [{test: a}]}]}\nc: {test.nop: [{onlyif: 'false'}]}\n",
    "onfail": "a: {test.fail_without_changes: []}\nb: {test.nop: [{onfail: [{test: a}]}]}\n",
    "pending": "a: {test.configurable_test_state: [{result: true}, {changes: true}]}\n",
    "unrenderable": "a: {{ undefined.thing }}\n",
    "nonsense": "a:\n  - b\n  c: d: e\n",
    "unknown": "a: {nothing.here: []}\n",
    "duplicate": "include: [good]\na: {test.nop: []}\n",
    "command": "a: {cmd.run: [{name: 'echo é; exit 3'}]}\nb: {cmd.run: [{name: 'echo b'}]}\n",
    "raises": "a: {module.run: [{test.exception: [{message: oops}]}]}\n",
    "file": "a: {file.managed: [{name: /nowhere/at/all}, {contents: x}]}\n",
    "names": "a: {test.nop: [{names: [/x, 'y_|-z', 'ü']}]}\n",
    "slow": "a: {test.nop: []}\nb: {cmd.run: [{name: 'sleep 8'}]}\n",
    "empty": "",
    "module": "a: {module.run: [{test.kwarg: [{result: false}]}]}\n",
}

CALLS = [
    ("state.apply", [name], {}) for name in STATES if name not in ("slow", "pending")
] + [
    ("state.apply", ["pending"], {}),
    ("state.apply", ["pending"], {"test": True}),
    ("state.apply", ["bad"], {"test": True}),
    ("state.apply", ["nowhere"], {}),
    ("state.apply", [], {}),
    ("state.apply", ["good"], {"pillar": "text"}),
    ("state.apply", ["good", "too", "many", "arguments", "here"], {}),
    ("state.apply", ["good"], {"exclude": "[{'id': 'a'}]"}),
    ("state.highstate", [], {}),
    ("state.sls", ["good,bad"], {}),
    ("state.sls", ["good"], {"terse": True}),
    ("state.test", ["pending"], {}),
    ("state.sls_id", ["a", "bad"], {}),
    ("state.sls_id", ["c", "bad"], {}),
    ("state.single", ["test.nop", "x"], {}),
    ("state.single", ["test.fail_without_changes", "x"], {}),
    ("state.single", ["nop", "x"], {}),
    ("state.single", ["nothing.here", "x"], {}),
    ("state.low", [{"state": "test", "fun": "nop", "name": "x", "__id__": "x"}], {}),
    ("state.low", [{"state": "test", "fun": "fail_without_changes", "name": "x", "__id__": "x"}], {}),
    ("state.low", [{"state": "test"}], {}),
    ("state.high", [{"x": {"test": ["nop"]}}], {}),
    ("state.high", [{"x": {"test": ["fail_without_changes"]}}], {}),
    ("state.template_str", ["x: {test.nop: []}"], {}),
    ("state.template_str", ["x: {test.fail_without_changes: []}"], {}),
    ("state.top", ["top.sls"], {}),
    ("state.pkg", ["/nowhere", "0", "md5"], {}),
    ("state.request", ["pending"], {}),
    ("state.check_request", [], {}),
    ("state.run_request", [], {}),
    ("state.run_request", [], {}),
    ("state.sls_exists", ["nowhere"], {}),
    ("state.show_sls", ["nowhere"], {}),
    ("state.show_sls", ["good"], {}),
    ("state.show_states", [], {}),
    ("state.list_disabled", [], {}),
    ("state.running", [], {}),
    ("state.disable", ["good"], {}),
    ("state.list_disabled", [], {}),
    ("state.apply", ["good"], {}),
    ("state.enable", ["good"], {}),
    ("state.applyx", ["good"], {}),
    ("test.ping", [], {}),
    ("test.pingx", [], {}),
    ("nomodule.here", [], {}),
    ("zypper.install", ["x"], {}),
    ("test.false", [], {}),
    ("test.true", [], {}),
    ("test.echo", ["ERROR: only a text"], {}),
    ("test.echo", ["well"], {}),
    ("test.arg", ["a"], {"b": 1}),
    ("test.kwarg", [], {"result": False}),
    ("test.kwarg", [], {"success": 0, "comment": "no luck"}),
    ("test.kwarg", [], {"result": True}),
    ("test.exception", ["oops\nand more"], {}),
    ("test.retcode", [42], {}),
    ("test.version", [], {}),
    ("test.sleep", [0], {}),
    ("test.sleep", ["x"], {}),
    ("test.sleep", [], {"nonsense": 1}),
    ("grains.get", ["os"], {}),
    ("grains.items", [], {}),
    ("pillar.get", ["nothing"], {}),
    ("pillar.items", [], {}),
    ("sys.doc", ["test.ping"], {}),
    ("saltutil.running", [], {}),
    ("saltutil.find_job", ["20200101000000000000"], {}),
    ("saltutil.find_cached_job", ["20200101000000000000"], {}),
    ("saltutil.is_running", ["state.*"], {}),
    ("saltutil.kill_job", ["20200101000000000000"], {}),
    ("saltutil.refresh_pillar", [], {}),
    ("saltutil.refresh_pillar", [], {"wait": True}),
    ("saltutil.refresh_grains", [], {}),
    ("cmd.run", ["echo ü"], {}),
    ("cmd.run", ["echo fine; exit 5"], {}),
    ("cmd.run", ["printf '\\377\\000x'"], {"output_encoding": "latin-1"}),
    ("cmd.run", ["exit 5"], {"ignore_retcode": True}),
    ("cmd.run", ["echo 'ERROR: not one'"], {}),
    ("cmd.run", ["sleep 9"], {"timeout": 1}),
    ("cmd.run", ["echo"], {"cwd": "/nowhere"}),
    ("cmd.run", ["echo"], {"runas": "nobody-of-that-name"}),
    ("cmd.run", [], {}),
    ("cmd.run_all", ["echo x"], {}),
    ("cmd.run_all", ["exit 5"], {}),
    ("cmd.run_all", ["exit 5"], {"ignore_retcode": True}),
    ("cmd.run_all", ["exit 5"], {"success_retcodes": [5]}),
    ("cmd.retcode", ["true"], {}),
    ("cmd.retcode", ["exit 5"], {}),
    ("cmd.retcode", ["exit 5"], {"ignore_retcode": True}),
    ("cmd.script", ["salt://nowhere.sh"], {}),
    ("cp.get_file_str", ["salt://nowhere"], {}),
    ("file.read", ["/nowhere"], {}),
    ("service.status", ["nothing-of-that-name"], {}),
    ("user.info", ["nobody-of-that-name"], {}),
]


def finish(client, jid):
    # Not `cmd`, which may miss a return: the job cache, which `pub_ret` and `jobs.list_job` read.
    ret = {}
    while "return" not in ret:
        time.sleep(0.05)
        ret = client.returners["local_cache.get_jid"](jid).get(MINION, {})
    return ret


def run(client, function, args, kwargs):
    ret = finish(client, client.cmd_async(MINION, function, args, kwarg=kwargs))
    called = [function] + [json.dumps(arg) for arg in args] + [f"{key}={json.dumps(kwargs[key])}" for key in kwargs]
    return {
        "call": " ".join(called),
        "function": function,
        "retcode": ret["retcode"],
        "return": base64.b64encode(salt.payload.dumps(ret["return"])).decode(),
    }


def main(host):
    client = salt.client.LocalClient(os.path.join(host, "etc", "salt", "master"))
    roots = client.opts["file_roots"]["base"][0]
    for name, text in STATES.items():
        with open(os.path.join(roots, f"{name}.sls"), "w", encoding="utf-8") as file:
            file.write(text)
    with open(os.path.join(roots, "top.sls"), "w", encoding="utf-8") as file:
        file.write(f"base: {{{MINION}: [good]}}\n")
    # Two states at once.
    client.cmd_async(MINION, "state.apply", ["slow"])
    while not finish(client, client.cmd_async(MINION, "saltutil.is_running", ["state.*"]))["return"]:
        time.sleep(0.2)
    results = [run(client, "state.apply", ["good"], {"queue": False})]
    while finish(client, client.cmd_async(MINION, "saltutil.is_running", ["state.*"]))["return"]:
        time.sleep(0.2)
    results += [run(client, *call) for call in CALLS]
    # Large, and none is like another.
    results = [result for result in results if len(result["return"]) < 12000]
    series = salt.version.__version__.split(".")[0]
    with open(os.path.join(HERE, f"returns-{series}.json"), "w", encoding="utf-8") as file:
        file.write("[\n" + ",\n".join(json.dumps(result) for result in results) + "\n]\n")
    print(len(results), "returns of", salt.version.__version__)


main(sys.argv[1])
