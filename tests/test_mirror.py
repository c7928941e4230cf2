"""``lipnet/a/b.py`` has its tests in ``tests/a/test_b.py``, or stands here beside the file that has them.

In some folders every module is an option, and a row of a table tests it; a test of its own may come on top.
"""

import pytest
from launching import ROOT

NO_CODE = "types and protocols alone, which mypy checks"
# The tables over everything that is registered -> the folders of it.
TABLES = {
    "tests/layers/test_harness.py": ("layers/activations", "layers/convolutions", "layers/dense", "layers/blocks"),
    "tests/losses/test_losses.py": ("losses",),
    "tests/data/test_images.py": ("data/sets",),
    "tests/data/pairs/test_pair.py": ("data/pairs",),
    "tests/data/streams/test_source.py": ("data/streams",),
}
IN_A_TABLE = {folder for folders in TABLES.values() for folder in folders}
# The tests that cover a module without one of its own -> these modules.
ELSEWHERE = {
    NO_CODE: (
        "results/results_file.py", "tasks/bayes/results.py", "tasks/gan/results.py", "tasks/robustness/results.py",
        "tasks/online/results.py", "tasks/private/results.py", "tasks/wasserstein/results.py", "training/protocols.py",
    ),
    # Declarations of options are tested by reading them, against conf/.
    "tests/options/test_parse.py": (
        "options/between.py", "options/config.py", "options/images.py", "options/layers.py", "options/models.py",
        "options/online.py", "options/pairs.py", "options/posteriors.py", "options/residual.py", "options/streams.py",
        "options/tasks.py",
        "options/training.py",
    ),
    # A parser's parts, by the command lines that they are for.
    "tests/cli/test_arguments.py": ("cli/mistakes.py", "cli/own_files.py", "cli/saved.py"),
    "tests/tasks/private/test_task.py": ("options/private.py",),
    "tests/equal_time/test_main.py": ("equal_time/__main__.py", "equal_time/jobs.py"),
    "tests/tasks/test_per_example.py": ("options/diagnostics.py",),
    "tests/tasks/robustness/test_conformal.py": ("options/conformal.py",),
    "tests/results/test_run_figures.py": ("display/bars.py", "results/per_example_figure.py"),
    "tests/cli/sweeps/test_sweep.py": ("cli/sweeps/job.py", "cli/sweeps/launch.py"),
    "tests/test_install.py": ("__main__.py", "options/folder.py"),
    "tests/test_app.py": ("tasks/driver.py", "tasks/task.py"),
    "tests/training/test_loop.py": ("training/compiled.py",),
    # Every rule for a module is a row of one table, and so is every layer and every pair.
    "tests/certify/test_rules.py": (
        "certify/rules/activations.py", "certify/rules/blocks.py", "certify/rules/linear.py",
        "certify/rules/normalization.py", "certify/rules/pooling.py", "certify/rules/rearrangements.py",
        "certify/rules/upsampling.py",
    ),
    "tests/certify/test_rounding.py": ("certify/evaluation.py",),
    "tests/layers/test_harness.py": ("layers/constrained.py",),
    "tests/models/test_build.py": (
        "models/choices.py", "models/conv_net.py", "models/fully_connected.py",
    ),
    "tests/data/own/test_own.py": (
        "data/own/arrays.py", "data/own/image_folder.py", "data/own/parting.py", "data/own/samples.py",
        "data/own/table.py", "data/rows.py",
    ),
    "tests/tasks/gan/test_task.py": ("models/gan.py", "models/generator.py"),
    "tests/tasks/robustness/test_attacking.py": ("tasks/robustness/evaluation.py",),
    "tests/options/test_registry.py": ("options/readers.py",),
    # Every kind of unit is a row of one table of networks.
    "tests/per_example/test_gradients.py": (
        "per_example/convolution.py", "per_example/generic.py", "per_example/matrix.py", "per_example/unit.py",
    ),
    "tests/layers/convolutions/test_soc.py": ("certify/rules/exponential.py",),
    "tests/export/test_exported_activations.py": ("export/activations.py",),
    "tests/tasks/wasserstein/test_figure.py": ("tasks/wasserstein/table.py",),
    # Every way of inference is a row of one table.
    "tests/tasks/bayes/test_sampler.py": (
        "tasks/bayes/hmc.py", "tasks/bayes/sgld.py", "tasks/bayes/svgd.py", "tasks/bayes/variational.py",
    ),
    "tests/tasks/bayes/test_density.py": ("tasks/bayes/stacked.py",),
    "tests/tasks/bayes/test_proof.py": ("tasks/bayes/attacking.py",),
    "tests/tasks/bayes/test_task.py": (
        "models/posterior.py", "tasks/bayes/figure.py", "tasks/bayes/posterior.py", "tasks/bayes/sampling.py",
        "tasks/bayes/table.py",
    ),
    "tests/data/problems/test_toys.py": ("data/problems/problem.py",),
    "tests/tasks/online/test_figures.py": ("tasks/online/table.py",),
    "tests/tasks/online/test_rounds.py": ("tasks/online/task.py",),
    # Code that an export carries along, by running it.
    "tests/export/test_parts.py": (
        "export/deployed.py", "export/deployed_blocks.py", "export/part.py", "export/source.py",
    ),
    "tests/export/test_judging.py": (
        "export/onnx_graph.py", "export/reading.py", "export/torch_program.py", "certify/rules/graph.py",
    ),
    "tests/export/test_assured_export.py": ("export/deployed_assured.py",),
    "tests/tasks/test_export.py": ("certify/__main__.py", "export/__main__.py", "tasks/robustness/deployment.py"),
    "tests/results/test_compare.py": ("results/__main__.py", "results/paper.py"),
}  # fmt: skip
TOLD = {module: place for place, modules in ELSEWHERE.items() for module in modules}
PACKAGE = ROOT / "lipnet"
MODULES = [path.relative_to(PACKAGE).as_posix() for path in sorted(PACKAGE.rglob("*.py")) if path.name != "__init__.py"]


def _has_a_test(module: str) -> bool:
    folder, _, name = module.rpartition("/")
    return (ROOT / "tests" / folder / f"test_{name}").is_file()


@pytest.mark.parametrize("module", MODULES)
def test_a_module_has_a_test_or_it_is_said_where_it_is_tested(module):
    if module.rpartition("/")[0] in IN_A_TABLE:
        assert module not in TOLD
    else:
        assert _has_a_test(module) != (module in TOLD)


def test_what_is_said_is_there():
    assert [module for module in TOLD if module not in MODULES] == []
    assert len(TOLD) == sum(map(len, ELSEWHERE.values())), "a module stands there twice"
    assert [place for place in (*TABLES, *ELSEWHERE) if place != NO_CODE and not (ROOT / place).is_file()] == []
