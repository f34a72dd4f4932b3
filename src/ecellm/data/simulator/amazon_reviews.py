"""The shop's shelves as Amazon Review 2018 writes them: reviews, metadata, ratings; with its dirt.

Of 2014's metadata there is as much as fills gaps of 2018's: a few products.
"""

import json
from datetime import UTC, datetime
from functools import cache
from html import escape, unescape

import numpy as np

from ecellm.data.simulator import products, reviews
from ecellm.data.simulator.department import CASUAL, LOYAL, ROOM, Stock, purchases, relations
from ecellm.data.simulator.files import Files
from ecellm.data.simulator.products import Product
from ecellm.data.simulator.random_draws import RandomDraws, identifiers

FOLDER, FOLDER_2014 = "amazon_review_2018", "amazon_review_2014"
MARKUP = '<span class="a-size-medium a-color-secondary"'
TABLE = ' class="a-bordered a-horizontal-stripes  a-spacing-none a-size-base comparison_table">\n\n'
#: Shares of dirt, about as in the real files.
MARKUP_TITLES, REPEATED_PAGES, REPEATED_REVIEWS = 0.01, 0.01, 0.005
NO_BRAND, NO_PRICE, NO_DESCRIPTION, NO_SIMILAR = 0.04, 0.35, 0.12, 0.25
NO_TITLE, ODD_TITLES, ODD_ENDS = 0.01, 0.03, 0.02
#: Shares of products that 2014's metadata has: of those without a brand in 2018's, and of all others with a title.
BRAND_OF_2014, OTHERS_OF_2014 = 0.5, 0.01
#: So many products of a category it has in any case, however small the shop.
LEAST_OF_2014 = 16
#: Forms of odd titles: with entities, with a space at an end, or with two spaces for the first one.
ODD_FORMS = ("{} &amp; Case", "{}, 12&quot;", "{} (Caf&eacute;)", "{} ", " {}", "  ")
#: What a few review texts end in.
ENDS = (" ", "\n", "  ", " \n\n")
COLORS = ("Black", "White", "Blue", "Red", "Gray", "Silver")
assert LOYAL + CASUAL < ROOM


