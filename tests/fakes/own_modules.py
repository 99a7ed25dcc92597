"""Modules as a session's image may hold them."""

import dspy

NUMBER = 5


class OwnModule(dspy.Module):
    """A module as a session's image may hold one."""

    def __init__(self, signature):
        super().__init__()
        self.inner = dspy.Predict(signature)

    def forward(self, **fields):
        if fields["x"] == "stumble":
            raise KeyError("stumbled")
        return self.inner(**fields)


def no_module(_signature):
    return 5


def broken_factory(_signature):
    raise RuntimeError("broken")
