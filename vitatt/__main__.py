"""`python -m vitatt` is `vitatt`."""

import sys

from vitatt.cli import main

sys.exit(main())
