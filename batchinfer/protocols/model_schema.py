"""What a model takes, as a protocol has read it from the service's own description. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from batchinfer.domain import Json

ParameterType: TypeAlias = Literal["str", "int", "float", "bool", "list", "dict"]


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of the model, as the model's help describes it."""

    name: str
    type: ParameterType | None = None
    """None: the help does not say, or the type is not known here."""
    default: str | None = None
    """As it is printed; None when there is none, or the parameter is required."""
    required: bool = False
    choices: tuple[Json, ...] = ()
    """Empty: the help does not say."""
    is_file: bool = False
    """Whether it receives a file."""
    help: str = ""
    """The author's words, line by line, not indented."""
    minimum: float | None = None
    """The least number; None: the help does not say."""
    maximum: float | None = None

    def as_json(self) -> dict[str, Json]:
        """The object that `batchinfer describe --json` prints (docs/reference/scripting.md)."""
        limits = {"minimum": self.minimum, "maximum": self.maximum}
        return {
            "name": self.name,
            "type": self.type,
            "required": self.required,
            "default": self.default,
            "choices": list(self.choices),
            "is_file": self.is_file,
            "help": self.help,
            **{name: value for name, value in limits.items() if value is not None},
        }


@dataclass(frozen=True, slots=True)
class ModelSchema:
    """What a model can be given."""

    parameters: tuple[Parameter, ...]
    """In the order of the help."""
    accepts_unlisted: bool = False
    """Whether it takes more than it lists."""
    names: Mapping[str, Parameter] = field(init=False, repr=False, compare=False)
    """The same by name."""

    def __post_init__(self) -> None:
        """Make the index."""
        object.__setattr__(self, "names", {each.name: each for each in self.parameters})

    def expand_name(self, name: str) -> Sequence[str]:
        """The parameters that the service takes `name` for: those that begin with it.

        One: it is, or abbreviates, that one (docs/platform.md, "Parameters"). `help` counts, too.
        """
        if name in self.names:
            return [name]
        return [each for each in (*self.names, "help") if each.startswith(name)]
