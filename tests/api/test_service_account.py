"""Users with few rights, as the operator is one."""

from __future__ import annotations

import asyncio

import pytest

from api.custom_resource import sessions_path
from cascade_operator.control.kube.port import RefusedError

READ = {
    "apiGroups": ["cascade-operator.dev"],
    "resources": ["trainingsessions"],
    "verbs": ["get", "list"],
}


@pytest.mark.parametrize("scope", ["cluster_rules", "namespace_rules"])
def test_an_account_may_do_what_its_rules_say_and_no_more(
    connect_api, service_account, namespace, scope
):
    user = service_account("reader", **{scope: [READ]})

    async def run():
        async with connect_api(user) as api:
            assert api.namespace == namespace
            listed = await api.request("GET", sessions_path(namespace))
            assert listed["items"] == []
            with pytest.raises(RefusedError, match="jobs"):
                await api.request("GET", f"/apis/batch/v1/namespaces/{namespace}/jobs")
            elsewhere = api.request("GET", sessions_path("default"))
            if scope == "cluster_rules":
                assert (await elsewhere)["kind"] == "TrainingSessionList"
            else:
                with pytest.raises(RefusedError, match="default"):
                    await elsewhere

    asyncio.run(run())
