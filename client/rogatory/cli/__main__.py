"""`python -m rogatory.cli`."""

import sys

from rogatory.cli.program import main

sys.exit(main())
