"""Where the tests find real data, and how long hypothesis searches.

HYPOTHESIS_PROFILE=nightly looks at 10,000 examples of everything instead of 100.
LABELWISE_DATA is a folder of real annotations; without it, and without ../shared/data, tests that need it are skipped.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

_UNTIMED = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow, HealthCheck.function_scoped_fixture]}
# The same examples at each push, so that a failure is due to the change; new ones every night.
settings.register_profile("ci", max_examples=100, derandomize=True, **_UNTIMED)
settings.register_profile("nightly", max_examples=10_000, print_blob=True, **_UNTIMED)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))

_UMASK = os.umask(0o022)
os.umask(_UMASK)


@pytest.fixture(autouse=True)
def own_umask():
    """A step that reads private files closes what its process writes from then on: here, for the test alone."""
    os.umask(_UMASK)
    yield
    os.umask(_UMASK)


@pytest.fixture(scope="session")
def shared_data():
    """The folder of real annotations."""
    default = Path(__file__).parent.parent.parent / "shared" / "data"
    folder = Path(os.environ.get("LABELWISE_DATA", default))
    if not folder.is_dir():
        pytest.skip(f"no real annotations: {folder} is no folder (set LABELWISE_DATA)")
    return folder
