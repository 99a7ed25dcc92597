"""``cascade archive``: what training runs left, without extracting anything."""

# ruff: noqa: PLC0415 - heavy modules load only when their command runs

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cascade_operator.api.errors import DataError
from cascade_operator.cli.console import hint, say, say_json, show
from cascade_operator.cli.options import DEFAULT_STATE, Output, OutputOption, StateOption
from cascade_operator.cli.tables import cell, plain_table
from cascade_operator.monitoring.figures import delta_text, memory_text, score_text, short_names

if TYPE_CHECKING:
    from cascade_operator.archive.catalog import ArchivedRun
    from cascade_operator.archive.model import GroupArchive, RunArchive

app = typer.Typer(
    help="Look into archives: list, show, verify, take programs out.\n\n"
    "An archive is one file that a run writes for each size of its node groups: the scores of all "
    "it tried, the best programs, and what the next run starts from. Nothing here changes one.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
)

FileArgument = Annotated[
    Path, typer.Argument(help="An archive, .tar.zst or .tar.gz.", show_default=False)
]


@app.command("list", hidden=True)
@app.command("ls")
def list_archives(
    state: StateOption = DEFAULT_STATE,
    root: Annotated[
        Path | None,
        typer.Option("--root", help="A folder of archives outright, such as a mounted volume."),
    ] = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """List the archived runs, oldest first, with their files.

    Example: `cascade archive ls --root /mnt/archives`
    """
    from cascade_operator.archive.catalog import list_runs, list_sessions

    roots = [root] if root else sorted(p for p in (state / "volumes").glob("*") if p.is_dir())
    runs = [
        run
        for place in roots
        for folder in list_sessions(place)
        for run in list_runs(place, folder)
    ]
    if output is Output.JSON:
        for run in runs:
            say_json(_run_json(run))
        return
    if not runs:
        where = root or state / "volumes"
        say(f"no archives in {where}; `cascade run` writes them")
        return
    for run in runs:
        kind = "final" if run.complete else "progressive"
        say(f"{run.folder.namespace}/{run.folder.session}  {run.session_id}  {kind}")
        for file in run.files:
            say(f"  size {file.group_size}  {memory_text(file.bytes):>6}  {file.path}")
        for problem in run.problems:
            say(f"  {problem}", err=True)
    hint("next: cascade archive show FILE, cascade archive program FILE > program.json")


@app.command("show")
def show_archive(file: FileArgument, output: OutputOption = Output.TEXT) -> None:
    """Show what an archive holds: its run, its groups and their figures.

    Example: `cascade archive show FILE`, with a file that `cascade archive ls` lists
    """
    from cascade_operator.archive.reader import read_archive

    run = read_archive(file)
    best = best_group(run)
    if output is Output.JSON:
        say_json(
            {
                "sessionId": run.session_id,
                "namespace": run.namespace,
                "session": run.session,
                "progressive": run.progressive,
                "groupSize": run.group_size,
                "split": _split_counts(run),
                "best": best.key if best else None,
                "groups": {
                    key: {"nodes": list(group.nodes), "result": dict(group.result)}
                    for key, group in run.groups.items()
                },
            }
        )
        return
    kind = "progressive: the run was not over" if run.progressive else "final"
    say(f"{run.namespace}/{run.session}  {run.session_id}  ({kind})")
    say("records: " + ", ".join(f"{name} {n}" for name, n in _split_counts(run).items()))
    _show_groups(run, best)
    from cascade_operator.cli.forecast import forecast_of_archive

    for line in forecast_of_archive(run):
        say(line)


@app.command("verify")
def verify(
    files: Annotated[list[Path], typer.Argument(help="Archives.", show_default=False)],
    output: OutputOption = Output.TEXT,
) -> None:
    """Check archives whole: form, digests and the contents of each member; ends with 65 on damage.

    Example: `cascade archive verify archives/default/tool-calls/*.tar.zst`
    """
    from cascade_operator.archive.reader import verify_archive

    reports = [verify_archive(file) for file in files]
    for report in reports:
        if output is Output.JSON:
            say_json(
                {
                    "path": str(report.path),
                    "ok": report.ok,
                    "members": len(report.members),
                    "bytes": report.size,
                    "groups": list(report.groups),
                    "progressive": report.progressive,
                    "problems": list(report.problems),
                }
            )
        elif report.ok:
            say(
                f"{report.path}: ok, {len(report.members)} members, {memory_text(report.size)}, "
                f"{len(report.groups)} groups"
            )
        else:
            say(f"{report.path}: damaged")
            for problem in report.problems:
                say(f"  {problem}")
    if damaged := [report for report in reports if not report.ok]:
        raise DataError(
            f"{len(damaged)} of {len(reports)} archives cannot be restored from",
            mend="restore the file from a backup, or let the session write a new one",
        )


@app.command("program")
def program(
    file: FileArgument,
    group: Annotated[
        str | None, typer.Option("--group", help="Such as 00_02; default: the best.")
    ] = None,
) -> None:
    """Print a group's best program as JSON, ready for `dspy.Module.load`.

    Example: `cascade archive program FILE > program.json`
    """
    from cascade_operator.archive.reader import read_archive

    run = read_archive(file)
    chosen = run.groups.get(group) if group else best_group(run)
    if chosen is None or chosen.program_json is None:
        kept = [key for key, entry in run.groups.items() if entry.program_json is not None]
        raise DataError(
            f"{file} holds no program of group {group}" if group else f"{file} holds no program",
            mend=f"it has programs of: {', '.join(kept)}" if kept else "take a later archive",
        )
    typer.echo(chosen.program_json.decode("utf-8"))


def best_group(run: RunArchive) -> GroupArchive | None:
    """Returns the group with a program and the highest validation score, the smallest on a tie."""
    scored = [group for group in run.groups.values() if group.program_json is not None]
    return min(scored, key=lambda group: (-(_score(group) or 0.0), group.key), default=None)


def _score(group: GroupArchive, name: str = "score") -> float | None:
    figures: Any = group.result.get("figures")
    value = figures.get(name) if isinstance(figures, dict) else None
    try:
        return None if value in (None, "") else float(value)
    except (TypeError, ValueError):
        return None


def _show_groups(run: RunArchive, best: GroupArchive | None) -> None:
    names = short_names(list(dict.fromkeys(n for g in run.groups.values() for n in g.nodes)))
    right = ("trials", "baseline", "best", "change", "held-out")
    table = plain_table("key", "group", *right, "", right=right)
    for key, group in run.groups.items():
        table.add_row(
            key,
            cell("+".join(names[node] for node in group.nodes)),
            str(len(group.trials)),
            score_text(_score(group, "baseline")),
            score_text(_score(group)),
            delta_text(_score(group), _score(group, "baseline")),
            score_text(_score(group, "heldOut")),
            "best here" if best is not None and best.key == key else "",
        )
    show(table)


def _split_counts(run: RunArchive) -> dict[str, int]:
    rows = [row.split for row in run.split]
    return {name: rows.count(name) for name in ("training", "validation", "heldOut")}


def _run_json(run: ArchivedRun) -> dict[str, Any]:
    return {
        "namespace": run.folder.namespace,
        "session": run.folder.session,
        "sessionId": run.session_id,
        "complete": run.complete,
        "files": [
            {"groupSize": f.group_size, "path": str(f.path), "bytes": f.bytes} for f in run.files
        ],
        "problems": list(run.problems),
    }
