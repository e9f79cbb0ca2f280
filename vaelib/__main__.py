"""`python -m vaelib`: see `vaelib.experiments.cli`."""

import sys

from vaelib.experiments.cli import main

if __name__ == "__main__":
    sys.exit(main())
