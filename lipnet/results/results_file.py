"""What tables, notes and figures read of a ``results.json``, whatever the task of its run."""

from lipnet.tasks.bayes.results import PosteriorResults
from lipnet.tasks.gan.results import GeneratorResults
from lipnet.tasks.online.results import Results as Online
from lipnet.tasks.private.results import Spent
from lipnet.tasks.results import Failed
from lipnet.tasks.robustness.results import Results as Classifier
from lipnet.tasks.wasserstein.results import Results as Critic


class Recorded(Classifier, Critic, GeneratorResults, Spent, Online, PosteriorResults, Failed):
    """A run has the keys of its own task, and one of an earlier version not all of these: any may be missing."""
