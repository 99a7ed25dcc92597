"""How much of a run the embedded model's server has nothing to do: a real run of the example."""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from pathlib import Path

from bench.counting_proxy import Span, counting_proxy, idle_gaps
from bench.figure import Figure
from cascade_operator.api.exit_codes import ExitCode
from cascade_operator.cli.session_file import read_session
from cascade_operator.local.session_run import RunOutcome, RunSnapshot, run_session

COMMAND = "python -m bench server_busy"
SESSION = Path(__file__).parents[1] / "examples" / "quickstart.yaml"
WORKER = Path(__file__).with_name("proxied_worker.py")


def measure() -> list[Figure]:
    with tempfile.TemporaryDirectory(prefix="cb-") as folder:
        state = Path(folder)
        address = state / "servers" / "chat.address"
        with counting_proxy(lambda: address.read_text("ascii").strip()) as (url, spans):
            outcome = asyncio.run(_run(state, url, time.monotonic()))
        if outcome.exit_code != ExitCode.OK:
            raise SystemExit(f"the run ended with {outcome.exit_code}: {outcome.status.phase}")
    return [
        Figure(
            "embedded model: share of time without a request", _idle(spans), 0.05, False, COMMAND
        )
    ]


async def _run(state: Path, url: str, begin: float) -> RunOutcome:
    last = [""]

    def look(snapshot: RunSnapshot) -> None:
        running = sorted(name for name, job in snapshot.jobs.items() if not job.state.ended)
        text = f"{snapshot.status.phase}: {' '.join(running)}"
        if text != last[0]:
            last[0] = text
            print(f"  {time.monotonic() - begin:7.2f} {text}", flush=True)

    session = read_session(SESSION)
    return await run_session(
        session,
        SESSION.parent,
        state,
        on_update=look,
        stop=asyncio.Event(),
        retrain=False,
        worker=(sys.executable, str(WORKER), url),
    )


def _idle(spans: list[Span]) -> float:
    gaps = idle_gaps(spans)
    begin, end = min(b for b, _ in spans), max(e for _, e in spans)
    idle = sum(b - a for a, b in gaps)
    print(f"  {len(spans)} requests in {end - begin:.1f} s; {len(gaps)} gaps, {idle:.1f} s in all")
    for a, b in sorted(gaps, key=lambda gap: gap[0] - gap[1])[:25]:
        print(f"    {b - a:6.3f} s at {a - begin:.1f} s")
    return idle / (end - begin)
