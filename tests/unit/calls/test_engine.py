import json
import subprocess
import sys
import threading

import dspy
import pytest

from cascade_operator.agents.candidate import Candidate
from cascade_operator.agents.cascade import Cascade
from cascade_operator.api.cascade import CascadeSpec, NodeSpec, TierSpec
from cascade_operator.api.default_cascade import DEFAULT_CASCADE
from cascade_operator.api.errors import ServiceUnavailable, SpecError, Terminated
from cascade_operator.api.keys import RunKeys
from cascade_operator.api.models_spec import ModelSpec, ModelsSpec, SecretKeyRef
from cascade_operator.training.batch import BoundedBatch
from cascade_operator.training.calls.budget import BudgetCounters, BudgetExceeded, BudgetLimits
from cascade_operator.training.calls.call_cache import SingleFlightCache
from cascade_operator.training.calls.factory import (
    CallServices,
    lm_for_nodes,
    make_lm,
    probe_structured_output,
)
from cascade_operator.training.calls.http_transport import RetryPolicy
from cascade_operator.training.calls.job_figures import JobFigures
from cascade_operator.training.calls.meter import CallMeter
from cascade_operator.training.runs import BatchedCascade
from fakes.model_server import FakeModelServer
from fakes.records import stored

_RIGHT = {
    "request": "add 1 and 2",
    "functions": [{"name": "add"}],
    "brief": "add: adds",
    "requirement": {
        "function": "add",
        "parameters": [{"name": "a", "type": "int", "required": True}],
    },
    "specification": {"function": "add", "arguments": [{"name": "a", "value": 1}]},
    "call": {"name": "add", "arguments": {"a": 1}},
}
_GIVEN = {name: _RIGHT[name] for name in ("request", "functions")}
_PERFECT = "Copy exactly, verbatim, by the schema, carefully; each required part; check an example."


@pytest.fixture(scope="module")
def running():
    with FakeModelServer([_RIGHT]) as server:
        yield server


@pytest.fixture
def server(running):
    running.recover()
    running.counts.clear()
    running.tokens = 0
    running.requests.clear()
    running.obeys_schema = True
    return running


def spec_for(server, **more):
    return ModelSpec(
        **({"endpoint": server.url, "structured_output": "Schema", "model": "m"} | more)
    )


def services_with(client=None, **more):
    quick = RetryPolicy(attempts=2, base_delay=0.001)
    return CallServices("ns", SingleFlightCache(client), **({"retries": quick} | more))


def cascade_with(server, services, spec=DEFAULT_CASCADE, **more):
    models = ModelsSpec(task=spec_for(server, **more))
    return Cascade(spec, lm_for_nodes(models, services))


@pytest.mark.parametrize("provider", ["Ollama", "OpenAI"])
def test_the_cascade_runs_over_the_wire(server, provider):
    services = services_with()
    cascade = cascade_with(server, services, provider=provider)
    choice = {name: Candidate(_PERFECT) for name in cascade.node_names}
    outcome = cascade.run(choice, _GIVEN)
    assert outcome.outputs["call"] == _RIGHT["call"]
    assert services.meter.reading().model_calls == server.chats == 4
    for body in server.bodies:
        schema = body.get("format") or body["response_format"]["json_schema"]["schema"]
        assert schema["additionalProperties"] is False
        assert "$ref" not in json.dumps(schema)


def test_a_second_job_asks_nothing_again(server, redis_client):
    first, second = services_with(redis_client), services_with(redis_client)
    outcomes = [cascade_with(server, s).run({}, _GIVEN) for s in (first, second)]
    assert outcomes[0] == outcomes[1]
    assert server.chats == 4
    reading = second.meter.reading()
    assert (reading.model_calls, reading.cache_hits) == (0, 4)
    assert reading.saved == sum(
        getattr(first.meter.reading(), name) for name in ("input_tokens", "output_tokens")
    )


def test_namespaces_share_no_answers(server, redis_client):
    for namespace in ("one", "two"):
        services = CallServices(namespace, SingleFlightCache(redis_client))
        cascade_with(server, services).run({}, _GIVEN)
    assert server.chats == 8


@pytest.mark.parametrize(
    "other",
    [{"temperature": 0.5}, {"max_tokens": 512}, {"model": "n"}, {"provider": "OpenAI"}],
    ids=str,
)
def test_what_can_change_an_answer_is_part_of_its_key(server, other):
    services = services_with()
    for more in ({}, other, {}):
        make_lm(spec_for(server, **more), services)("hello")
    assert server.chats == 2


def test_rollouts_are_different_answers_and_the_server_never_hears_of_them(server):
    lm = make_lm(spec_for(server), services_with())
    for rollout in (1, 2, 1):
        lm("hello", rollout_id=rollout, temperature=1.0)
        lm.copy(rollout_id=rollout, temperature=1.0)("hello")
    assert server.chats == 2
    assert "rollout" not in json.dumps(server.bodies)
    assert [body["options"]["seed"] for body in server.bodies] == [43, 44]


