"""How a failure of ours leaves DSPy unharmed.

DSPy turns every ``Exception`` of an engine into an error of its own, and its optimisers turn
those into a score of 0 (dspy PR 7917). A server that is away would then look like a bad prompt.
So an engine raises :class:`CallAborted`, which is no ``Exception``; whoever called DSPy opens it
again with :func:`surfaced`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class CallAborted(BaseException):
    """Carries an error through DSPy.

    Attributes:
        error: What happened: ``ServiceUnavailable``, ``Terminated``, a budget that ran out.
    """

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error


@contextmanager
def surfaced() -> Iterator[None]:
    """Raises the error inside a :class:`CallAborted` in its stead.

    Put it around every use of DSPy that may call a model: ``with surfaced(): program(...)``.
    """
    try:
        yield
    except CallAborted as aborted:
        raise aborted.error from aborted.__cause__
