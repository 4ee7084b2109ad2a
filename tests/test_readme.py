"""The Python in README.md, CONTRIBUTING.md, docs/guide/training.md and docs/guide/text-games.md runs as it stands."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def blocks(name):
    return re.findall(r"```python\n(.*?)```", (ROOT / name).read_text(), re.DOTALL)


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "docs/guide/training.md", "docs/guide/text-games.md"])
def test_code_runs(name, tmp_path):
    code = blocks(name)
    assert code
    for i, block in enumerate(code):
        script = tmp_path / f"block{i}.py"
        check = ""
        if "Mine/Countdown-v0" in block:
            check = "\nfrom llm_envs.testing import check_world\ncheck_world('Mine/Countdown-v0', steps=200)\n"
        script.write_text(block + check)
        done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, cwd=tmp_path, timeout=180)
        assert done.returncode == 0, f"{name}, block {i}:\n{done.stderr[-3000:]}"
