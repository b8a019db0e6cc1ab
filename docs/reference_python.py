"""The page docs/reference/python.md, made of the signatures and docstrings of public names."""

from __future__ import annotations

import ast
import enum
import inspect
import re
import textwrap
from collections.abc import Iterable, Iterator
from dataclasses import fields, is_dataclass
from itertools import pairwise
from typing import Any

import batchinfer as bi

SECTIONS = {
    "Sending items": ("run", "watch", "resume", "submit", "collect", "stream"),
    "Reading results": ("results", "status", "show", "export", "query", "compare"),
    "Changing and steering a run": ("retry", "merge", "clean", "ctl"),
    "Before anything is sent": ("init", "check", "describe", "prepare", "load_config"),
    "Older names": ("requeue",),
}
"""The functions, in the order of the page."""
ONLY_METHODS = ("report",)
"""Functions that only `Run` offers: `batchinfer.report` is a package."""
INTRODUCTION = """\
# Python

```python
import batchinfer as bi

run = bi.run("photos", "my-run", config="batchinfer.toml", progress=True)
run.status().counts.failed
run.retry(code="timeout")
run.resume()
run.to_pandas(flat=True)
```

Every command has its Python form under the same name: a function of `batchinfer` that takes the
run directory, and a method of [`Run`](#run-objects). (`report` is a method only; of `local`
it is `batchinfer.local.service_process.start_service`.) All of them work in
scripts and in notebooks, where an event loop is running already. Each has an async form, whose
name begins with `a`, for code that runs on asyncio or trio. Paths are texts or `os.PathLike`;
durations are seconds; moments are seconds since the epoch, in UTC.

An item that fails is a result, never an exception. Exceptions are [errors](#errors) that concern
the whole call."""


def make_page() -> str:
    """The whole page."""
    parts = [INTRODUCTION, "## Run objects", *describe_run_class()]
    for title, names in SECTIONS.items():
        parts.append(f"## {title}")
        for name in names:
            parts += describe_function(name, getattr(bi, name), getattr(bi, f"a{name}", None))
    documented = {name for names in SECTIONS.values() for name in names}
    classes = [
        each
        for name in bi.__all__
        if isinstance(each := getattr(bi, name), type)
        and name not in {"Run", "Settings", *documented}
    ]
    parts += ["## Settings", format_docstring(bi.Settings), format_settings(), "## Values"]
    for each in classes:
        if not issubclass(each, Exception):
            parts += describe_value(each)
    parts += ["## Errors", *describe_errors()]
    return "\n\n".join(part for part in parts if part) + "\n"


def describe_run_class() -> Iterator[str]:
    """`Run`: its docstring, attributes and methods."""
    yield format_docstring(bi.Run)
    yield "`bi.Run(directory)` raises `StoreError` when there is no run in the directory."
    rows = ["| attribute | meaning |", "|---|---|"]
    for owner in reversed(bi.Run.__mro__[:-1]):
        rows += [
            f"| `{name}` | {_one_line(text)} |"
            for name, text in _self_attribute_docs(owner).items()
        ]
        rows += [
            f"| `{name}` | {_one_line(each.__doc__ or '')} |"
            for name, each in vars(owner).items()
            if isinstance(each, property)
        ]
    yield "\n".join(rows)
    rows = ["| method | async form | does |", "|---|---|---|"]
    functions = {name for names in SECTIONS.values() for name in names}
    own: list[str] = []
    for name, method in inspect.getmembers(bi.Run, callable):
        if name.startswith("_") or (name.startswith("a") and hasattr(bi.Run, name[1:])):
            continue
        async_name = f"`a{name}`" if hasattr(bi.Run, f"a{name}") else ""
        is_function = name in functions and name != "submit"
        link = f"[`{name}`](#{name})" if is_function else f"[`{name}`](#run{name})"
        rows.append(f"| {link} | {async_name} | {_first_sentence(method)} |")
        if not is_function:
            own.append(name)
    yield "\n".join(rows)
    yield (
        "Methods that are also functions of `batchinfer` are described there; as a method, the "
        "argument `run` is left out."
    )
    for name in own:
        async_form = getattr(bi.Run, f"a{name}", None)
        yield from describe_function(name, getattr(bi.Run, name), async_form, owner="Run.")


def describe_function(
    name: str, function: Any, async_form: Any, *, owner: str = ""
) -> Iterator[str]:
    """A function: signature, async form, docstring."""
    yield f"### {owner}{name}"
    signature = inspect.signature(function)
    if owner:
        rest = list(signature.parameters.values())[1:]
        signature = signature.replace(parameters=rest)
    yield f"```python\n{format_signature(name, signature)}\n```"
    if async_form is not None:
        returns = inspect.signature(async_form).return_annotation
        differs = returns not in {signature.return_annotation, inspect.Signature.empty}
        note = f" It returns `{returns}`." if differs else ""
        yield f"Async form: `a{name}`.{note}"
    yield format_docstring(function)


def format_signature(name: str, signature: inspect.Signature) -> str:
    """As it would be written, an argument a line where it is long."""
    returns = _show_annotation(signature.return_annotation)
    parts: list[str] = []
    has_star = False
    for each in signature.parameters.values():
        if each.kind is each.KEYWORD_ONLY and not has_star:
            parts.append("*")
            has_star = True
        star = "**" if each.kind is each.VAR_KEYWORD else ""
        default = "" if each.default is each.empty else f" = {each.default!r}"
        parts.append(f"{star}{each.name}: {_show_annotation(each.annotation)}{default}")
    line = f"{name}({', '.join(parts)}) -> {returns}"
    if len(line) <= 88:  # noqa: PLR2004 - a line
        return line
    return "\n".join([f"{name}(", *(f"    {part}," for part in parts), f") -> {returns}"])


