"""One message, two spellings: Python's arguments and the command line's flags."""

import pytest

import batchinfer as bi
from batchinfer.cli.output import format_error
from batchinfer.errors import (
    BatchInferError,
    ConfigError,
    ExportError,
    QueryError,
    RunAborted,
    UnknownKey,
    option,
)


@pytest.mark.parametrize(
    ("named", "in_python", "in_a_command"),
    [
        (option("include"), "`include`", "--include"),
        (option("cold_start"), "`cold_start`", "--cold-start"),
        (option("force", "True"), "`force=True`", "--force"),
        (option("validate", "False"), "`validate=False`", "--no-validate"),
        (option("run"), "`run`", "-o"),
        (option("run", "NAME"), "`run=NAME`", "-o NAME"),
        (option("params"), "`params`", "--param NAME=VALUE"),
        (option("params", "imgsz"), '`params["imgsz"]`', "--param imgsz"),
    ],
)
def test_an_option_is_an_argument_in_python_and_a_flag_in_a_command(named, in_python, in_a_command):
    error = ConfigError(f"Use {named}, or leave it out.")

    assert str(error) == f"Use {in_python}, or leave it out."
    assert format_error(error) == f"Use {in_a_command}, or leave it out."


def test_a_message_within_another_keeps_its_options():
    cause = ConfigError(f"{option('rate')}: expected a rate")
    error = RunAborted("code", f"{cause.message}. Nothing was sent.")

    assert str(error) == "`rate`: expected a rate. Nothing was sent."
    assert format_error(error) == "--rate: expected a rate. Nothing was sent."


def test_what_a_user_wrote_is_never_taken_for_an_option():
    assert format_error(ConfigError("the file `include` is empty")) == "the file `include` is empty"


@pytest.mark.parametrize("kind", [UnknownKey, QueryError, ExportError])
def test_what_was_a_configuration_error_still_is_one(kind):
    assert issubclass(kind, ConfigError)
    assert kind("x").exit_code == ConfigError.exit_code


def test_an_error_without_a_message_has_none():
    assert str(BatchInferError()) == ""


def test_python_is_told_of_arguments(tmp_path):
    with pytest.raises(ConfigError, match=r"^`timeout`: expected a duration"):
        bi.run(tmp_path, tmp_path / "run", timeout="soon")
