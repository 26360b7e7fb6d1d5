"""Runs the programs of one module, one for each line of standard input (tests/clients/client.py).

A program is a function, sync or async, that returns what it got as JSON can say it.
"""

import asyncio
import importlib
import inspect
import json
import os
import sys
import traceback


def _run(module, asked):
    program = getattr(module, asked["program"])
    try:
        got = program(**asked["arguments"])
        return {"got": asyncio.run(got) if inspect.iscoroutine(got) else got}
    except Exception:
        return {"failed": traceback.format_exc()}


def main():
    # Whatever a library prints must not come between the answers.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    module = importlib.import_module(sys.argv[1])
    for line in sys.stdin:
        asked = json.loads(line)
        os.environ["TOLLHOUSE_KEY"] = asked["key"]
        print(json.dumps(_run(module, asked)), file=answers, flush=True)


main()
