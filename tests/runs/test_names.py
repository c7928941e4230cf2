import re

import pytest
from omegaconf import OmegaConf

from lipnet.runs.names import job_name, kind, label, run_dir, run_label, sweep_name


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        ([], ""),
        (["conv=bcop", "optimizer.lr=1e-2", "seed=0"], "conv-bcop_lr-1e-2_seed-0"),
        (["experiment=quick/mnist_small", "++seed=3"], "quick-mnist_small_seed-3"),
        (["sweep=methods", "model.channels=[16,32]"], "methods_channels-16-32"),
        (["optimizer.lr=0.0031415926535897"], "lr-0.003142"),
        (["eval_radii=[36/255,0.5]"], "eval_radii-36-255-0.5"),
        (["seed=1", "seed=2"], "seed-2"),
        (["~task.select_by"], ""),
        (
            ["threads=1", "device=cpu", "progress=off", "dataset.root=/a/b", "rerun=x", "run=x", "hydra.verbose=true"],
            "",
        ),
    ],
)
def test_a_label_says_what_was_typed(overrides, expected):
    assert label(overrides) == expected


def test_a_long_label_is_cut_between_its_parts_and_stays_one_of_a_kind():
    names = {label([*(f"model.key{number}=value" for number in range(20)), f"seed={seed}"]) for seed in range(3)}
    assert len(names) == 3
    assert all(re.fullmatch(r"(key\d-value_){7}and-14-more-[0-9a-f]{6}", name) for name in names), names


@pytest.mark.parametrize("text", ["a=out/x y", "a='b c'", "a=[1,2]", "a={x:1}", "a=${b}", "a=ä~*"])
def test_a_label_can_be_pasted_into_a_command_line(text):
    assert re.fullmatch(r"[A-Za-z0-9._+-]+", label([text, "seed=1"]))


def test_a_sweep_is_called_after_what_its_jobs_share_and_where_they_differ():
    assert sweep_name(["epochs=3"], ["conv", "optimizer.lr"]) == "epochs-3_over-conv-lr"
    assert sweep_name([], ["seed"]) == "over-seed"
    assert sweep_name(["threads=1"], []) == "defaults"


def test_runs_of_the_same_second_get_directories_of_their_own():
    names = {run_dir(None, "outputs", "lr-1") for _ in range(50)}
    assert len(names) == 50
    assert all(re.fullmatch(r"outputs/lr-1_\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d_[0-9a-f]{6}", name) for name in names)
    assert re.fullmatch(r"outputs/\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d_[0-9a-f]{6}", run_dir(None, "outputs", ""))


@pytest.mark.parametrize("empty", [None, "", "null"])
def test_only_resume_gives_the_directory(empty):
    assert run_dir("outputs/old", "outputs", "lr-1") == "outputs/old"
    assert run_dir(empty, "outputs", "") != run_dir(empty, "outputs", "")


def composed(model, *overrides):
    config = {
        "model": {"name": model},
        "conv": {"name": "rko"},
        "linear": {"name": "bjorck"},
        "shuffle": {"name": "fixed"},
    }
    return OmegaConf.create({**config, "hydra": {"overrides": {"task": list(overrides)}}})


def test_a_run_is_called_after_what_its_parents_do_not_say():
    overrides = ["task=robustness", "dataset=mnist", "model=fc", "conv=rko", "linear=bjorck", "epochs=3"]
    assert run_label(composed("small", *overrides)) == "linear-bjorck_epochs-3"
    assert run_label(composed("fc", *overrides)) == "conv-rko_epochs-3"
    assert [kind(composed(model)) for model in ("small", "fc", "cones", "gan_critic", "shufflenet")] == [
        "small-rko", "fc-bjorck", "cones", "gan_critic", "shufflenet-fixed"
    ]  # fmt: skip


def test_a_job_is_called_after_what_is_swept_and_its_configuration():
    first, second = (job_name(composed("small", "conv=rko", f"seed={seed}", "epochs=3"), "seed") for seed in (0, 1))
    assert re.fullmatch(r"seed-0_[0-9a-f]{8}", first)
    assert re.fullmatch(r"seed-1_[0-9a-f]{8}", second)


def test_jobs_that_differ_in_time_alone_have_names_of_their_own():
    names = {job_name(composed("small", f"threads={threads}"), "threads") for threads in (1, 2)}
    assert len(names) == 2
