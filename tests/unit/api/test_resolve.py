import pytest

from cascade_operator.api.models_spec import Provider
from cascade_operator.api.resolve import Defaults, resolve
from cascade_operator.api.session import TrainingSessionSpec
from cascade_operator.api.spec_hash import spec_hash

DEFAULTS = Defaults(image="workers:1", redis_url="redis://r:6379", task_endpoint="http://task")
SECRET = {"name": "keys"}


def _spec(**fields):
    return TrainingSessionSpec.model_validate({"traces": {"import": "bfcl"}} | fields)


def _models(**fields):
    return resolve(_spec(models=fields), DEFAULTS).models


def test_what_a_session_leaves_out_is_filled_in():
    spec = resolve(_spec(), DEFAULTS)
    assert (spec.image, spec.redis.url) == ("workers:1", "redis://r:6379")
    assert spec.models.task.endpoint == "http://task"
    assert len(spec.cascade.tiers) == 4


def test_what_a_session_names_stays():
    spec = resolve(_spec(image="mine:2", redis={"url": "redis://mine"}), DEFAULTS)
    assert (spec.image, spec.redis.url) == ("mine:2", "redis://mine")


def test_resolving_twice_changes_nothing():
    node = {"name": "a", "signature": "x -> y", "model": {"temperature": 0.5}}
    spec = _spec(
        cascade={"tiers": [{"name": "t", "code": 0, "nodes": [node]}]},
        models={"prompt": {"model": "big"}},
    )
    once = resolve(spec, DEFAULTS)
    read_back = TrainingSessionSpec.model_validate(once.dump())
    assert resolve(once, DEFAULTS) == once
    assert resolve(read_back, DEFAULTS) == once


def test_without_a_prompt_model_the_task_model_proposes_with_more_variety():
    models = _models(task={"model": "m", "maxTokens": 77})
    assert (models.prompt.model, models.prompt.max_tokens) == ("m", 77)
    assert (models.task.temperature, models.prompt.temperature) == (0.0, 0.7)


def test_an_override_keeps_what_it_says_and_takes_the_rest():
    models = _models(task={"model": "m", "maxTokens": 77}, prompt={"temperature": 0})
    assert (models.prompt.model, models.prompt.max_tokens) == ("m", 77)
    assert models.prompt.temperature == 0.0


@pytest.mark.parametrize(
    "override",
    [
        pytest.param({"endpoint": "http://other"}, id="another server"),
        pytest.param({"provider": "OpenAI"}, id="another dialect"),
    ],
)
def test_another_server_never_gets_the_task_models_key(override):
    task = {"endpoint": "http://mine", "apiKeySecretRef": SECRET}
    prompt = _models(task=task, prompt=override).prompt
    assert prompt.api_key_secret_ref is None
    assert prompt.endpoint == override.get("endpoint", "http://task")


def test_the_same_server_gets_the_same_key():
    task = {"endpoint": "http://mine", "apiKeySecretRef": SECRET}
    assert _models(task=task, prompt={"model": "big"}).prompt.api_key_secret_ref.name == "keys"


def test_a_nodes_model_takes_the_rest_from_the_task_model():
    node = {"name": "a", "signature": "x -> y", "model": {"temperature": 0.5}}
    spec = _spec(
        cascade={"tiers": [{"name": "t", "code": 0, "nodes": [node]}]},
        models={"task": {"model": "m", "endpoint": "http://mine"}},
    )
    model = resolve(spec, DEFAULTS).cascade.node("a").model
    assert (model.model, model.endpoint, model.temperature) == ("m", "http://mine", 0.5)


def test_a_default_endpoint_brings_its_model_and_dialect():
    defaults = Defaults(task_model="small", task_provider=Provider.OPENAI)
    task = resolve(_spec(), defaults).models.task
    assert (task.model, task.provider) == ("small", "OpenAI")
    named = resolve(_spec(models={"task": {"endpoint": "http://x"}}), defaults).models.task
    assert (named.model, named.provider) == ("llama3.2:3b", "Ollama")


def _node(**fields):
    node = {"name": "agent-10-baml-transform"} | fields
    return {"cascade": {"tiers": [{"name": "t", "code": 1, "nodes": [node]}]}}


# Written down, not computed: another version of this code must come to the same hash.
def test_the_hash_of_a_plain_session_never_changes():
    assert spec_hash(_spec()) == "v1-1ec74aeaef0d1ca7"


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({"optimizer": {}}, id="an empty section"),
        pytest.param({"optimizer": {"trials": 40}}, id="a default written out"),
        pytest.param({"models": {"task": {"temperature": 0}}}, id="the same number"),
        pytest.param({"parallelism": 2}, id="parallelism"),
        pytest.param({"budget": {"maxTokens": 5}}, id="budget"),
        pytest.param({"suspend": True}, id="suspend"),
        pytest.param({"image": "other:1"}, id="image"),
        pytest.param({"memory": {"budget": "9Gi"}}, id="memory"),
        pytest.param({"schedule": "@daily"}, id="schedule"),
        pytest.param({"archive": {"retain": 3}}, id="archive"),
    ],
)
def test_what_trains_nothing_else_keeps_the_hash(fields):
    assert spec_hash(_spec(**fields)) == spec_hash(_spec())


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param(_node(), id="cascade"),
        pytest.param({"traces": {"file": "a.jsonl"}}, id="traces"),
        pytest.param({"models": {"task": {"model": "m"}}}, id="models"),
        pytest.param({"groups": {"sizes": [1]}}, id="groups"),
        pytest.param({"optimizer": {"seed": 1}}, id="optimizer"),
        pytest.param({"objective": {"metric": "ExactMatch"}}, id="objective"),
        pytest.param({"convergence": {"patience": 3}}, id="convergence"),
        pytest.param({"warmStart": {"policy": "None"}}, id="warm start"),
        pytest.param({"models": {"prompt": {"temperature": 0}}}, id="override of the prompt model"),
    ],
)
def test_what_trains_something_else_changes_the_hash(fields):
    assert spec_hash(_spec(**fields)) != spec_hash(_spec())


@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param(
            {"models": {"prompt": {}}}, {"models": {"prompt": {"temperature": 0}}},
            id="a prompt model at 0 rather than 0.7",
        ),
        pytest.param(_node(), _node(adapter="Chat"), id="Chat where the agent's is BAML"),
        pytest.param(_node(model={}), _node(model={"maxTokens": 1024}), id="a node's model"),
    ],
)  # fmt: skip
def test_an_override_that_equals_a_default_still_counts(one, other):
    assert spec_hash(_spec(**one)) != spec_hash(_spec(**other))


def test_a_field_added_with_a_default_retrains_nobody():
    optimizer = TrainingSessionSpec.model_fields["optimizer"].annotation

    class NextOptimizer(optimizer):
        patience_of_next_year: int = 7

    class NextSpec(TrainingSessionSpec):
        optimizer: NextOptimizer = NextOptimizer()

    fields = {"traces": {"import": "bfcl"}, "optimizer": {"trials": 12}}
    assert spec_hash(NextSpec.model_validate(fields)) == spec_hash(_spec(**fields))
