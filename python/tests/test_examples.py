"""What the documentation shows runs."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def run(*arguments, timeout=300):
    done = subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, timeout=timeout, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def snippets(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    return re.findall(r"```python\n(.*?)```", text, re.DOTALL)


@pytest.mark.parametrize("page", ["README.md", "docs/python.md", "python/README.md"])
def test_snippets(page):
    # Those of a page go on from one another.
    found = snippets(page)
    assert found
    run("-c", "import pandas as pd\n" + "\n".join(found))


def test_quickstart():
    shown = run("examples/quickstart.py")
    assert "In July" in shown and "EWR" in shown and "median" in shown


def test_essay_agrees_with_every_engine():
    shown = run("examples/essay.py", "--rows", "20000", "--runs", "1")
    assert len(shown.splitlines()) == 10 and "sum(x * y)" in shown


@pytest.mark.filterwarnings("ignore")
def test_notebook():
    nbclient = pytest.importorskip("nbclient")
    nbformat = pytest.importorskip("nbformat")
    notebook = nbformat.read(ROOT / "examples" / "quickstart.ipynb", as_version=4)
    nbclient.NotebookClient(
        notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(ROOT / "examples")}}
    ).execute()
    shown = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert any("median" in output.get("data", {}).get("text/plain", "") for output in shown)
    assert any("<table>" in output.get("data", {}).get("text/html", "") for output in shown)
