"""Memory is kept between steps: it is not mapped and filled again."""

import subprocess
import sys

import pytest

FAULTS = """
import resource
from lipnet.training.memory import keep_memory
keep_memory()
import torch
torch.ones(20_000_000)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    torch.ones(20_000_000)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="it is glibc that is told")
def test_tensors_of_a_later_step_cause_no_page_faults():
    done = subprocess.run([sys.executable, "-c", FAULTS], capture_output=True, check=True, text=True)
    assert int(done.stdout) < 1000  # 800 MB are 200,000 pages
