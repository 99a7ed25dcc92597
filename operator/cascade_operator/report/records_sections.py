"""The sections on what went in: records, what was imputed or put aside, settings, files."""

from __future__ import annotations

from cascade_operator.monitoring.figures import memory_text
from cascade_operator.report import wording
from cascade_operator.report.model import ReportData
from cascade_operator.report.section import Section, Table


def records_section(data: ReportData) -> Section:
    """Records: in use, put aside and why, imputed."""
    records = data.records
    lead = []
    if records.total:
        lead.append(
            f"{wording.many(records.total, 'record')}: {records.training:,} to propose from, "
            f"{records.validation:,} to select by, {records.held_out:,} held out."
        )
    if records.known:
        lead.append(
            f"{wording.many(records.rejected, 'row')} put aside, "
            f"{wording.many(records.duplicates, 'duplicate')} dropped."
        )
    else:
        lead.append("What was put aside and imputed is not known: prepare has left no word.")
    if data.warm_started_from:
        lead.append(f"The run started warm from {data.warm_started_from}.")
    elif records.known:
        lead.append("The run started cold: nothing was taken over from an earlier one.")
    tables = []
    if records.rows:
        more = records.rejected - len(records.rows)
        tables.append(
            Table(
                "Rows put aside, and why" + (f" (the first; {more:,} more)" if more > 0 else ""),
                ("row", "record", "reason"),
                tuple((str(row.row), row.record_id, row.reason) for row in records.rows),
                frozenset({1, 2}),
                open=len(records.rows) <= 10,
            )
        )
    if records.notes:
        more = records.notes_total - len(records.notes)
        tables.append(
            Table(
                "Imputed, left out, warned of"
                + (f" (the first; {more:,} more)" if more > 0 else ""),
                ("what was said",),
                tuple((note,) for note in records.notes),
                open=len(records.notes) <= 10,
            )
        )
    if failed := [group for group in data.groups if group.failed]:
        tables.append(
            Table(
                "Groups without a result",
                ("group", "ended", "attempts", "message"),
                tuple(
                    (g.letters, g.ended, str(g.attempts), g.message or wording.NONE) for g in failed
                ),
                frozenset({0, 1, 3}),
                open=True,
            )
        )
    if records.metrics:
        tables.append(_metrics_table(data))
    return Section(
        "records",
        "Records: used, put aside, imputed",
        (" ".join(lead),),
        tables=tuple(tables),
    )


def settings_section(data: ReportData) -> Section:
    """What was asked, and the run's files."""
    tables = []
    if data.settings:
        tables.append(
            Table("What the session asked", ("setting", "value"), data.settings, frozenset({0, 1}))
        )
    if data.archives:
        tables.append(
            Table(
                "Archives of the run",
                ("file", "groups of", "size", "sha256"),
                tuple(
                    (
                        archive.name,
                        wording.many(archive.group_size, "node"),
                        memory_text(archive.bytes),
                        archive.sha256 or wording.NONE,
                    )
                    for archive in data.archives
                ),
                frozenset({0, 1, 3}),
            )
        )
    return Section("settings", "Settings and files", tables=tuple(tables))


def _metrics_table(data: ReportData) -> Table:
    """The traces' own figures beside what this run measured of the same node."""
    alone = {group.nodes[0]: group for group in data.groups if group.size == 1}
    worth = {one.node.name: one.worth for one in data.attribution}
    return Table(
        "The traces' own figures beside the measured ones",
        (
            "node",
            "figure in the traces",
            "mean",
            "records",
            "trained alone: declared",
            "trained alone: best",
            "worth",
        ),
        tuple(
            (
                metric.node,
                metric.name,
                f"{metric.mean:.4g}".replace("-", wording.MINUS),
                wording.thousands(metric.records),
                wording.mean(alone[metric.node].baseline if metric.node in alone else None),
                wording.mean(alone[metric.node].best if metric.node in alone else None),
                wording.gain(worth.get(metric.node)),
            )
            for metric in data.records.metrics
        ),
        frozenset({0, 1}),
        open=len(data.records.metrics) <= 12,
    )
