import signal
from collections.abc import Iterator

import pytest
import trio.testing
from hypothesis import HealthCheck, settings

pytest.register_assert_rewrite("support")

from support.cli import kill_started  # noqa: E402 - once its assertions are rewritten
from support.servers import reserved_port  # noqa: E402

# No example fails because the machine is busy. Where CI is set, Hypothesis does so by itself.
settings.register_profile(
    "untimed", settings.default, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("quick", settings.get_profile("untimed"), max_examples=20)
settings.load_profile("untimed")


def pytest_configure() -> None:
    # A shell lets its background jobs ignore SIGINT, and what the tests start would inherit that.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    marker = metafunc.definition.get_closest_marker("event_loops")
    if marker and "anyio_backend" in metafunc.fixturenames:
        metafunc.parametrize("anyio_backend", marker.args, indirect=True)


@pytest.fixture
def anyio_backend(request: pytest.FixtureRequest):
    """Where coroutines run; see the marker `event_loops`."""
    name = getattr(request, "param", "asyncio")
    if name == "virtual":
        return "trio", {"clock": trio.testing.MockClock(autojump_threshold=0)}
    return name


@pytest.fixture
def free_tcp_port() -> Iterator[int]:
    """In place of anyio's, which only was free when it was asked for."""
    with reserved_port() as port:
        yield port


@pytest.fixture(autouse=True)
def _no_command_outlives_its_test() -> Iterator[None]:
    yield
    kill_started()
