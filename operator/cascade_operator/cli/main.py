"""Entry point of the ``cascade`` command."""

from __future__ import annotations

from cascade_operator.cli.app import app


def main() -> None:
    """Runs the command line; ends the process with a documented exit code."""
    app(prog_name="cascade")


if __name__ == "__main__":
    main()