def test_a_server_that_fails_goes_through_dspy_as_itself(server):
    services = services_with()
    cascade = cascade_with(server, services)
    server.fail("500", -1)
    with pytest.raises(ServiceUnavailable):
        cascade.run({}, _GIVEN)
    assert services.meter.reading().server_errors == 2
    server.recover()
    assert cascade.run({}, _GIVEN).parsed


def test_what_a_job_called_stands_in_redis_with_each_answer(server, redis_client):
    """So a killed worker's calls are counted, but for those in flight."""
    meter, keys = CallMeter(), RunKeys("u", 1)
    job = JobFigures(meter, redis_client, keys.calls("00"))
    budget = BudgetCounters(redis_client, keys, BudgetLimits(), job)
    cascade = cascade_with(server, services_with(redis_client, meter=meter, budget=budget))
    cascade.run({}, _GIVEN)
    known = JobFigures(CallMeter(), redis_client, keys.calls("00"))
    known.restore()
    assert known.figures() == job.figures()
    assert known.figures().model_calls == server.chats == budget.spent().calls == 4
    assert known.figures().tokens == server.tokens == budget.spent().tokens


def test_a_probe_is_a_call_like_any_other(server):
    services = services_with()
    probe_structured_output(spec_for(server, structured_output="Auto"), services)
    server.fail("no_schema")
    probe_structured_output(spec_for(server, structured_output="Auto", model="n"), services)
    figures = services.meter.figures()
    assert (figures.model_calls, figures.failed_attempts, server.chats) == (2, 1, 3)
    assert figures.tokens == server.tokens


def test_outcomes_a_process_knows_are_counted_with_what_they_spare(server):
    services = services_with()
    cascade = cascade_with(server, services, _one_node())
    batched = BatchedCascade(
        _one_node(),
        cascade,
        BoundedBatch(2, lambda: None),
        on_spared=services.meter.remembered,
    )
    records = [stored(1, inputs={"a": {"x": text}}) for text in ("1", "2", "1")]
    for _ in range(2):
        batched.run(records, {"a": cascade.base_candidate("a")})
    figures = services.meter.figures()
    assert (figures.model_calls, figures.memory_hits, figures.cache_hits) == (2, 4, 0)
    assert figures.logical_calls == 6
    # The first text's tokens are spared three times, the second's once.
    assert server.tokens < figures.saved_tokens < 3 * server.tokens


def test_no_more_calls_than_the_budget_has(server, redis_client):
    budget = BudgetCounters(redis_client, RunKeys("u", 1), BudgetLimits(calls=2))
    cascade = cascade_with(server, services_with(budget=budget))
    with pytest.raises(BudgetExceeded):
        cascade.run({}, _GIVEN)
    assert server.chats == 2
    assert budget.spent().calls == 2
    assert budget.spent().tokens > 0


def test_a_call_that_failed_is_given_back_to_the_budget(server):
    budget = BudgetCounters(None, RunKeys("u", 1), BudgetLimits(calls=1))
    lm = make_lm(spec_for(server), services_with(budget=budget))
    server.fail("500", 2)
    cascade = Cascade(_one_node(), lambda _: lm)
    with pytest.raises(ServiceUnavailable):
        cascade.run({}, {"x": "1"})
    assert cascade.run({}, {"x": "1"}).parsed


def test_a_prompt_beyond_the_context_is_an_answer_that_does_not_parse(server):
    services = services_with()
    server.fail("overflow")
    cascade = cascade_with(server, services, _one_node())
    assert not cascade.run({}, {"x": "1"}).parsed
    assert services.meter.reading().overflows == 1
    assert cascade.run({}, {"x": "1"}).parsed, "it is not kept"


def test_a_cut_off_answer_is_kept_and_counted(server, redis_client):
    for _ in range(2):
        services = services_with(redis_client)
        cascade_with(server, services, _one_node(), max_tokens=1).run({}, {"x": "1"})
        assert services.meter.reading().truncated == 1
    assert server.chats == 1


def test_a_stopped_job_calls_nothing(server):
    stop = threading.Event()
    stop.set()
    with pytest.raises(Terminated):
        cascade_with(server, services_with(stop=stop)).run({}, _GIVEN)
    assert server.chats == 0


@pytest.mark.parametrize(
    ("obeys", "failure", "expected"),
    [(True, None, True), (False, None, False), (True, "no_schema", False)],
)
def test_whether_a_server_keeps_to_a_schema_is_asked_once(
    server, redis_client, obeys, failure, expected
):
    server.obeys_schema = obeys
    if failure:
        server.fail(failure)
    spec = spec_for(server, structured_output="Auto")
    assert probe_structured_output(spec, services_with(redis_client)) is expected
    asked = server.chats
    if not failure:
        assert make_lm(spec, services_with(redis_client)).supports_response_schema is expected
        assert server.chats == asked == 1