def format_docstring(documented: Any) -> str:
    """A docstring in Markdown: `Args:` and `Raises:` become lists, `::` a code block."""
    text = inspect.cleandoc(documented.__doc__ or "")
    text = re.sub(
        r"(?m)^::\n\n((?: {4}.*\n|\n)+)",
        lambda match: f"```python\n{textwrap.dedent(match[1]).strip()}\n```\n\n",
        text + "\n",
    )
    parts = re.split(r"(?m)^(Args|Returns|Raises):\n", text)
    lines = [parts[0].strip()]
    for title, indented in zip(parts[1::2], parts[2::2], strict=True):
        body = textwrap.dedent(indented).strip()
        if title == "Returns":
            lines.append(f"**Returns** {' '.join(body.split())}")
            continue
        entries = re.findall(r"(?m)^(\w+): ((?:.*)(?:\n[ ]+.*)*)", body)
        items = [f"* `{name}`: {' '.join(text.split())}" for name, text in entries]
        lines.append("\n".join([f"**{'Arguments' if title == 'Args' else title}**", "", *items]))
    return "\n\n".join(lines)


def describe_value(documented: type) -> Iterator[str]:
    """A class whose objects are returned: its fields, or the members of an enumeration."""
    yield f"### {documented.__name__}"
    yield format_docstring(documented)
    docs = get_field_docs(documented)
    if issubclass(documented, enum.Enum):
        rows = [f"| `{each.value}` | {_one_line(docs.get(each.name, ''))} |" for each in documented]
        yield "\n".join(["| value | meaning |", "|---|---|", *rows])
    elif is_dataclass(documented) and documented is not bi.Config:
        rows = [
            f"| `{each.name}` | `{escape_cell(str(each.type))}` | "
            f"{_one_line(docs.get(each.name, ''))} |"
            for each in fields(documented)
            if not each.name.startswith("_")
        ]
        yield "\n".join(["| field | type | meaning |", "|---|---|---|", *rows])
    methods = [
        f"* `{format_method(name, each)}`: {_first_sentence(each)}"
        for name, each in vars(documented).items()
        if not name.startswith("_")
        and not issubclass(documented, (enum.Enum, bi.Config))
        and (inspect.isfunction(each) or isinstance(each, property))
    ]
    yield "\n".join(methods)


def format_method(name: str, method: Any) -> str:
    """A method's signature without `self`; a property's name."""
    if isinstance(method, property):
        return name
    signature = inspect.signature(method)
    return format_signature(
        name, signature.replace(parameters=[*signature.parameters.values()][1:])
    )


def format_settings() -> str:
    """The keys of `Settings`."""
    rows = [
        f"| `{name}` | `{escape_cell(_show_annotation(kind))}` |" for name, kind in _get_settings()
    ]
    return "\n".join(["| key | type |", "|---|---|", *rows])


def describe_errors() -> Iterator[str]:
    """Every public exception below the one that all derive from."""
    errors = [
        each
        for name in bi.__all__
        if isinstance(each := getattr(bi, name), type) and issubclass(each, Exception)
    ]
    rows = ["| error | is a | exit code | meaning |", "|---|---|---|---|"]
    rows += [
        f"| `{each.__name__}` | `{each.__base__.__name__}` | {getattr(each, 'exit_code', '')} | "
        f"{_one_line(each.__doc__ or '')} |"
        for each in errors
    ]
    yield "\n".join(rows)
    yield "`RunAborted` has an attribute `code`, one of the [failure codes](failure-codes.md)."


def get_field_docs(documented: type) -> dict[str, str]:
    """The texts that stand below the fields of a class."""
    pairs = pairwise(_get_class_body(documented))
    return dict(_iter_docs(pairs, ast.Name))


def _self_attribute_docs(documented: type) -> dict[str, str]:
    """The texts that stand below the attributes set in `__init__`."""
    docs: dict[str, str] = {}
    for function in _get_class_body(documented):
        if isinstance(function, ast.FunctionDef) and function.name == "__init__":
            docs |= _iter_docs(pairwise(function.body), ast.Attribute)
    return docs


def _iter_docs(
    pairs: Iterable[tuple[ast.stmt, ast.stmt]], kind: type[ast.Name | ast.Attribute]
) -> Iterator[tuple[str, str]]:
    for statement, following in pairs:
        targets = getattr(statement, "targets", [getattr(statement, "target", None)])
        if isinstance(targets[0], kind) and (text := _get_text(following)):
            yield ast.unparse(targets[0]).removeprefix("self."), text


def _get_class_body(documented: type) -> list[ast.stmt]:
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(documented)))
    except (OSError, TypeError):
        return []
    return [each for node in tree.body if isinstance(node, ast.ClassDef) for each in node.body]


def _get_text(statement: ast.stmt) -> str:
    if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
        return str(statement.value.value)
    return ""


def _get_settings() -> list[tuple[str, Any]]:
    return list(bi.Settings.__annotations__.items())


def _show_annotation(annotation: Any) -> str:
    if annotation is inspect.Signature.empty:
        return "None"
    text = getattr(annotation, "__forward_arg__", annotation)
    return text if isinstance(text, str) else getattr(text, "__name__", str(text))


def _first_sentence(documented: Any) -> str:
    return _one_line((inspect.cleandoc(documented.__doc__ or "")).partition("\n\n")[0])


def _one_line(text: str) -> str:
    return escape_cell(" ".join(text.split()))


def escape_cell(text: str) -> str:
    """Text for a cell of a table."""
    return text.replace("|", "\\|")
