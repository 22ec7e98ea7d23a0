"""Runs every probe of a module, each in a process of its own, and prints what it found: one line of JSON each.

This file is copied into containers of the lab: standard library only.
"""

import importlib
import inspect
import json
import os
import signal
import sys

MARK = "probe-finding:"
SECONDS = 10


def main() -> None:
    module = importlib.import_module(sys.argv[1])
    with open("facts.json") as file:
        facts = json.load(file)
    for name, probe in inspect.getmembers(module, inspect.isfunction):
        if probe.__module__ == module.__name__ and not name.startswith("_"):
            print(MARK + json.dumps({"probe": name, **report(probe, facts)}), flush=True)  # noqa: T201


def report(probe: object, facts: dict) -> dict:  # type: ignore[type-arg]
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(read)
        signal.alarm(SECONDS)
        try:
            found = {"value": probe(facts)}  # type: ignore[operator]
            text = json.dumps(found)
        except BaseException as error:
            text = json.dumps({"error": type(error).__name__, "text": str(error)[:300]})
        os.write(write, text.encode()[:60000])
        os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        told = pipe.read()
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return {"error": "killed", "text": f"signal {os.WTERMSIG(status)}"}
    found: dict = json.loads(told)  # type: ignore[type-arg]
    return found


if __name__ == "__main__":
    main()
