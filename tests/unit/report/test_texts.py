"""Nothing from outside acts on the page or the shell."""

import re
import subprocess

from hypothesis import given
from hypothesis import strategies as st

from batchinfer.report.formatting import clip, clip_lines, command_line, format_rate, format_seconds
from batchinfer.report.html_page import escape_json_for_html
from batchinfer.text_format import format_count, format_duration

LOUD = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)


@given(st.text(st.characters()), st.integers(1, 50))
def test_a_line_has_no_loud_sign_and_is_no_longer_than_asked(text, most):
    line = clip(text, most)

    assert not LOUD.search(line)
    assert "\n" not in line
    assert "\t" not in line
    assert len(line) <= most


def test_signs_that_act_are_spelled_out():
    assert clip("a\x1b[31m\u202eb\udcff\n") == "a\\x1b[31m\\u202eb\\xff\\x0a"
    assert clip_lines("a\r\nb\tc\x00", 99) == "a\nb\tc\\x00"
    assert clip("x" * 2_000_000, 10) == "xxxxxxxxx…"


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1))
def test_a_command_says_to_the_shell_what_was_meant(key):
    line = command_line("show", "run", key).removeprefix("batchinfer ")
    done = subprocess.run(["bash", "-c", f"printf '%s\\0' {line}"], capture_output=True, check=True)

    assert done.stdout.decode().split("\0")[:3] == ["show", "run", key]


def test_data_cannot_end_its_block():
    assert escape_json_for_html('"</script><!--&\u2028"') == (
        '"\\u003c/script\\u003e\\u003c!--\\u0026\\u2028"'
    )


def test_numbers_for_people():
    assert [format_seconds(value) for value in (None, 0.0841, 1.236, 45.31, 723)] == [
        "–",  # noqa: RUF001
        "84 ms",
        "1.24 s",
        "45.3 s",
        "12m 03s",
    ]
    assert [format_rate(value) for value in (42, 4.2, 0.2, 0.001, 0.0001)] == [
        "42 per second",
        "4.2 per second",
        "12 per minute",
        "3.6 per hour",
        "less than 1 per hour",
    ]
    assert [format_count(1, "item"), format_count(2000, "item")] == ["1 item", "2,000 items"]
    assert [format_duration(value) for value in (45, 3900, 183_600)] == ["45s", "1h 05m", "2d 03h"]
