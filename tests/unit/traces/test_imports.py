import subprocess
import sys

HEAVY = {"pyarrow", "umap", "numba", "scipy", "sklearn", "ollama", "httpx", "dspy", "bfcl_eval"}


def test_what_a_groups_worker_imports_stays_light():
    """A group's Job has little memory, and all it needs is the store and the cached embedder."""
    program = (
        "import sys\n"
        "import cascade_operator.traces.store, cascade_operator.traces.embedding_cache\n"
        "import cascade_operator.traces.validated, cascade_operator.traces.reader\n"
        "import cascade_operator.traces.reduction, cascade_operator.traces.bfcl\n"
        "print(*{name.partition('.')[0] for name in sys.modules})\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert HEAVY & set(done.stdout.split()) == set()
