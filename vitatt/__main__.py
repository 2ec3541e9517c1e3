"""Entry point of `python -m vitatt`."""

import sys

from vitatt.cli import main

sys.exit(main())
