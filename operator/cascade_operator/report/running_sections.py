"""The sections on how it ran: model calls, the estimate, memory, the timeline."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from cascade_operator.api.records import CallFigures
from cascade_operator.monitoring.figures import memory_text, seconds_text
from cascade_operator.report import wording
from cascade_operator.report.calls import asked, saved, tokens, total_calls
from cascade_operator.report.memory import memory_over_time
from cascade_operator.report.model import AttemptView, EstimateRow, ReportData
from cascade_operator.report.plots.axes import group_label
from cascade_operator.report.plots.calls import CallRow, draw_calls
from cascade_operator.report.plots.memory import draw_memory
from cascade_operator.report.plots.timeline import MOST_ROWS, draw_timeline
from cascade_operator.report.section import Picture, Section, Table
from cascade_operator.stages import STAGES


def calls_section(data: ReportData) -> Section:
    """Calls and tokens, and what the cache saved."""
    title = "Model calls and tokens"
    total = total_calls(data)
    if total is None:
        none = "No finished Job has reported its calls."
        return Section("calls", title, (none, *_so_far(data)))
    named: list[tuple[str, CallFigures]] = []
    if data.records.calls is not None:
        named.append(("prepare", data.records.calls))
    named += [
        (group_label(group, data.nodes), group.calls)
        for group in data.groups
        if group.calls is not None
    ]
    lead = (
        f"{wording.thousands(asked(total))} calls were asked for: "
        f"{wording.thousands(total.model_calls)} reached a server, the shared cache "
        f"answered {wording.thousands(total.cache_hits)}, and "
        f"{wording.thousands(total.memory_hits)} were answers a Job still knew "
        f"({wording.share(saved(total), asked(total))} saved). "
        f"{wording.thousands(total.input_tokens)} tokens went in, "
        f"{wording.thousands(total.output_tokens)} came out."
    )
    return Section(
        "calls",
        title,
        (lead, *_so_far(data)),
        Picture(
            "calls",
            "Model calls and tokens by Job",
            f"Calls that reached a server and calls that were saved, for {len(named)} Jobs. {lead}",
            partial(draw_calls, [_call_row(label, calls) for label, calls in named]),
        ),
        (
            Table(
                "Calls and tokens by Job",
                (
                    "Job",
                    "calls",
                    "from cache",
                    "still known",
                    "saved",
                    "waited",
                    "tokens in",
                    "tokens out",
                    "unread answers",
                ),
                tuple(_call_cells(label, calls) for label, calls in (*named, ("all", total))),
            ),
        ),
        (
            "An answer is shared by all groups of a run and by later runs while the cache keeps "
            "it. A call that waited took the answer another Job was about to get.",
        ),
    )


def _so_far(data: ReportData) -> tuple[str, ...]:
    """What status counts while Jobs are under way, whose figures no archive holds."""
    if data.over or data.so_far is None:
        return ()
    return (
        f"So far the session's status counts {wording.thousands(data.so_far.model_calls)} calls, "
        f"{wording.thousands(data.so_far.tokens)} tokens and "
        f"{wording.thousands(data.so_far.cache_hits)} calls that the cache saved.",
    )


def estimate_section(data: ReportData) -> Section:
    """How far the estimate was off."""
    title = "Estimate and outcome"
    if not data.estimate:
        none = "This run was not estimated." if data.over else "No estimate is archived yet."
        return Section("estimate", title, (none,))
    known = [row for row in data.estimate if row.actual is not None]
    lead = (
        "; ".join(
            f"{row.what.lower()} {_amount(row, row.actual)}, estimated "
            f"{_amount(row, row.estimated)} ({wording.off_by(row.estimated, row.actual)})"
            for row in known
        )
        or "the run is not over; this is what was estimated"
    )
    tables = [
        Table(
            "The estimate and what it came to",
            ("figure", "estimated", "at most", "actual", "off by"),
            tuple(
                (
                    row.what,
                    _amount(row, row.estimated),
                    _amount(row, row.at_most),
                    _amount(row, row.actual),
                    wording.off_by(row.estimated, row.actual),
                )
                for row in data.estimate
            ),
            open=True,
        )
    ]
    rows = [
        (group.letters, data.estimated_calls[group.key], group.calls)
        for group in data.groups
        if group.key in data.estimated_calls
    ]
    if rows:
        tables.append(
            Table(
                "Model calls by group, estimated and actual",
                ("group", "estimated", "actual", "off by"),
                tuple(
                    (
                        letters,
                        wording.thousands(estimated),
                        wording.thousands(None if calls is None else calls.model_calls),
                        wording.off_by(estimated, None if calls is None else calls.model_calls),
                    )
                    for letters, estimated, calls in rows
                ),
            )
        )
    return Section(
        "estimate",
        title,
        (lead[:1].upper() + lead[1:] + ".",),
        tables=tuple(tables),
        notes=(
            "The estimate was made at the end of prepare, before the groups were trained. Groups "
            "share calls: whose they are depends on who comes first, so a single group may be "
            "further off than the run.",
        ),
    )


def memory_section(data: ReportData) -> Section:
    """Memory against limits over time."""
    title = "Memory against limits"
    read = [attempt for attempt in data.attempts if attempt.memory and attempt.limit]
    if not read:
        return Section("memory", title, ("No memory readings are at hand.",))
    nearest = max(read, key=lambda attempt: attempt.peak / attempt.limit)
    over_time = memory_over_time(read)
    lead = (
        f"{_label(nearest).capitalize() if not nearest.label.isupper() else nearest.label} came "
        f"nearest to its limit: {memory_text(nearest.peak)} of {memory_text(nearest.limit)} "
        f"({wording.share(nearest.peak, nearest.limit)}). All Jobs together used at most "
        f"{memory_text(over_time.peak)}."
    )
    return Section(
        "memory",
        title,
        (lead,),
        Picture(
            "memory",
            "Memory of the Jobs over time",
            f"Above, each of {len(read)} attempts in percent of its limit; below, the working sets "
            f"and the limits of all Jobs that ran at once. {lead}",
            partial(
                draw_memory,
                read,
                threshold_percent=data.threshold_percent,
                budget=data.memory_budget,
            ),
        ),
        (
            Table(
                "Peak and limit by attempt",
                ("Job", "attempt", "peak", "limit", "of the limit", "ended"),
                tuple(
                    (
                        _label(attempt),
                        str(attempt.number),
                        memory_text(attempt.peak),
                        memory_text(attempt.limit),
                        wording.share(attempt.peak, attempt.limit),
                        ending(attempt),
                    )
                    for attempt in read
                ),
                frozenset({0, 5}),
            ),
        ),
        (
            f"At {data.threshold_percent:g} % of its limit a Job saves and leaves, before the "
            "kernel would kill it. Below, blue is what was in use, grey the sum of the limits"
            + (", the dotted line the memory budget." if data.memory_budget else "."),
        ),
    )


def timeline_section(data: ReportData) -> Section:
    """Which stage ran when."""
    title = "Timeline of the stages"
    if not data.attempts:
        return Section("timeline", title, ("No Job has left its timeline.",))
    rows = _rows(data)
    left = _left(data.attempts)
    lead = f"{wording.many(len(data.attempts), 'attempt')} of {wording.many(len(rows), 'Job')}"
    lead += (
        f"; not done at their end: {', '.join(f'{_label(a)} ({ending(a)})' for a in left[:6])}"
        + (f" and {len(left) - 6} more." if len(left) > 6 else ".")
        if left
        else ", each of them done at its end."
    )
    shown = rows[:MOST_ROWS]
    return Section(
        "timeline",
        title,
        (lead,),
        Picture(
            "timeline",
            "Stages of each Job over time",
            f"One row a Job, a bar for each stage. {lead}",
            partial(draw_timeline, shown, left),
        ),
        (
            Table(
                "Attempts and their stages",
                ("Job", "attempt", "began after", "took", "ended", "seconds by stage"),
                tuple(
                    (
                        _label(attempt),
                        str(attempt.number),
                        seconds_text(attempt.start),
                        seconds_text(attempt.seconds),
                        ending(attempt),
                        _stages(attempt),
                    )
                    for attempt in data.attempts
                ),
                frozenset({0, 4, 5}),
            ),
        ),
        (
            "A cross marks an attempt that was not done at its end: told to stop, at its memory "
            "gate, failed or killed. The last archive writes the timeline, so its own bar is cut.",
        ),
    )


def _left(attempts: Sequence[AttemptView]) -> list[AttemptView]:
    """Those that were not done at their end; the archive that wrote the timeline is not over."""
    last = max((a for a in attempts if a.job == "archive"), key=lambda a: a.start, default=None)
    return [a for a in attempts if a.outcome != "Done" and (a.outcome or a is not last)]


def ending(attempt: AttemptView) -> str:
    """Returns how an attempt ended, for a reader."""
    if attempt.outcome:
        return attempt.outcome
    return "was running" if attempt.job == "archive" else "left no word"


def _rows(data: ReportData) -> list[tuple[str, list[AttemptView]]]:
    by_job: dict[str, list[AttemptView]] = {}
    for attempt in data.attempts:
        by_job.setdefault(attempt.job, []).append(attempt)
    labels = {group.key: group_label(group, data.nodes) for group in data.groups}
    order = {group.key: at for at, group in enumerate(data.groups)}
    jobs = sorted(by_job, key=lambda job: (_place(job), order.get(job, 0), job))
    return [(labels.get(job, job), by_job[job]) for job in jobs]


def _place(job: str) -> int:
    return {"prepare": 0, "archive": 2}.get(job, 1)


def _label(attempt: AttemptView) -> str:
    return attempt.label


def _stages(attempt: AttemptView) -> str:
    sums: dict[int, float] = {}
    for span in attempt.spans:
        sums[span.code] = sums.get(span.code, 0.0) + span.end - span.begin
    parts: Sequence[str] = [
        f"{STAGES[code].label if code in STAGES else code} {seconds:.1f}"
        for code, seconds in sums.items()
    ]
    return ", ".join(parts) or wording.NONE


def _call_row(label: str, calls: CallFigures) -> CallRow:
    return CallRow(label, calls.model_calls, saved(calls), tokens(calls), calls.saved_tokens)


def _call_cells(label: str, calls: CallFigures) -> tuple[str, ...]:
    return (
        label,
        wording.thousands(calls.model_calls),
        wording.thousands(calls.cache_hits),
        wording.thousands(calls.memory_hits),
        wording.share(saved(calls), asked(calls)),
        wording.thousands(calls.waits),
        wording.thousands(calls.input_tokens),
        wording.thousands(calls.output_tokens),
        wording.thousands(calls.parse_failures),
    )


def _amount(row: EstimateRow, value: float | None) -> str:
    if value is None:
        return wording.NONE
    if row.unit == "s":
        return seconds_text(value)
    return memory_text(value) if row.unit == "B" else wording.thousands(value)
