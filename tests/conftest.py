import pytest
import trio.testing
from hypothesis import HealthCheck, settings

# No example fails because the machine is busy. Where CI is set, Hypothesis does so by itself.
settings.register_profile(
    "untimed", settings.default, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("untimed")
pytest.register_assert_rewrite("support")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers",
        "event_loops(*names): run the coroutines of a test or a module on each of these:"
        ' "asyncio" (without this marker, the only one), "trio", or "virtual", which is trio on a'
        " virtual clock, where hours pass in milliseconds",
    )


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
