"""``cascade stages``: the map of the house."""

from __future__ import annotations

from typing import Annotated

import typer

from cascade_operator.cli.console import say_json, show
from cascade_operator.cli.options import Output, OutputOption
from cascade_operator.cli.tables import plain_table
from cascade_operator.stages import STAGES


def stages(
    decade: Annotated[
        int | None, typer.Option(min=0, max=9, help="Only this decade: 4 shows 40 to 49.")
    ] = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """List the two-digit stages that logs, events, metrics and file names carry.

    Example: `cascade stages --decade 4`
    """
    chosen = [s for s in STAGES.values() if decade is None or s.code // 10 == decade]
    if output is Output.JSON:
        for stage in chosen:
            say_json(
                {
                    "code": stage.code,
                    "name": stage.name,
                    "does": stage.does,
                    "package": stage.package,
                }
            )
        return
    table = plain_table("code", "name", "package", "what it does")
    for stage in chosen:
        table.add_row(f"{stage.code:02d}", stage.name, stage.package, stage.does)
    show(table)
