"""Settings: what is refused, and what is said about it; the command fills all of them."""

from dataclasses import fields, replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cascade_operator.api.resolve import Defaults
from cascade_operator.cli.app import app
from cascade_operator.control.runtime import process
from cascade_operator.control.runtime.flags import LogFormat, split_names
from cascade_operator.control.runtime.settings import LeaseSettings, Settings, SettingsError


def lease(**changes):
    return {"lease": LeaseSettings(**changes)}


def defaults(**changes):
    return {"defaults": replace(Defaults(), **changes)}


@pytest.mark.parametrize(
    ("changes", "flag", "value"),
    [
        pytest.param({"namespaces": ("ML",)}, "--namespace", "'ML'", id="namespace"),
        pytest.param({"workers": 0}, "--workers", "0", id="no workers"),
        pytest.param({"resync_seconds": float("nan")}, "--resync", "nan", id="no number"),
        pytest.param({"resync_seconds": 1}, "--resync", "1", id="a list a second"),
        pytest.param({"figures_seconds": 0}, "--figures-interval", "0", id="without a pause"),
        pytest.param({"health_port": 70000}, "--health-port", "70000", id="port"),
        pytest.param({"exit_seconds": 0}, "--exit-timeout", "0", id="no time to end"),
        pytest.param(lease(name="A b"), "--lease-name", "'A b'", id="lease name"),
        pytest.param(lease(renew_seconds=15), "--lease-renew-deadline", "15", id="no margin"),
        pytest.param(lease(retry_seconds=6), "--lease-retry-period", "6", id="one try only"),
        pytest.param(lease(retry_seconds=0), "--lease-retry-period", "0", id="busy"),
        pytest.param(defaults(image=""), "--worker-image", "''", id="no image"),
        pytest.param(
            defaults(redis_url="embedded:redis"), "--redis-url", "embedded", id="embedded"
        ),
        pytest.param(
            defaults(task_endpoint="ollama"), "--model-endpoint", "'ollama'", id="no address"
        ),
    ],
)
def test_a_wrong_value_is_named_with_its_flag_and_variable(changes, flag, value):
    with pytest.raises(SettingsError) as caught:
        Settings(**changes)
    assert str(caught.value).startswith(flag)
    assert value in str(caught.value)
    variable = "CASCADE_OPERATOR_" + flag.strip("-").replace("-", "_").upper()
    assert variable in caught.value.mend


@pytest.mark.parametrize(
    "changes",
    [
        defaults(redis_url="redis://:hunter2@redis:6379"),
        defaults(task_endpoint="http://me:hunter2@ollama:11434"),
    ],
    ids=["redis", "models"],
)
def test_a_password_in_an_address_is_refused_and_not_repeated(changes):
    with pytest.raises(SettingsError) as caught:
        Settings(**changes)
    assert "hunter2" not in f"{caught.value} {caught.value.mend}"


def test_the_password_is_in_no_text_of_the_settings():
    settings = Settings(redis_password="hunter2")
    assert "hunter2" not in f"{settings!r} {settings.shown()}"


def test_names_are_split_and_counted_once():
    assert split_names(["a,b", "c d", "a"]) == ("a", "b", "c", "d")


def started_with(monkeypatch, arguments, environment=None):
    started = []
    monkeypatch.setattr(process, "run", lambda settings: started.append(settings) or 3)
    result = CliRunner().invoke(app, ["operator", *arguments], env=environment or {})
    assert result.exit_code == 3, result.output
    return started[0]


def test_the_command_without_options_is_the_defaults(monkeypatch):
    assert started_with(monkeypatch, []) == Settings()


def test_flags_and_variables_reach_the_settings(monkeypatch):
    settings = started_with(
        monkeypatch,
        [
            *("--namespace", "a", "--namespace", "b", "--workers", "4", "--resync", "60"),
            *("--figures-interval", "5"),
            *("--no-leader-election", "--lease-name", "x", "--lease-namespace", "y"),
            *("--lease-duration", "30", "--lease-renew-deadline", "20"),
            *("--worker-image", "w:1", "--model", "m", "--model-provider", "OpenAI"),
        ],
        {
            "CASCADE_OPERATOR_LOG_FORMAT": "json",
            "CASCADE_OPERATOR_METRICS_PORT": "9000",
            "CASCADE_OPERATOR_REDIS_URL": "redis://other:6379/1",
            "CASCADE_OPERATOR_REDIS_PASSWORD": "hunter2",
            "CASCADE_OPERATOR_WORKERS": "7",
        },
    )
    assert settings.namespaces == ("a", "b")
    assert settings.workers == 4
    assert settings.resync_seconds == 60
    assert settings.figures_seconds == 5
    assert settings.lease == LeaseSettings(
        enabled=False, name="x", namespace="y", duration_seconds=30, renew_seconds=20
    )
    assert settings.log_format is LogFormat.JSON
    assert settings.metrics_port == 9000
    assert settings.redis_password == "hunter2"
    assert settings.defaults.redis_url == "redis://other:6379/1"
    assert settings.defaults.image == "w:1"
    assert settings.defaults.task_model == "m"
    assert settings.defaults.task_provider == "OpenAI"


def test_several_namespaces_come_in_one_variable(monkeypatch):
    settings = started_with(monkeypatch, [], {"CASCADE_OPERATOR_NAMESPACE": "a,b c"})
    assert settings.namespaces == ("a", "b", "c")


def test_every_setting_has_a_word_for_its_reader():
    source = Path(process.__file__).with_name("settings.py").read_text(encoding="utf-8")
    for kind in (Settings, LeaseSettings):
        for one in fields(kind):
            assert f"    {one.name}: " in source
            after = source.split(f"    {one.name}: ", 1)[1].split("\n", 1)[1]
            assert after.lstrip().startswith('"""'), one.name
