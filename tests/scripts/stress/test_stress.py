"""A few kills of the script that kills a hundred."""

import re
import subprocess
import sys

from launching import ROOT


def test_a_few_kills(tmp_path):
    command = [sys.executable, str(ROOT / "scripts" / "stress" / "stress_resume.py"), "--tasks", "robustness"]
    command += ["--kills", "3", "--folder", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^all +3 +0$", done.stdout, re.MULTILINE), done.stdout
    assert list(tmp_path.iterdir()) == []
