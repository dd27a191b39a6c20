from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.output import replace_between, write_between
from pnc.errors import ConfigError


def test_text_between_markers_is_replaced_and_nothing_else(tmp_path: Path) -> None:
    page = tmp_path / "README.md"
    page.write_text("a\n<!-- t:begin -->\nold\n<!-- t:end -->\nb\n", encoding="utf-8")
    write_between(page, "t", "new\n")
    once = page.read_text(encoding="utf-8")
    assert once == "a\n<!-- t:begin -->\nnew\n<!-- t:end -->\nb\n"
    write_between(page, "t", "new")
    assert page.read_text(encoding="utf-8") == once


@pytest.mark.parametrize("page", ["", "<!-- t:begin -->", "<!-- t:end --><!-- t:begin -->"])
def test_page_without_markers_is_left_alone(page: str) -> None:
    with pytest.raises(ConfigError, match="add the two lines"):
        replace_between(page, "t", "new")


def test_missing_page_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        write_between(tmp_path / "none.md", "t", "new")
