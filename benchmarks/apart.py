"""Work in a process of its own, with nothing compiled before, of this checkout or of another."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent.parent


def alone(script, *words, checkout: Path = HERE, **environment: str) -> Any:
    """What `python script WORD ...` prints last, as JSON, with the package of that checkout."""
    told = subprocess.run(
        [sys.executable, script, *map(str, words)], check=True, capture_output=True, text=True, cwd=checkout,
        env=os.environ | {"PYTHONPATH": str(checkout)} | environment,
    ).stdout  # fmt: skip
    return json.loads(told.splitlines()[-1])
