"""What the pillar files of a client should say, and what this Salt makes of those that are there.

Arguments: the client's file, the folder that pillar/ is in, a folder for Salt. Prints JSON: `expected` and `rendered` by
the name of each sls, `hosts` with the pillar that each host is expected to get and the one that it gets.
"""

import json
import pathlib
import sys

import salt.config
import salt.loader
import salt.pillar
import salt.template
import yaml

file, out, work = (pathlib.Path(argument) for argument in sys.argv[1:])


def documents(file):
    """The client's file, then what it includes."""
    document = yaml.safe_load(file.read_text())
    yield document
    include = document.get("include", {})
    for folder in include.get("dirs", []):
        for found in sorted((file.parent / folder).rglob("*.yaml")):
            yield yaml.safe_load(found.read_text())
    for name in include.get("files", []):
        yield yaml.safe_load((file.parent / name).read_text())


def templates(file):
    """The data of each sls, written down from the layout of a client and from nothing else."""
    pki, masters, assets = {}, [], []
    for document in documents(file):
        settings = document.get("configuration_management", {}).get("salt", {})
        pki.update(settings.get("pki", {}))
        masters = settings.get("masters", masters)
        assets += document.get("assets", [])
    masters = [master for master in masters if master["active"]]
    servers = [
        asset
        for asset in assets
        if asset.get("active", True) and asset.get("kind", "server") == "server" and "minion" in asset
    ]
    accepted = {server["fqdn"]: server["minion"]["pub"] for server in servers}
    accepted.update({master["fqdn"]: master["pki"]["minion"]["pub"] for master in masters})
    accepted[pki["pipeline"]["id"]] = pki["pipeline"]["pub"]

    def minion(pair, **more):
        keys = {"minion": {"pem": pair["pem"], "pub": pair["pub"]}, "master_sign": pki["master_sign"]["pub"]}
        return {"salt": {"minion": {"pki": {**keys, **more}}}}

    def name(role, host):
        return f"{role}_{host['fqdn'].replace('.', '_')}"

    made = {name("minion", server): minion(server["minion"]) for server in servers}
    for number, master in enumerate(masters):
        sign = pki["master_sign_old"] if number == 0 and "master_sign_old" in pki else pki["master_sign"]
        own = master["pki"]["master"]
        made[name("minion", master)] = minion(master["pki"]["minion"], minion_master=own["pub"])
        made[name("master", master)] = {
            "salt": {
                "master": {
                    "pki": {"master_sign": sign, "master": own, "minions": accepted},
                    "root_ed25519": master["root_ed25519"],
                }
            }
        }
    hosts = {host["fqdn"]: [name("minion", host)] for host in servers + masters}
    for master in masters:
        hosts[master["fqdn"]].append(name("master", master))
    return made, hosts


def plain(data):
    """Without Salt's kinds of dictionaries."""
    return json.loads(json.dumps(data))


made, hosts = templates(file)
lists = {host: [f"salt.{sls}" for sls in names] for host, names in hosts.items()}
# As an operator would, one line for every minion; masters get one more.
(out / "pillar" / "top.sls").write_text(
    "base:\n  '*':\n    - salt.minion_{{ grains['id'] | replace('.', '_') }}\n"
    + "".join(f"  {host}:\n    - {names[1]}\n" for host, names in lists.items() if len(names) > 1)
)
config = work / "minion"
config.write_text(
    f"root_dir: {work}\nfile_client: local\npillar_roots:\n  base: [{out}/pillar]\nlog_level_logfile: quiet\n"
)
opts = salt.config.minion_config(str(config))
opts["id"] = "salt1.xyz.example"
renderers = salt.loader.render(opts, salt.loader.minion_mods(opts))
assert opts["renderer"] == "jinja|yaml"
rendered = {
    path.stem: plain(
        salt.template.compile_template(str(path), renderers, opts["renderer"], [], [], saltenv="base", sls=path.stem)
    )
    for path in (out / "pillar" / "salt").glob("*.sls")
}


def compiled(host):
    """The pillar of a host, by Salt's own top file, environments and merging."""
    pillar = salt.pillar.Pillar({**opts, "id": host}, {"id": host}, host, "base")
    return plain(pillar.compile_pillar())


def merged(names):
    roles = {}
    for sls in names:
        roles.update(made[sls]["salt"])
    return {"salt": roles}


json.dump(
    {
        "expected": made,
        "rendered": rendered,
        "hosts": {host: [merged(names), compiled(host)] for host, names in hosts.items()},
    },
    sys.stdout,
)
