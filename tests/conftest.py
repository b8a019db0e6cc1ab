"""Being here puts `tests/` on the path, so that every room can use `servers.py`."""

from hypothesis import HealthCheck, settings

# No example fails because the machine is busy. Where CI is set, Hypothesis does so by itself.
settings.register_profile(
    "untimed", settings.default, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("untimed")
