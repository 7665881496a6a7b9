"""``python -m benchmark``: the same as ``bench``."""

import sys

from benchmark.cli.parser import main

sys.exit(main())
