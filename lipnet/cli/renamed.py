"""Earlier names of recipes, in scripts and saved runs: one for each convolution, where today one recipe takes any.

``experiment=paper/mnist_small_rko`` means ``experiment=paper/mnist_small conv=rko``, wherever Hydra reads it: typed,
swept, in a run's overrides, in somebody's own files. Lists of options leave them out.
"""

from collections.abc import Iterator

from hydra.core.config_store import ConfigStore

CONVOLUTIONS = ("bcop", "bcop_fixed", "rko", "ossn", "svcm", "l2ne")  # those of the paper; the names end in them
_FOLDERS = {"paper": "paper/", "quick": "quick/paper_"}  # how an earlier name began -> how the present one begins


def _renamed() -> Iterator[tuple[str, tuple[str, str]]]:
    for folder, begin in _FOLDERS.items():
        for recipe in ("mnist_small", "mnist_large", "cifar10_small", "cifar10_large"):
            for conv in CONVOLUTIONS:
                yield f"{folder}/{recipe}_{conv}", (f"{begin}{recipe}", conv)


RENAMED = dict(_renamed())  # earlier name -> (present name, convolution)


def register() -> None:
    """Lets Hydra find them, after the files of every folder."""
    store = ConfigStore.instance()
    for earlier, (recipe, conv) in RENAMED.items():
        chosen = [] if conv == "bcop" else [{"override /conv": conv}]  # it left its convolution to the default
        folder, _, name = earlier.rpartition("/")
        store.store(
            group=f"experiment/{folder}",
            name=name,
            node={"defaults": [f"/experiment/{recipe}", *chosen]},
            package="_global_",
        )


def notices(argv: list[str]) -> Iterator[str]:
    """What each earlier name in the arguments means today."""
    for text in argv:
        key, _, values = text.partition("=")
        for name in map(str.strip, values.split(",")) if key == "experiment" else ():
            if name in RENAMED:
                recipe, conv = RENAMED[name]
                yield f"experiment={name}: an earlier name of experiment={recipe} conv={conv}"


def without_earlier_names(line: str) -> str:
    """A line of Hydra's list of options, ``experiment/paper: mnist_small, ...``, less these names."""
    group, _, options = line.partition(": ")
    folder = group.removeprefix("experiment/")
    return f"{group}: {', '.join(name for name in options.split(', ') if f'{folder}/{name}' not in RENAMED)}"
