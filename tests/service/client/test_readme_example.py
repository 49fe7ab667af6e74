"""The example of the README prints what it says."""

import re
import subprocess
import sys
from pathlib import Path

import httpx

ROOT = Path(__file__).parents[3]
EXAMPLES = re.findall(r"```python\n(.*?)```\n```text\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)


def _run(program: str) -> str:
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_it_prints_what_it_says(plain: httpx.Client) -> None:
    assert len(EXAMPLES) == 1
    program, printed = EXAMPLES[0]
    program = program.replace("http://127.0.0.1:8000", str(plain.base_url))
    assert _run(program) == printed
