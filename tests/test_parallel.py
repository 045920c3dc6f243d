"""Work spread over processes."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from scripts.core.errors import UserError
from scripts.core.workers import Workers, spread


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


def whoever(_):
    time.sleep(0.01)  # so that none does the work of all
    return os.getpid()


def test_processes_are_kept_for_the_next_work_and_are_as_many_as_it_needs():
    with Workers(3) as workers:
        first = set(workers.spread(whoever, range(2), "Few"))
        assert list(workers.spread(whoever, range(1), "One")) == [os.getpid()]
        more = set(workers.spread(whoever, range(60), "Many"))
        again = set(workers.spread(whoever, range(60), "Again"))
    assert len(first) <= 2
    assert first.isdisjoint(more)
    assert len(more | again) == 3
    assert not any(Path(f"/proc/{pid}").exists() for pid in more)
