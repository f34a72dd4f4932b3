"""Pictures on a page: inline SVG that is whole, has its own ids, and takes the page's colour."""

import re
import xml.etree.ElementTree as ElementTree
from typing import Any

import pytest
from jinja2 import UndefinedError

from ecellm.reports.pages import render
from ecellm.reports.pages.charts import INK, bars_height, picture


def paint(axes: Any) -> None:
    axes.errorbar([0.2, 0.4], [1, 2], xerr=[[0.1, 0.1], [0.1, 0.1]], fmt="o", color=INK, label="a < b")
    axes.legend()


def svg(markup: str) -> ElementTree.Element:
    return ElementTree.fromstring(re.sub(r"^<figure[^>]*>|</figure>$", "", markup))


def test_a_picture_is_well_formed_and_says_what_it_shows() -> None:
    drawn = str(picture('Two "points"', bars_height(2), paint))
    assert drawn.startswith('<figure class="whole" role="img" aria-label="Two &#34;points&#34;"><svg')
    assert svg(drawn).tag.endswith("svg")
    assert "<style" not in drawn and "<metadata" not in drawn and "<script" not in drawn


def test_its_ink_is_the_pages_and_equal_pictures_are_equal() -> None:
    drawn = str(picture("x", 2.0, paint))
    assert INK not in drawn and drawn.count("currentColor") > 5
    assert drawn == str(picture("x", 2.0, paint))


def test_ids_are_used_and_no_two_pictures_share_one() -> None:
    def other(axes: Any) -> None:
        axes.plot([1, 2], [3, 9], "o-")

    found = []
    for drawn in (str(picture("x", 2.0, paint)), str(picture("y", 2.0, other))):
        ids = set(re.findall(r' id="([^"]+)"', drawn))
        used = {name for pair in re.findall(r'url\(#([^)]+)\)|href="#([^"]+)"', drawn) for name in pair if name}
        assert ids == used and ids
        found.append(ids)
    assert not found[0] & found[1]


def test_a_page_without_a_value_that_it_shows_is_an_error() -> None:
    with pytest.raises(UndefinedError, match="manifest"):
        render("ecellm.reports", "data_card.html.j2", name="<b>", total=1, tasks=[])
