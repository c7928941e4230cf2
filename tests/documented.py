"""The commands in README.md and docs/, and how a test runs them in little time."""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

from launching import ROOT

PAGES = [ROOT / "README.md", ROOT / "SECURITY.md", *sorted((ROOT / "docs").rglob("*.md"))]
# Pages that begin in an empty folder of the user's: tests/test_own_pages.py follows them.
OWN = [
    ROOT / "docs" / "how-to" / f"{name}.md"
    for name in ("my-own-pictures", "my-own-layer", "my-own-network", "certify-a-network")
]
CODE = re.compile("`(.+?)`")
BLOCK = re.compile(r"^ *```bash\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
# What no test runs, and why.
NOT_RUN = {
    "source": "the test has an environment",
    "tensorboard": "serves until it is stopped",
    "scripts/test.sh": "runs the tests",
    "scripts/benchmarks/benchmark.py": "needs an idle machine; its test runs a small one",
}
NEEDS_CLUSTER = re.compile("hydra/launcher=submitit_slurm")
_EVALUATION = ("progress=off", "device=cpu", "threads=1", "attack.steps=1", "attack.restarts=1", "attack.ddn_steps=2",
               "attack.examples=8")  # fmt: skip
_TRAINING = ("epochs=1", "dataset.limit_train=64", "dataset.limit_test=16", *_EVALUATION)
_CRITIC = ("epochs=1", "dataset.steps_per_epoch=3", "dataset.selection_samples=50", "dataset.evaluation_samples=200",
           "estimate.transport_samples=50", "progress=off", "device=cpu", "threads=1")  # fmt: skip
_GAN = ("epochs=1", "dataset.limit_train=200", "dataset.limit_test=50", "progress=off", "device=cpu", "threads=1")
_STREAM = ("dataset.rounds=20", "model.hidden=[8]", "task.examples=16", "progress=off", "device=cpu", "threads=1")
_SCRIPTS = ("scripts/quickstart.sh", "scripts/sweep.sh")
# What selects few jobs of a large sweep.
_SELECTED = {
    "sweep=paper_mnist": ("seed=0", "experiment=paper/mnist_small", "conv=bcop"),
    "sweep=quick_mnist": ("seed=0", "experiment=quick/paper_mnist_small", "conv=bcop"),
    "sweep=quick_wasserstein": ("optimizer.lr=1e-2", "conv=bcop,rko", "activation=maxmin"),
    "sweep=wasserstein_benchmark": ("seed=0", "experiment=wasserstein/cone"),
    "sweep=wasserstein_minfunnel": (
        "seed=0", "experiment=wasserstein/minfunnel_cones", "dataset.dimension=2", "dataset.funnels=4"
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Command:
    """One line of a page."""

    page: str
    text: str

    @property
    def words(self) -> list[str]:
        return shlex.split(self.text)

    @property
    def program(self) -> str:
        """What is started; scripts by their path."""
        words = self.words
        if words[0] == "torchrun" or words[:3] == ["python", "-m", "lipnet"]:
            return "train.py"
        if words[:2] == ["python", "-m"]:
            return words[2]
        return words[1] if words[0] == "python" else {"lipnet": "train.py"}.get(words[0], words[0])

    @property
    def arguments(self) -> list[str]:
        """What the program is given."""
        words = self.words
        start = next(place for place, word in enumerate(words) if word.endswith(("train.py", "lipnet", self.program)))
        return words[start + 1 :]

    def small(self) -> str:
        """The same command on a few examples."""
        if self.program not in ("train.py", *_SCRIPTS) or {"--help", "--cfg", "--info"} & set(self.words):
            return self.text
        added = _TRAINING
        if any(word.startswith(("task=evaluate", "resume=")) for word in self.words):
            added = _EVALUATION
        elif "task=export" in self.words:
            added = ("device=cpu", "threads=1")
        elif any(re.match("(task|experiment|sweep)=(quick[/_])?wasserstein", word) for word in self.words):
            added = _CRITIC
        elif any(re.match("task=gan|experiment=quick/gan_", word) for word in self.words):
            added = _GAN
        elif "task=online" in self.words:
            added = _STREAM
        for word in self.words:
            added = (*_SELECTED.get(word, ()), *added)
        if "sweep=tune" in self.words:
            added = (*added, "hydra.sweeper.n_trials=2")
        kept = [word for word in self.words if word.partition("=")[0] not in {key.partition("=")[0] for key in added}]
        return shlex.join([*kept, *added])


def commands(page: Path) -> list[Command]:
    """The lines of a page's bash blocks, without comments."""
    text = "".join(BLOCK.findall(page.read_text())).replace("\\\n", " ")
    lines = (re.sub(r"(^|\s+)#.*", "", line).strip() for line in text.splitlines())
    return [Command(page.relative_to(ROOT).as_posix(), line) for line in lines if line]


def table_commands(page: Path) -> list[Command]:
    """The rows of tables whose first column is headed by the command that its cells go on with."""
    found, head = [], ""
    for line in page.read_text().splitlines():
        cell = line.split("|")[1].strip() if line.startswith("|") else ""
        code = CODE.match(cell)
        if not line.startswith("|"):
            head = ""
        elif code and code[1].startswith("python train.py"):
            head = code[1] if code[1].endswith("/") else code[1] + " "
        elif code and head:
            found.append(Command(page.relative_to(ROOT).as_posix(), head + code[1]))
    return found
