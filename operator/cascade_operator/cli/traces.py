"""``cascade traces``: makes, checks and shows validated traces."""

# ruff: noqa: PLC0415 - heavy modules load only when their command runs

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cascade_operator.api.errors import DataError
from cascade_operator.cli.console import hint, say, say_json
from cascade_operator.cli.options import Output, OutputOption
from cascade_operator.cli.session_file import read_session

if TYPE_CHECKING:
    from cascade_operator.api.session import TrainingSessionSpec
    from cascade_operator.traces.record import NodeFields, TraceSet

SHOWN_REJECTIONS = 10

app = typer.Typer(
    help="Make, check and show human-validated traces.\n\n"
    "A trace is one run of your agents: a line of a .jsonl file, or a row of a .parquet one, with "
    "`record_id`, `agent_chain_inputs` and `agent_chain_outputs` (for each node the fields it read "
    "and wrote), and `validated_json` (the final fields that a person found right).",
    no_args_is_help=True,
    rich_markup_mode="markdown",
)
import_app = typer.Typer(
    help="Make traces from a public data set.", no_args_is_help=True, rich_markup_mode="markdown"
)
app.add_typer(import_app, name="import")

SessionOption = Annotated[
    Path | None,
    typer.Option(
        "--session", help="The session whose cascade and split count; else the default cascade."
    ),
]


@import_app.command("bfcl")
def import_from_bfcl(
    out: Annotated[Path, typer.Argument(help="The parquet file to write.", show_default=False)],
    max_records: Annotated[int, typer.Option(min=3, max=100_000, help="At most so many.")] = 200,
    seed: Annotated[int, typer.Option(min=0, help="Chooses which records.")] = 42,
    max_prompt_chars: Annotated[
        int | None,
        typer.Option(
            min=200, help="Only records whose prompt is this short (most have 1500 to 4000)."
        ),
    ] = None,
) -> None:
    """Make traces of the four default agents from BFCL, a public data set of tool calls.

    Example: `cascade traces import bfcl traces.parquet --max-records 60`
    """
    from cascade_operator.traces.bfcl import import_bfcl

    report = import_bfcl(out, max_records=max_records, seed=seed, max_prompt_chars=max_prompt_chars)
    say(f"{out}: {report.records} traces written, of {report.available} that there are")


@app.command("validate")
def validate(
    file: Annotated[Path, typer.Argument(help="Traces: .parquet or .jsonl.", show_default=False)],
    session: SessionOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Count usable, rejected and repeated records, and show the split; ends with 65 on bad data.

    Example: `cascade traces validate traces.parquet --session session.yaml`
    """
    from cascade_operator.traces.split import split_records
    from cascade_operator.worker.trace_source import node_fields

    spec = _spec(session)
    trace_set = _read_all(file, node_fields(spec.cascade), spec.traces.max_records)
    traces = spec.traces
    splits = split_records(
        trace_set.records,
        validation_fraction=traces.validation_fraction,
        held_out_fraction=traces.held_out_fraction,
        salt=str(spec.optimizer.seed),
    )
    _print_counts(file, trace_set, Counter(split.value for split in splits.values()), output)
    rows = len(trace_set.records) + trace_set.duplicates + trace_set.bad
    if 100 * trace_set.bad > traces.max_invalid_percent * rows:
        raise DataError(
            f"{file}: {trace_set.bad} of {rows} rows are bad, more than "
            f"{traces.max_invalid_percent:g} %",
            mend="mend the rows above, or raise spec.traces.maxInvalidPercent",
        )


@app.command("show")
def show_record(
    file: Annotated[Path, typer.Argument(help="Traces: .parquet or .jsonl.", show_default=False)],
    record: Annotated[str, typer.Argument(help="Its record_id.", show_default=False)],
    output: OutputOption = Output.TEXT,
) -> None:
    """Show one record: what each node read and wrote, and what a person validated.

    Example: `cascade traces show traces.parquet live_simple_0-0-0`
    """
    from cascade_operator.traces.reader import read_one

    found = read_one(file, record)
    if output is Output.JSON:
        say_json(
            {
                "recordId": found.record_id,
                "inputs": {node: dict(fields) for node, fields in found.inputs.items()},
                "outputs": {node: dict(fields) for node, fields in found.outputs.items()},
                "validated": dict(found.validated),
                "contentHash": found.content_hash,
            }
        )
        return
    say(f"record {found.record_id}  sha256 {found.content_hash}")
    for node in dict.fromkeys([*found.inputs, *found.outputs]):
        say(f"\n{node}")
        _print_fields("reads", found.inputs.get(node, {}))
        _print_fields("writes", found.outputs.get(node, {}))
    say("\nvalidated")
    _print_fields("", found.validated)


def _spec(session: Path | None) -> TrainingSessionSpec:
    """The session's spec with the default agents filled in; all defaults without a session."""
    from cascade_operator.api.resolve import resolve_cascade
    from cascade_operator.api.session import TrainingSessionSpec
    from cascade_operator.api.traces_spec import TracesSpec

    if session is not None:
        spec = read_session(session).spec
    else:
        spec = TrainingSessionSpec(traces=TracesSpec(file="traces.parquet"))
    return spec.model_copy(update={"cascade": resolve_cascade(spec.cascade)})


def _read_all(file: Path, nodes: dict[str, NodeFields], most: int | None) -> TraceSet:
    from cascade_operator.traces.reader import read_traces

    return read_traces(file, nodes=nodes, max_records=most, max_invalid_percent=100)


def _print_counts(file: Path, trace_set: TraceSet, splits: Counter[str], output: Output) -> None:
    if output is Output.JSON:
        say_json(
            {
                "file": str(file),
                "records": len(trace_set.records),
                "duplicates": trace_set.duplicates,
                "split": dict(splits),
                "rejected": [
                    {"row": r.row, "recordId": r.record_id, "reason": r.reason}
                    for r in trace_set.rejected
                ],
            }
        )
        return
    say(
        f"{file}: {len(trace_set.records)} records, {trace_set.bad} rejected, "
        f"{trace_set.duplicates} duplicates"
    )
    say("  split: " + ", ".join(f"{name} {splits[name]}" for name in sorted(splits)))
    first = ", ".join(record.record_id for record in trace_set.records[:3])
    hint(f"  `cascade traces show {file} RECORD` shows one; the first are {first}")
    for bad in trace_set.rejected[:SHOWN_REJECTIONS]:
        say(f"  row {bad.row} {bad.record_id}: {bad.reason}")
    more = trace_set.bad - SHOWN_REJECTIONS
    if more > 0:
        say(f"  and {more} more rejected; --output json lists all")


def _print_fields(verb: str, fields: object) -> None:
    if not isinstance(fields, dict) or not fields:
        return
    if verb:
        say(f"  {verb}")
    for name, value in fields.items():
        text = value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False)
        first, *rest = text.splitlines() or [""]
        say(f"    {name}: {first}")
        for line in rest:
            say(f"      {line}")
