"""The rights of the service account are asked for, named where missing, and looked at again."""

import asyncio

import pytest

from cascade_operator.control.kube.errors import UnreachableError
from cascade_operator.control.runtime.health import Role, Vitals, sickness, unreadiness
from cascade_operator.control.runtime.rights import Rights, needed
from cascade_operator.control.runtime.watches import WatchState
from fakes.virtual_time import VirtualTime

AWAY = UnreachableError("no route")


class Server:
    """Answers in turn; the last answer stays."""

    def __init__(self, *answers):
        self.answers, self.asked = list(answers), []

    async def request(self, method, path, **query):
        self.asked.append((method, path, query.get("body")))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if callable(answer):
            answer = answer(query.get("body"))
        if isinstance(answer, Exception):
            raise answer
        return answer


def review(*denied):
    """Answers reviews: everything is allowed but what is named."""

    def answer(body):
        asked = body["spec"]["resourceAttributes"]
        kind = "/".join(asked[key] for key in ("resource", "subresource") if key in asked)
        return {"status": {"allowed": f"{asked['verb']} {kind}" not in denied}}

    return answer


def check_rights(answers, namespaces=("ml",), seconds=0):
    async def run():
        time, server = VirtualTime(), Server(*answers)
        rights = Rights(server, namespaces, lease=("ops", "lock"), sleep=time.sleep)
        running = asyncio.ensure_future(rights.run())
        for _ in range(20):
            await time.pass_time(0)
        await time.pass_time(seconds)
        for _ in range(20):
            await time.pass_time(0)
        done = running.done()
        running.cancel()
        return rights.missing, done, server.asked

    return asyncio.run(run())


def test_each_right_is_asked_for_in_its_place():
    missing, done, asked = check_rights([review()])
    assert (missing, done) == ("", True)
    assert len(asked) == len(needed(("ml",), ("ops", "lock")))
    places = {
        (one["resource"], one["namespace"], one.get("name"))
        for _, _, body in asked
        for one in [body["spec"]["resourceAttributes"]]
    }
    assert ("leases", "ops", "lock") in places
    assert ("jobs", "ml", None) in places


def test_what_is_missing_is_named_and_asked_for_again():
    missing, done, _ = check_rights([review("patch trainingsessions/status", "list pods")], ())
    assert not done
    assert missing == (
        "patch trainingsessions/status.cascade-operator.dev in all namespaces, "
        "list pods in all namespaces"
    )
    answers = [review("list pods")] * len(needed(("ml",), ("ops", "lock"))) + [review()]
    assert check_rights(answers, seconds=15)[:2] == ("", True)


def test_a_server_that_cannot_say_holds_nothing_up():
    assert check_rights([AWAY])[:2] == ("", True)


def test_of_very_many_missing_rights_some_are_named():
    missing, _, _ = check_rights([{"status": {"allowed": False}}])
    assert missing.endswith("and 18 more")


@pytest.mark.parametrize("role", [Role.STANDBY, Role.LEADING], ids=str)
def test_a_missing_right_makes_unready_and_not_sick(role):
    vitals = Vitals(role, synced=True, watches=WatchState.WATCHING, missing="list pods")
    assert unreadiness(vitals) == "the service account may not list pods"
    assert sickness(vitals) == ""
