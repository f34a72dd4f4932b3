"""How SR shows a product: title, first two categories and brand, as the published rows have them.

The rules are those of the authors' notebook (data_processing/SR.ipynb), which reads HTML by Beautiful Soup on
Python's parser; so an ampersand inside the last word of a part, as in AT&T, is lost.
"""

import re
import warnings

from bs4 import BeautifulSoup

#: Divides the raw parts of a product: title, first category, second category, brand.
PART_END = "\x1f"
#: A part is left empty from so many characters on.
MOST_CHARACTERS = 2000
MOST_WORDS = 25
#: Removed before HTML is read.
QUOTES_AND_BREAKS = re.compile(r'["\n\r]')
#: What may be more than text to an HTML parser, once plain ampersands are decoded; of blanks alone it keeps one.
MARKUP = re.compile(r"<|&[a-zA-Z#]|\A\s*\Z")
AMPERSAND = "&amp;"


def shown_item(raw: str) -> str:
    """Return the text that shows a product, of its raw parts: each cleaned and ended by a full stop, joined by spaces
    even where one is empty, and cut to 25 words."""
    title, *path, brand = raw.split(PART_END)
    categories = "".join(" " + cleaned for part in path if (cleaned := cleaned_part(part)))
    parts = (cleaned_part(title), categories, cleaned_part(brand))
    words = " ".join(part.strip() for part in parts).strip(" ").split(" ")
    if len(words) <= MOST_WORDS:
        return " ".join(words)
    return " ".join(words[:MOST_WORDS]).strip(".") + "..."


def cleaned_part(text: str) -> str:
    """Return a part without double quotes, line breaks and HTML, ended by one full stop; empty where there is none or
    it is overlong."""
    if not text or len(text) >= MOST_CHARACTERS:
        return ""
    return text_of(QUOTES_AND_BREAKS.sub("", text)).strip(".") + "."


def text_of(html: str) -> str:
    """Return the text of a piece of HTML: tags removed, entities decoded."""
    if not MARKUP.search(html.replace(AMPERSAND, "")):
        return html.replace(AMPERSAND, "&")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of texts that look like a file's name or an address
        return BeautifulSoup(html, "html.parser").get_text()
