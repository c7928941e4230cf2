from concurrent.futures import ThreadPoolExecutor

from omegaconf import OmegaConf

from lipnet.runs.directory import unwritable


def test_runs_that_begin_at_once_find_their_directory_writable(tmp_path):
    """Each makes and removes it to find out, and may do so while another one writes."""
    composed = OmegaConf.create({"resume": None, "hydra": {"run": {"dir": str(tmp_path / "outputs" / "run")}}})
    with ThreadPoolExecutor(8) as pool:
        problems = list(pool.map(lambda _: unwritable(composed, multirun=False), range(2000)))
    assert problems == [[]] * len(problems)
