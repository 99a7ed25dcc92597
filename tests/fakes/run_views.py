"""Hand-made looks at a session, for the renderers."""

from cascade_operator.cli.view import (
    ArchiveRow,
    AttributionRow,
    BestRow,
    CallRow,
    GroupRow,
    RunView,
)

MI = 2**20

WAITING = GroupRow("01", "baml", limit=512 * MI)
RUNNING = GroupRow(
    "00",
    "autogen",
    "Running",
    attempt=1,
    trials=3,
    baseline=0.5,
    best=0.6,
    peak=200 * MI,
    limit=512 * MI,
)
DONE = GroupRow(
    "00", "autogen", "Succeeded", "Converged", attempt=1, trials=14, baseline=0.6123, best=0.6631,
    held_out=0.65, peak=210 * MI, limit=512 * MI,
    calls=CallRow(model_calls=200, cache_hits=90, waits=5, tokens=9000, saved_calls=600,
                  saved_tokens=400),
)  # fmt: skip
FAILED = GroupRow(
    "01", "baml", "Failed", "MemoryGate", "needs more than maxPerJob", attempt=3, limit=2048 * MI
)
BEFORE = RunView("tool-calls")
TRAINING = RunView(
    "tool-calls",
    run=2,
    session_id="20261123T203100Z",
    phase="Training",
    groups=(RUNNING, WAITING),
    calls=CallRow(model_calls=250, cache_hits=500, tokens=12_345, saved_calls=750),
    elapsed=65,
    percent=17,
    remaining=130,
)
COMPLETE = RunView(
    "tool-calls",
    run=2,
    session_id="20261123T203100Z",
    phase="Complete",
    message="1 of 2 groups failed: 01",
    groups=(DONE, FAILED),
    calls=CallRow(
        model_calls=300, cache_hits=99, waits=6, tokens=20_000, saved_calls=900, saved_tokens=700
    ),
    prepare_calls=CallRow(model_calls=40),
    elapsed=605,
    warm_started_from="20261122T080000Z",
    best=BestRow("00", "autogen", 0.6631, 0.65, 0.62),
    attribution=(
        AttributionRow("agent-00-autogen-bmad", 0.03, 0.01, 0.05),
        AttributionRow("agent-10-baml-transform", 0.004, -0.01, 0.02),
    ),
    archives=(ArchiveRow("default/tool-calls/20261123T203100Z_size01.tar.zst", 12 * 1024, 1),),
)
