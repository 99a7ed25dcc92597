"""A worker that does what a file tells it to: the Job's name picks the behaviour.

Run as a program by a bare interpreter: ``local_worker.py SCRIPT STAGE ARGUMENTS...``. SCRIPT is a
JSON file: ``{"<stage or stage/group>": [{"exit": 0, "message": {...}, ...}, ...]}``; the n-th start
takes the n-th entry, later starts the last one.
"""

import json
import os
import signal
import sys
import time
from pathlib import Path


def main() -> None:
    script, stage, *arguments = sys.argv[1:]
    folder = Path(script).parent
    name = stage
    if "--group" in arguments:
        name += "/" + arguments[arguments.index("--group") + 1]
    starts = folder / f"{name.replace('/', '-')}.starts"
    with starts.open("a") as stream:
        start = {"pid": os.getpid(), "arguments": arguments, "at": time.time()}
        stream.write(json.dumps(start) + "\n")
    entries = json.loads(Path(script).read_text())
    entry = entries.get(name, entries.get(stage, [{}]))
    step = entry[min(len(starts.read_text().splitlines()), len(entry)) - 1]
    sys.stdout.write(f"started {name}\n")
    (folder / f"{name.replace('/', '-')}.environment").write_text(json.dumps(dict(os.environ)))
    if step.get("allocate"):
        held = bytearray(step["allocate"])
        held[::4096] = b"x" * len(held[::4096])
    if step.get("hang"):
        ends = folder / f"{name.replace('/', '-')}.ends"
        signal.signal(signal.SIGTERM, lambda *_: _leave(step, ends))
        (folder / f"{name.replace('/', '-')}.hangs").write_text(str(os.getpid()))
        time.sleep(120)
    message = step.get("message", _usual_message(stage, arguments))
    Path(os.environ["CASCADE_TERMINATION_LOG"]).write_text(json.dumps(message))
    sys.exit(step.get("exit", 0))


def _leave(step, ends):
    time.sleep(step.get("slow", 0))
    with ends.open("a") as stream:
        stream.write(json.dumps({"pid": os.getpid(), "at": time.time()}) + "\n")
    sys.exit(step.get("terminated", 143))


def _usual_message(stage, arguments):
    if stage == "prepare":
        return {"kind": "prepare", "records": 12}
    if stage == "group":
        key = arguments[arguments.index("--group") + 1]
        figures = {"baseline": 0.5, "score": 0.75, "heldOut": 0.7, "baselineHeldOut": 0.5}
        return {"kind": "group", "group": key, "trials": 3, **figures}
    groups = arguments[arguments.index("--groups") + 1].split(",")
    final = arguments[arguments.index("--kind") + 1] == "final"
    archive = {"groupSize": 1, "path": "default/s/x_size01.tar.zst", "sha256": "0" * 64}
    best = {"group": groups[0], "score": "0.7500", "heldOut": "0.7000"}
    return {
        "kind": "archive",
        "final": final,
        "archives": [archive | {"bytes": 5}],
        "groups": groups,
        "best": best,
    }


if __name__ == "__main__":
    main()
