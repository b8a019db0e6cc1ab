"""Several `[[service]]` blocks of a configuration: one model on several services."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from batchinfer.config.sections import ServiceSection
from batchinfer.errors import ConfigError

_SHARED_KEYS: Final = frozenset({"protocol"})
"""What may be said once for all services: by the environment, or by a flag."""


def iter_service_blocks(
    blocks: Sequence[object], place: str
) -> Iterator[tuple[str, Mapping[str, object]]]:
    """Each block and its name. Raises ConfigError when a name is missing, or there twice."""
    names: set[str] = set()
    for number, block in enumerate(blocks, 1):
        if not isinstance(block, Mapping):
            raise ConfigError(f"{place}: service: write [[service]] on its own line")
        name = block.get("name")
        if not isinstance(name, str) or not name:
            raise ConfigError(
                f"{place}: [[service]] number {number} has no name: each of several services "
                'needs one, as name = "prod"'
            )
        if name in names:
            raise ConfigError(f'{place}: there are two [[service]] named "{name}"')
        names.add(name)
        yield name, block


def combine_service_blocks(
    blocks: Mapping[str, Mapping[str, Any]], shared: Mapping[str, Any], origins: Mapping[str, str]
) -> tuple[ServiceSection, ...]:
    """The services that were configured in blocks, in their order; none: there are no blocks.

    `shared`: what was said of "the service" elsewhere. Raises ConfigError when it cannot be said
    of several, or when they are spoken to in different ways.
    """
    if not blocks:
        return ()
    for key in sorted(shared.keys() - _SHARED_KEYS):
        raise ConfigError(
            f"{origins.get(f'service.{key}', key)}: there are several services "
            f"({', '.join(blocks)}), and this does not say which is meant. Set it in its "
            "[[service]]."
        )
    services = tuple(ServiceSection(**{**block, **shared}) for block in blocks.values())
    protocols = {service.protocol for service in services}
    if len(protocols) > 1:
        raise ConfigError(
            f"The services of a run are spoken to in one way; these have the protocols "
            f"{', '.join(sorted(protocols))}."
        )
    return services
