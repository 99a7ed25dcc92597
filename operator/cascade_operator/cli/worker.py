"""``cascade worker``: what a Job's pod runs. People use ``cascade run``."""

# ruff: noqa: PLC0415 - heavy modules load only when their command runs

from __future__ import annotations

import typer


def worker(ctx: typer.Context) -> None:
    """Run one Job of a training session: prepare, group or archive.

    The operator starts it with `CASCADE_CONFIG`, `CASCADE_TRACES`, `CASCADE_ARCHIVES` and
    `CASCADE_REDIS_URL` set.

    Example: `cascade worker group --group 00_02 --attempt 1 --seconds-left 3600`
    """
    from cascade_operator.worker.main import main

    main(ctx.args)
