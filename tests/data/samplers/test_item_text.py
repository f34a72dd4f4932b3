"""How SR shows a product: the published rows' rules, held against Beautiful Soup."""

import re
import warnings

import pytest
from bs4 import BeautifulSoup
from hypothesis import example, given
from hypothesis import strategies as st

from ecellm.data.samplers.item_text import PART_END, cleaned_part, shown_item, text_of


@pytest.mark.parametrize(
    ("title", "categories", "brand", "shown"),
    [
        ("Wii Remote", ("Video Games", "Wii"), "Nintendo", "Wii Remote. Video Games. Wii. Nintendo."),
        ("Wii Remote", ("Video Games",), "", "Wii Remote. Video Games."),
        ("Mug  with lid ", ("Home", "Kitchen"), "Acme ", "Mug  with lid . Home. Kitchen. Acme ."),
        ("Mug", (), "Acme", "Mug.  Acme."),
        ("", ("Home", ""), "Acme", "Home. Acme."),
        ("", (), "", ""),
        ("..Mug...", (".Home.", ""), "Acme.", "Mug. Home. Acme."),
        ("&quot;Easy&quot; Pok&eacute;mon", ("Toys &amp; Games",), "", '"Easy" Pokémon. Toys & Games.'),
        ('A <b>"big"</b>\n game\r\n', (), "", "A big game."),
        ("Tom & Jerry, R&D Lab", (), "AT&T Inc", "Tom & Jerry, R&D Lab.  AT&T Inc."),
        ("x" * 2000, ("Home",), "y" * 1999, "Home. " + "y" * 1999 + "."),
        ('"', (), "", "."),
    ],
)
def test_a_product_is_shown_as_in_the_published_rows(
    title: str, categories: tuple[str, ...], brand: str, shown: str
) -> None:
    path = (*categories, "", "")[:2]
    assert shown_item(PART_END.join((title, *path, brand))) == shown


@pytest.mark.parametrize(
    ("title", "shown"),
    [
        ("w " * 24 + "w", "w " * 24 + "w."),
        ("w " * 25 + "w", "w " * 24 + "w..."),
        ("w " * 24 + "w. w", "w " * 24 + "w..."),
    ],
)
def test_a_text_of_more_than_25_words_is_cut_and_loses_full_stops_at_both_ends(title: str, shown: str) -> None:
    assert shown_item(PART_END.join((title, "", "", ""))) == shown


def test_spaces_that_stand_together_count_as_words() -> None:
    shown = shown_item(PART_END.join(("a" + " " * 30 + "b", "", "", "")))
    assert shown == "a" + " " * 24 + "..."


ENTITIES = ("&amp;", "&quot;", "&eacute", "&#39;", "&#x27;", "&#150;", "&nosuch;", "&", ";", "#", "amp;")
TAGS = ("<b>", "</b>", "<br/>", "<", ">", "<!-- no -->", "<script>x</script>", "=")
PIECES = (*ENTITIES, *TAGS, "a", "é", " ", ".")


@given(st.lists(st.sampled_from(PIECES)).map("".join) | st.text())
@example("Barnes &amp; Noble")
@example("AT&T &amp;quot; <span class=a")
def test_text_is_read_as_beautiful_soup_reads_it(html: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = BeautifulSoup(html, "html.parser").get_text()
    assert text_of(html) == expected


@given(st.text(max_size=60))
def test_a_part_ends_with_one_full_stop_and_begins_with_none(text: str) -> None:
    cleaned = cleaned_part(text)
    assert cleaned == "" if not text else re.fullmatch(r"([^.].*)?\.", cleaned, re.DOTALL)
