"""The project's steps, and the rooms they are made of."""

import sys
import time
from pathlib import Path

STARTED = time.perf_counter()  # a step imports this first

# weasel hashes folders whole: bytecode inside them would look like a change. Where none is written, nothing is to do.
if sys.pycache_prefix is None and not sys.dont_write_bytecode:
    sys.pycache_prefix = str(Path(__file__).parent.parent / ".pycache")
