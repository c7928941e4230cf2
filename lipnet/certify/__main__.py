"""``python -m lipnet.certify FILE`` checks an exported network: its own name for ``lipnet.export.__main__``."""

import sys

if __name__ == "__main__":
    from lipnet.export.__main__ import main

    sys.exit(main())
