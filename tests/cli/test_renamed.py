"""Earlier names of recipes mean what they meant."""

import pytest
import yaml
from launching import TINY, launch, results

from lipnet.cli.arguments import prepare
from lipnet.cli.composing import compose, hydra_ready, options_of
from lipnet.cli.renamed import CONVOLUTIONS, RENAMED, without_earlier_names
from lipnet.runs.identity import digest

# The digests of what each file composed when there was one for every convolution, in the order of CONVOLUTIONS.
COMPOSED = {
    "paper/mnist_small": "f332bc72 f38e8f19 56d24d89 a23dd13d 64c80ce3 29126dfd",
    "paper/mnist_large": "1349c6b6 37c2ae05 1a54530e 07b49c38 61403af3 564d6568",
    "paper/cifar10_small": "c12aee5b 3236798d 0b634951 1a05a401 7dff693c e5e8ada1",
    "paper/cifar10_large": "cb0341f9 54bd4af9 e70966f8 1eb8962d 082570e4 c69a649f",
    "quick/mnist_small": "b0215b6c dbf8fcd9 97ea286a f7c4eea8 ec80a258 52e0a8bf",
    "quick/mnist_large": "c2c7a08e a9c3d649 3cd98ad5 a350785f b11926d0 82aedb4e",
    "quick/cifar10_small": "3fadcbe7 6e1f9f22 8ba5b5d7 c2be8bb5 fb6e1cad e6001f97",
    "quick/cifar10_large": "02d934f6 e842c3ef 885dd45e f9272f59 288303db 13e44beb",
}


@pytest.mark.parametrize("recipe", COMPOSED)
def test_an_earlier_name_and_the_present_line_compose_what_the_file_did(recipe):
    with hydra_ready():
        for conv, expected in zip(CONVOLUTIONS, COMPOSED[recipe].split(), strict=True):
            present, option = RENAMED[f"{recipe}_{conv}"]
            assert option == conv
            for line in ([f"experiment={recipe}_{conv}"], [f"experiment={present}", f"conv={conv}"]):
                assert digest(compose("config", line)) == expected


def test_no_earlier_name_is_listed_or_a_file():
    listed = options_of("experiment", None)
    assert {recipe for recipe, _ in RENAMED.values()} <= set(listed)
    assert not RENAMED.keys() & set(listed)
    line = "experiment/paper: cifar10_large, cifar10_large_bcop, gan_mnist, mnist_small_rko"
    assert without_earlier_names(line) == "experiment/paper: cifar10_large, gan_mnist"
    assert without_earlier_names("conv: bcop, rko") == "conv: bcop, rko"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run that was started by an earlier name, and what it printed."""
    folder = tmp_path_factory.mktemp("run") / "run"
    command = ("experiment=quick/mnist_small_rko", "dataset=digits", *TINY, "epochs=1", "attack.names=[]")
    outcome = launch(*command, f"hydra.run.dir={folder}")
    assert outcome.code == 0, outcome.output
    return folder, outcome.output


@pytest.mark.usefixtures("without_figures")
@pytest.mark.parametrize("again", ["task=evaluate run", "rerun"])
def test_a_run_of_an_earlier_name_is_read_again(run, tmp_path, again):
    folder, said = run
    assert "experiment=quick/mnist_small_rko: an earlier name of experiment=quick/paper_mnist_small conv=rko\n" in said
    assert results(folder)["choices"]["conv"] == "rko"
    assert yaml.safe_load((folder / ".hydra" / "overrides.yaml").read_text())[0] == "experiment=quick/mnist_small_rko"
    outcome = launch(*f"{again}={folder}".split(), "progress=off", f"hydra.run.dir={tmp_path}")
    assert outcome.code == 0, outcome.output
    assert "earlier name" not in outcome.output  # nobody typed it
    assert results(tmp_path)["clean_accuracy"] == results(folder)["clean_accuracy"]


def test_earlier_names_can_be_swept_and_stand_in_somebody_s_own_files(tmp_path):
    swept = "experiment=paper/mnist_small_bcop_fixed,paper/mnist_small_svcm,paper/mnist_small"
    assert swept in prepare(["-m", swept, "seed=0,1"])
    (tmp_path / "experiment").mkdir()
    own = "# @package _global_\ndefaults:\n  - quick/mnist_large_l2ne\nepochs: 7\n"
    (tmp_path / "experiment" / "mine.yaml").write_text(own)
    with hydra_ready(str(tmp_path)):
        config = compose("config", ["experiment=mine"])
    assert (config.epochs, config.conv.name, config.model.name) == (7, "l2ne", "large")
