"""The process whose instructions are counted: `python -m bench.guard.measured FOLDER REDIS_URL`.

Runs under callgrind, which dumps its counters whenever the C function `getsid` is entered: nothing
else here calls that. It waits, for counting to be switched on, until FOLDER/ready is taken away.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import time
from pathlib import Path

from bench.guard import authz, lua, ratelimit, references
from bench.guard.work import Work

READY = "ready"
PLAN = "plan.json"
DUMPED_AT = "getsid"
_POLL_SECONDS = 0.02


def _mark() -> None:
    os.getsid(0)


def _all_works(folder: Path, redis_url: str) -> list[Work]:
    state = references.new_lua()
    return [
        *references.works(state),
        *authz.works(folder),
        *ratelimit.works(redis_url),
        *lua.works(state),
    ]


def _measure(work: Work) -> None:
    """Dumps three times: what came before, n operations, and twice as many."""
    work.run(work.times)  # fills caches
    _mark()
    work.run(work.times)
    _mark()
    work.run(2 * work.times)
    _mark()


def main(folder: Path, redis_url: str) -> None:
    """Everything once; then ends without Python's own ending, which would be counted too."""
    works = _all_works(folder, redis_url)
    plan = [(work.name, work.reference, work.times) for work in works]
    (folder / PLAN).write_text(json.dumps(plan))
    gc.collect()
    gc.disable()  # a collection is due after so many allocations, wherever that may be
    ready = folder / READY
    ready.touch()
    while ready.exists():
        time.sleep(_POLL_SECONDS)
    for work in works:
        _measure(work)
    os._exit(0)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
