"""Work spread over processes."""

from __future__ import annotations

import os
import signal

import pytest

from scripts.annotations.errors import UserError
from scripts.annotations.parallel import spread


def double(number):
    if number == 13:
        raise UserError("thirteen")
    if number == 14:
        os.kill(os.getpid(), signal.SIGKILL)
    return 2 * number


@pytest.mark.parametrize("processes", [1, 2, 5])
def test_results_are_in_order(processes):
    assert list(spread(double, range(10), processes, "Doubling")) == list(range(0, 20, 2))


@pytest.mark.parametrize("processes", [1, 2])
def test_an_error_reaches_the_caller(processes):
    with pytest.raises(UserError, match="thirteen"):
        list(spread(double, [1, 13, 2], processes, "Doubling"))


def test_a_worker_that_was_killed_is_explained():
    with pytest.raises(UserError, match="a worker process was killed, most likely for want of memory"):
        list(spread(double, [1, 14, 2], 2, "Doubling"))
