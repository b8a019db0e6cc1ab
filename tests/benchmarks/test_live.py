"""The benchmark of async mode's lag, in small: what it measures is what a run would see."""

import pytest

from benchmarks.live import judge, run_real, run_simulated
from benchmarks.live_hour import EVENT_DELAY, ROUND_TRIP, Scenario


def test_with_notifications_an_output_takes_its_event_and_two_reads():
    lags = run_simulated(Scenario("some", items=60, seconds=600.0))
    assert lags.items == 60
    assert lags.p50 == pytest.approx(EVENT_DELAY + 2 * ROUND_TRIP, abs=0.005)
    assert lags.listings < 100


def test_without_notifications_an_output_takes_a_share_of_the_silence():
    lags = run_simulated(Scenario("some", items=60, seconds=600.0, notified=False))
    assert lags.items == 60
    assert 0.1 < lags.p50 < 1.5


@pytest.mark.parametrize(
    "change", [{"lost": 1}, {"drop": 30.0}, {"lose": 0.1}, {"lose": 1.0}], ids=str
)
def test_whatever_is_lost_all_results_come(change):
    assert run_simulated(Scenario("some", items=100, seconds=100.0, **change)).items == 100


@pytest.mark.slow
def test_a_real_run_is_measured():
    notified, polled = (run_real(20, 0.1, 4, notified=notified) for notified in (True, False))
    assert notified.items == polled.items == 20
    assert notified.p50 > 0
    assert any("reached" in line or "MISSED" in line for line in judge([notified, polled]))
