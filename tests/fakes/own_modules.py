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


class TwoSteps(dspy.Module):
    """A module whose outputs are written by the second of its predictors."""

    def __init__(self, signature):
        super().__init__()
        self.draft = dspy.Predict("text -> draft")
        self.write = dspy.Predict(signature)

    def forward(self, **fields):
        return self.write(**fields)


class PlainCode(dspy.Module):
    """A module that asks no model."""

    def __init__(self, _signature):
        super().__init__()

    def forward(self, **fields):
        return dspy.Prediction(brief=str(fields))
