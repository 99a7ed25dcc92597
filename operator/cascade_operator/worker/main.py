"""``cascade worker prepare|group|archive``: one Job, one exit code, one termination message."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from cascade_operator.api.errors import CascadeError
from cascade_operator.api.exit_codes import ExitCode
from cascade_operator.api.records import Failure, TerminationMessage, encode_message
from cascade_operator.api.status import SpentStatus
from cascade_operator.monitoring.logs import configure_logging
from cascade_operator.monitoring.stage_log import log_stage_figures
from cascade_operator.worker.context import JobContext, environment, read_context
from cascade_operator.worker.stop import StopSignal, leave

_LOG = logging.getLogger("cascade")
_DEFAULT_LOG = "/dev/termination-log"

Job = Callable[[JobContext], TerminationMessage]


def main(argv: Sequence[str] | None = None) -> None:
    """Runs one Job and ends the process with its exit code."""
    job = job_of(argv)
    env = environment()
    configure_logging(as_json=env.get("CASCADE_LOG", "json") == "json")
    stop = StopSignal()
    stop.install()
    leave(run_job(job, env, stop))


def job_of(argv: Sequence[str] | None) -> Job:
    """Returns the Job a command line asks for; ends the process with 2 where it asks for none."""
    return partial(_run, _parser().parse_args(argv))


def run_job(job: Job, env: Mapping[str, str], stop: StopSignal) -> int:
    """Runs a Job and writes its message; every failure has a code and says what to do.

    Args:
        job: What to run.
        env: Says where configuration, folders and Redis are.
        stop: Set when the Job has to leave.

    Returns:
        The exit code.
    """
    log = Path(env.get("CASCADE_TERMINATION_LOG", _DEFAULT_LOG))
    context: JobContext | None = None
    try:
        context = read_context(env, stop)
        message = job(context)
    except CascadeError as error:
        # What failed may call itself no failure (a budget that ran out); a Job without a result is.
        code = ExitCode(error.exit_code) or ExitCode.SOFTWARE
        _LOG.error("%s%s", error, f" ({error.mend})" if error.mend else "")
        _write(log, _failure(code, error.reason, str(error), error.mend, context))
        return code
    except Exception as error:  # noqa: BLE001 - the border of the process: the Job is tried again
        _LOG.exception("the Job failed")
        text = f"{type(error).__name__}: {error}"
        _write(log, _failure(ExitCode.SOFTWARE, "Error", text, "see the Job's log", context))
        return ExitCode.SOFTWARE
    log_stage_figures()
    _write(log, message)
    return ExitCode.OK


def _run(arguments: argparse.Namespace, context: JobContext) -> TerminationMessage:
    """Runs the Job that was asked for; imports only what it needs, so that a group is quick."""
    context = replace(context, attempt=arguments.attempt)
    if arguments.job == "prepare":
        from cascade_operator.worker.prepare import run_prepare  # noqa: PLC0415

        return run_prepare(context, spent=arguments.spent)
    if arguments.job == "group":
        from cascade_operator.worker.group import run_group  # noqa: PLC0415

        return run_group(
            context,
            arguments.group,
            seconds_left=arguments.seconds_left,
            parents=arguments.lattice_parents,
            spent=arguments.spent,
        )
    from cascade_operator.worker.archive import run_archive  # noqa: PLC0415

    return run_archive(context, final=arguments.kind == "final", groups=arguments.groups)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="cascade worker",
        description="Runs one Job of a run. The operator, or `cascade run`, starts it.",
    )
    jobs = parser.add_subparsers(dest="job", required=True)
    prepare = jobs.add_parser("prepare", help="traces, embeddings, candidates, warm start")
    group = jobs.add_parser("group", help="search the programs of one node group")
    group.add_argument("--group", required=True, help="the group's key, such as 00_02")
    archive = jobs.add_parser("archive", help="write the archives")
    archive.add_argument("--kind", choices=("progressive", "final"), required=True)
    archive.add_argument("--groups", type=_keys, default=[], help="groups that succeeded")
    group.add_argument("--lattice-parents", type=_keys, default=[], help="subsets that succeeded")
    for one in (prepare, group):
        one.add_argument(
            "--spent",
            type=_spent,
            metavar="CALLS,TOKENS,MICROS",
            help="what the run has spent, for a Redis that forgot it",
        )
    for one in (prepare, group, archive):
        one.add_argument("--attempt", type=int, default=1, help="number of the attempt")
        one.add_argument("--seconds-left", type=float, default=86400.0, help="until the deadline")
    return parser


def _keys(text: str) -> list[str]:
    return [key for key in text.split(",") if key]


def _spent(text: str) -> SpentStatus:
    calls, tokens, micros = (int(part) for part in text.split(","))
    return SpentStatus(calls=calls, tokens=tokens, cost_micros=micros)


def _failure(
    code: ExitCode, reason: str, message: str, mend: str, context: JobContext | None
) -> Failure:
    return Failure(
        exit_code=int(code),
        reason=reason,
        message=message[:2000],
        mend=mend[:1000],
        peak_memory=context.memory.peak if context else 0,
    )


def _write(path: Path, message: TerminationMessage) -> None:
    try:
        path.write_text(encode_message(message), "utf-8")
    except OSError as error:
        # The operator then takes the figures from Redis; the exit code says the rest.
        _LOG.warning("no termination message: %s", error)


if __name__ == "__main__":
    main(sys.argv[1:])
