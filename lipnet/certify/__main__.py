"""``python -m lipnet.certify FILE`` checks an exported network: its own name for ``lipnet.export.__main__``."""

import sys


def main() -> int:
    """The exit code of the check."""
    from lipnet.export.__main__ import main as check

    return check()


if __name__ == "__main__":
    sys.exit(main())