def write_pages(files: Files, shelf: Stock, draw: RandomDraws, odd: RandomDraws, first: bool) -> None:
    """Append a shelf's metadata; the first shelf of a category brings one line that is cut short, in both years.

    `odd` draws the gaps and odd titles, and which products stand in 2014's metadata.
    """
    lines: list[str] = []
    old: list[str] = []
    for place in range(len(shelf.ids)):
        page = _page(shelf, place, draw)
        title = str(page["title"])
        page["title"] = _odd_title(title, odd)
        lines.append(json.dumps(page))
        if draw.chance(REPEATED_PAGES):
            lines.append(json.dumps(page if draw.chance(0.5) else {**page, "title": MARKUP}))
        fills = not page["title"] or (not page["brand"] and odd.chance(BRAND_OF_2014))
        if fills or odd.chance(OTHERS_OF_2014) or (first and place < LEAST_OF_2014):
            old.append(_page_of_2014(shelf, place, title))
    if first:
        lines.append(lines[0][: len(lines[0]) // 2])
        old.append(old[0][: len(old[0]) // 2])
    name = shelf.department.name
    files.lines(f"{FOLDER}/meta/all_category/meta_{name}.json.gz", lines)
    files.lines(f"{FOLDER_2014}/meta_{name}.json.gz", old)


def _odd_title(title: str, odd: RandomDraws) -> str:
    """Return the title, of a few products in an odd form or none."""
    turn = odd.number()
    if title == MARKUP or turn >= NO_TITLE + ODD_TITLES:
        return title
    if turn < NO_TITLE:
        return ""
    form = odd.pick(ODD_FORMS)
    return form.format(title) if "{}" in form else title.replace(" ", form, 1)


def _page_of_2014(shelf: Stock, place: int, title: str) -> str:
    """Return a product's line in 2014's metadata, a Python literal; markup was no title then."""
    product = shelf.products[place]
    named = {} if title == MARKUP else {"title": unescape(title)}
    path = [shelf.department.shown, product.type.family, products.shown(product.type.names[0])]
    page = {"asin": shelf.ids[place], **named, "price": product.price, "imUrl": "", "brand": product.maker.name}
    return repr({**page, "categories": [path]})


def _page(shelf: Stock, place: int, draw: RandomDraws) -> dict[str, object]:
    product, links = shelf.products[place], relations(shelf, place, draw)
    department = shelf.department
    shown = draw.some(range(len(product.values)), 4)
    about = [] if draw.chance(NO_DESCRIPTION) else [escape(products.description(product, draw, shown[:2]).text), ""]
    bullets = [products.feature(product, draw, spot).text for spot in shown[2:]]
    path = [department.shown, product.type.family, products.shown(product.type.names[0])]
    return {
        "category": [escape(step) for step in path],
        "tech1": "",
        "description": about,
        "fit": "",
        "title": MARKUP if draw.chance(MARKUP_TITLES) else escape(_title(product, draw)),
        "also_buy": [shelf.ids[other] for other in links.also_buy],
        "tech2": "",
        "brand": "" if draw.chance(NO_BRAND) else product.maker.name,
        "feature": bullets,
        "rank": f"{draw.below(900_000) + 100:,} in {escape(department.shown)} (",
        "also_view": [shelf.ids[other] for other in links.also_view],
        "details": {"\n    Item Weight: \n    ": f"{draw.below(90) + 4} ounces", "ASIN: ": shelf.ids[place]},
        "main_cat": escape(department.shown),
        "similar_item": _similar(shelf, links.similar, draw),
        "date": "",
        "price": "" if draw.chance(NO_PRICE) else f"${product.price:.2f}",
        "asin": shelf.ids[place],
        "imageURL": [],
        "imageURLHighRes": [],
    }


def _title(product: Product, draw: RandomDraws) -> str:
    text = products.title(product, draw).text
    return f"{text} & More" if draw.chance(0.02) else text


def _similar(shelf: Stock, places: list[int], draw: RandomDraws) -> str:
    """Return the comparison table of a page as markup, empty on some pages."""
    if not places or draw.chance(NO_SIMILAR):
        return ""
    cells = [f'<td><a class="a-link-normal" href="/dp/{shelf.ids[place]}/ref=psdc">See</a></td>' for place in places]
    return TABLE + "<tr>" + "\n".join(cells) + "</tr>\n"


def write_purchases(
    files: Files, shelf: Stock, number: int, size: float, rng: np.random.Generator, odd: RandomDraws, first: bool
) -> int:
    """Append a shelf's reviews and ratings, ordered by product, and return how many were written. `odd` draws what
    review texts end in."""
    bought = purchases(shelf, size, rng)
    meant, given = reviews.stars(shelf, bought, rng)
    users = identifiers("A", number * ROOM, int(bought.user.max()) + 1, 12)
    order = np.lexsort((bought.user, bought.time, bought.item))
    rows = np.stack([bought.item, bought.user, meant, given, bought.time])[:, order].T.tolist()
    draw = RandomDraws(rng)
    lines: list[str] = []
    ratings: list[str] = []
    for item, user, felt, stars, time in rows:
        end = odd.pick(ENDS) if odd.chance(ODD_ENDS) else ""
        line = _review(shelf, item, users[user], felt, stars, time, end, draw)
        again = 2 if draw.chance(REPEATED_REVIEWS) else 1
        lines += [line] * again
        ratings += [f"{shelf.ids[item]},{users[user]},{stars}.0,{time}"] * again
    written = len(lines)
    if first:
        lines.append(lines[-1][: len(lines[-1]) // 2])
        ratings.append(ratings[-1][: len(ratings[-1]) // 2])
    name = shelf.department.name
    files.lines(f"{FOLDER}/review/all_category/{name}.json.gz", lines)
    files.lines(f"{FOLDER}/rating/all_category/{name}.csv", ratings)
    return written


def _review(shelf: Stock, item: int, user: str, felt: int, stars: int, time: int, end: str, draw: RandomDraws) -> str:
    """Return a review's line, its text with `end` behind it. It is put together by hand: a million of them are wanted
    in a minute."""
    vote = f'"vote": "{2 + draw.below(20)}", ' if draw.chance(0.1) else ""
    style = f'"style": {{"Color:": " {draw.pick(COLORS)}"}}, ' if draw.chance(0.3) else ""
    body = "" if draw.chance(0.002) else json.dumps(reviews.text(shelf, item, felt, draw) + end)
    text = f'"reviewText": {body}, ' if body else ""
    return (
        f'{{"overall": {stars}.0, {vote}"verified": {"true" if draw.chance(0.9) else "false"}, '
        f'"reviewTime": "{_day(time)}", "reviewerID": "{user}", "asin": "{shelf.ids[item]}", '
        f'{style}{text}"summary": {json.dumps(reviews.summary(felt, draw))}, "unixReviewTime": {time}}}'
    )


@cache
def _day(time: int) -> str:
    """Return a day as the reviews write it, such as 09 4, 2015."""
    day = datetime.fromtimestamp(time, UTC)
    return f"{day:%m} {day.day}, {day.year}"
