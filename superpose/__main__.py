"""`python -m superpose` is the command `superpose`."""

import sys

from superpose.cli import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