@pytest.mark.parametrize("declared", [True, False])
def test_a_declared_form_is_not_asked_for(server, declared):
    spec = spec_for(server, structured_output="Schema" if declared else "None")
    assert probe_structured_output(spec, services_with()) is declared
    assert make_lm(spec, services_with()).supports_response_schema is declared
    assert server.chats == 0


def test_a_probe_tells_a_missing_model_from_a_missing_feature(server):
    server.fail("missing_model", -1)
    with pytest.raises(SpecError, match="not found"):
        probe_structured_output(spec_for(server, structured_output="Auto"), services_with())


def test_without_a_schema_nothing_asks_the_server_for_one(server):
    cascade = cascade_with(server, services_with(), structured_output="None")
    outcome = cascade.run({name: Candidate(_PERFECT) for name in cascade.node_names}, _GIVEN)
    assert outcome.outputs["call"] == _RIGHT["call"]
    assert server.chats == 4
    assert "format" not in server.bodies[0]


@pytest.mark.parametrize("model", ["gpt-5-mini", "o3", "gpt-4.1", "a/b:c"])
def test_any_models_name_will_do(server, model):
    make_lm(spec_for(server, provider="OpenAI", model=model), services_with())("hello")
    assert server.bodies[0]["model"] == model
    assert server.bodies[0]["temperature"] == 0.0


def test_a_node_may_have_its_own_model_and_equal_models_are_one(server):
    own = NodeSpec(name="b", signature="y -> z", model=spec_for(server, model="own"))
    spec = _one_node(own)
    models = ModelsSpec(task=spec_for(server))
    lm_for = lm_for_nodes(models, services_with())
    assert lm_for(spec.nodes[0]) is lm_for(spec.nodes[0])
    Cascade(spec, lm_for).run({}, {"x": "1"})
    assert [body["model"] for body in server.bodies] == ["m", "own"]


def test_keys_come_from_mounted_secrets(server, tmp_path):
    (tmp_path / "openai").mkdir()
    (tmp_path / "openai" / "token").write_text("s3cret\n")
    spec = spec_for(server, api_key_secret_ref=SecretKeyRef(name="openai"))
    environ = {"CASCADE_SECRETS": str(tmp_path)}
    make_lm(spec, services_with(environ=environ))("hello")
    assert server.requests[0].headers["authorization"] == "Bearer s3cret"


def test_a_key_may_stand_in_the_environment_and_must_be_somewhere(server):
    spec = spec_for(server, api_key_secret_ref=SecretKeyRef(name="my-key.x"))
    make_lm(spec, services_with(environ={"CASCADE_API_KEY_MY_KEY_X": "k"}))("hello")
    assert server.requests[0].headers["authorization"] == "Bearer k"
    cascade = Cascade(_one_node(), lm_for_nodes(ModelsSpec(task=spec), services_with(environ={})))
    with pytest.raises(ServiceUnavailable) as caught:
        cascade.run({}, {"x": "1"})
    assert "CASCADE_API_KEY_MY_KEY_X" in caught.value.mend


def test_a_models_state_holds_no_engine(server):
    cascade = cascade_with(server, services_with())
    state = json.dumps(cascade.program({}).dump_state())
    assert server.url not in state


def test_a_process_that_calls_models_loads_no_heavy_library():
    code = (
        "import sys\n"
        "from cascade_operator.agents import cascade, dspy_settings\n"
        "from cascade_operator.training.calls import factory\n"
        "dspy_settings.configure_dspy()\n"
        "import dspy\n"
        "assert dspy.settings.disable_history and dspy.settings.trace is None\n"
        "print([m for m in ('litellm', 'pyarrow', 'umap', 'optuna') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_dspys_own_optimiser_cannot_score_a_failing_server(server):
    server.fail("500", -1)
    cascade = cascade_with(server, services_with())
    example = dspy.Example(**_GIVEN, call=_RIGHT["call"]).with_inputs(*_GIVEN)
    bootstrap = dspy.BootstrapFewShot(metric=lambda *_: True, max_bootstrapped_demos=1)
    with pytest.raises(BaseException) as caught:  # noqa: PT011
        bootstrap.compile(cascade.program({}), trainset=[example])
    assert isinstance(caught.value.error, ServiceUnavailable)


def _one_node(*more):
    nodes = [NodeSpec(name="a", signature="x -> y"), *more]
    return CascadeSpec(
        tiers=[TierSpec(name=f"t{i}", code=i, nodes=[node]) for i, node in enumerate(nodes)]
    )
