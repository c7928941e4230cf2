"""``python -m lipnet``: the console script by another name."""

from lipnet.app import main

if __name__ == "__main__":
    main()
