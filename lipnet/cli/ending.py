"""How a command ends that a mistake has stopped."""

import os
import sys

from lipnet.errors import UserError


def fail(error: UserError) -> None:
    """One message, no traceback (unless HYDRA_FULL_ERROR=1), exit code 1."""
    if "torch" in sys.modules:
        from lipnet.training import distributed

        if not distributed.first_to_fail():
            sys.exit(1)
    if os.environ.get("HYDRA_FULL_ERROR") == "1":
        raise error
    sys.stderr.write(f"lipnet: {error}\n")
    sys.exit(1)
