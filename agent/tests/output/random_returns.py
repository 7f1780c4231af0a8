"""Returns made by a generator that always makes the same ones of a seed."""

import random

WORDS = (
    "a", "file.managed", "yes", "0", "1.5", "-", "two words", "it's", "tab\there", "line\nbreak", "line\n  indented\n", "ünïcödé",
    "日本語", "😀", "", " ", "k: v", "#x", "[y]", "{z}", "\x1b[31mred\x1b[0m", "end \n", "nel\x85", "ls\u2028", "%", "x" * 90,
    "a sentence of several words that is about as long as a line of a terminal is wide, and then some, so that it has to be folded",
)


def scalar(rand):
    return rand.choice(
        (
            None, True, False, rand.randint(-5, 300), rand.randint(-(2**63), 2**64 - 1), rand.uniform(-10, 10),
            rand.random() * 10.0 ** rand.randint(-20, 25), float(rand.randint(0, 10**6)), rand.randbytes(rand.randint(0, 9)),
            *(text(rand) for _ in range(9)),
        )
    )


def text(rand):
    return "".join(rand.choice(WORDS) + rand.choice(("", " ", "\n", "-", ": ")) for _ in range(rand.choice((1, 1, 1, 2, 3))))


def key(rand):
    return rand.choice((rand.choice(WORDS),) * 8 + (text(rand), rand.randint(-3, 30), None, rand.random(), True))


def value(rand, depth):
    kind = rand.random()
    if depth == 0 or kind < 0.5:
        return scalar(rand)
    size = rand.choice((0, 1, 1, 2, 3, 4))
    if kind < 0.75:
        return [value(rand, depth - 1) for _ in range(size)]
    keys = key if rand.random() < 0.3 else text
    return {keys(rand): value(rand, depth - 1) for _ in range(size)}


def data(seed):
    """Anything."""
    return value(random.Random(f"data {seed}"), 5)


def changes(rand, depth):
    kind = rand.random()
    if kind < 0.35:
        return {}
    if kind < 0.8 or depth == 0:
        return {text(rand): value(rand, 2) for _ in range(rand.randint(1, 2))}
    if kind < 0.85:
        return value(rand, 2)
    hosts = {rand.choice(("minion02", "minion03", "x_master")): host(rand, depth - 1) for _ in range(rand.randint(1, 2))}
    if rand.random() < 0.5:
        return {"out": "highstate", "ret": hosts}
    return rand.choice(({"return": {"data": hosts}}, {"data": hosts | {"retcode": 0}}, hosts))


def host(rand, depth):
    if rand.random() < 0.15:
        return rand.choice((["error", text(rand)], text(rand), True, 5, None, {}))
    return many(rand, depth)


def many(rand, depth):
    numbers = list(range(rand.randint(1, 3)))
    rand.shuffle(numbers)
    together = {}
    for number in numbers:
        name = rand.choice((text(rand), text(rand), "state.orchestrate", "state.sls"))
        sls_id = rand.choice((name, text(rand)))
        inside = changes(rand, depth)
        if name.startswith("state.") and not isinstance(inside, (dict, str)):
            inside = {}
        state = {
            "name": name, "changes": inside, "comment": rand.choice((text(rand), text(rand), scalar(rand))),
            "result": rand.choice((True, True, False, None)), "__run_num__": number,
        }
        if rand.random() < 0.9:
            state["start_time"] = "12:00:00.000001"
            state["duration"] = rand.choice((round(rand.uniform(0, 2000), 3), rand.uniform(0, 3), 5, "4.25 ms", ""))
        if rand.random() < 0.2:
            # No braces: Salt's one-line form takes them for its own.
            state["warnings"] = [text(rand).replace("{", "").replace("}", "") for _ in range(rand.randint(1, 3))]
        if rand.random() < 0.1:
            state["__parallel__"] = True
        if rand.random() < 0.1:
            state["data"] = value(rand, 2)
        module, function = rand.choice((("file", "managed"), ("cmd", "run"), ("salt", "runner")))
        together[f"{module}_|-{sls_id}_|-{name}_|-{function}"] = state
    return together


def states(seed):
    """What a state function returns."""
    rand = random.Random(f"states {seed}")
    return many(rand, 2)
