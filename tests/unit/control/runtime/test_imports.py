"""What the operator's process loads: no training package, and not much memory."""

import json
import subprocess
import sys

PROBE = """
import json, sys
from cascade_operator.cli.app import app
import cascade_operator.cli.operator
import cascade_operator.control.runtime.process
status = open("/proc/self/status").read()
kib = int(status.split("VmRSS:")[1].split()[0])
modules = sorted({name.partition(".")[0] for name in sys.modules})
print(json.dumps({"modules": modules, "mib": kib / 1024}))
"""
TRAINING = {"dspy", "numpy", "pyarrow", "umap", "ollama", "optuna", "zstandard", "jinja2"}


def test_the_operator_loads_no_training_package_and_stays_small():
    done = subprocess.run(
        [sys.executable, "-c", PROBE], capture_output=True, text=True, check=True, timeout=60
    )
    found = json.loads(done.stdout)
    assert not TRAINING & set(found["modules"])
    assert {"kopf", "kubernetes", "prometheus_client", "redis"} <= set(found["modules"])
    assert found["mib"] < 100
