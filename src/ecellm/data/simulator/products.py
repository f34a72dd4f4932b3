"""Products of the simulated shop and the texts that describe them, with the places of attribute values."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from ecellm.data.simulator.random_draws import RandomDraws
from ecellm.data.simulator.vocabulary import Attribute, Brand, Department, ProductType, words

#: The three names of a type, the usual one most often.
NAME_WEIGHTS = (0.56, 0.82, 1.0)
SERIES_PER_BRAND = 4


@dataclass(slots=True)
class Product:
    """One product. `values` holds, per attribute of its type, the place of its value."""

    department: Department
    kind: int
    brand: int
    series: str
    code: str
    values: list[int]
    price: float
    """US dollars."""
    quality: float
    """0 to 1, what reviewers feel."""

    @property
    def type(self) -> ProductType:
        """The product's type."""
        return self.department.types[self.kind]

    @property
    def maker(self) -> Brand:
        """The product's brand."""
        return self.department.brands[self.brand]


class Text:
    """A text under construction that remembers where attribute values stand in it."""

    def __init__(self) -> None:
        self.text = ""
        self.spans: list[tuple[str, int, int]] = []
        """(attribute name, begin, end), counted in characters."""

    def add(self, text: str, attribute: str | None = None, gap: str = " ") -> None:
        """Append a text, after a gap unless it is the first; `attribute` marks it as that one's value."""
        if self.text:
            self.text += gap
        begin = len(self.text)
        self.text += text
        if attribute is not None:
            self.spans.append((attribute, begin, len(self.text)))


@cache
def shown(text: str) -> str:
    """Return a phrase as titles write it: words begin with capitals, small words and units stay."""
    small = {"of", "with", "for", "by", "on", "in", "to", "the"}
    return " ".join(
        word if word in small or not word.islower() else word[0].upper() + word[1:] for word in text.split()
    )


def make(department: Department, draw: RandomDraws, kind: int, brand: int | None = None) -> Product:
    """Draw a product of a type; without a brand, one is drawn, big ones more often."""
    if brand is None:
        brand = department.brands.index(draw.early(department.brands))
    maker = department.brands[brand]
    names = words("language")["series"]
    # Each brand has series of its own, which run through all types.
    series = names[(brand * SERIES_PER_BRAND + draw.below(SERIES_PER_BRAND)) % len(names)]
    return Product(
        department=department,
        kind=kind,
        brand=brand,
        series=series,
        code=f"{maker.name[:2].upper()}{draw.below(900) + 100}",
        # Common values, which come first, more often.
        values=[int(draw.number() ** 1.5 * len(each.values)) for each in department.types[kind].attributes],
        price=round((6 + 8 * (kind % 5)) * maker.level * (0.6 + draw.number()), 2),
        quality=min(1.0, max(0.0, maker.quality + 0.3 * (draw.number() - 0.5))),
    )


def variant(product: Product, draw: RandomDraws) -> Product:
    """Return the product in another finish: one or two values and the price differ, the line is the same."""
    values = list(product.values)
    for place in draw.some(range(len(values)), 1 + draw.below(2)):
        values[place] = draw.below(len(product.type.attributes[place].values))
    price = round(product.price * (0.9 + 0.2 * draw.number()), 2)
    return Product(
        product.department, product.kind, product.brand, product.series, product.code, values, price, product.quality
    )


def noun(kind: ProductType, draw: RandomDraws) -> str:
    """Return one of the type's names."""
    return draw.by_weight(kind.names, NAME_WEIGHTS)


def surface(attribute: Attribute, value: int, draw: RandomDraws) -> str:
    """Return one of a value's surfaces, the usual one in seven of eight draws."""
    surfaces = attribute.values[value]
    return surfaces[0] if draw.chance(0.75) else draw.pick(surfaces)


def title(
    product: Product,
    draw: RandomDraws,
    must: Sequence[int] = (),
    named: float = 0.85,
    phrased: Mapping[str, str] | None = None,
    called: str | None = None,
) -> Text:
    """Return a title of 5 to 14 words.

    `must` are places of attributes that it names in any case, `named` is how often it names the brand, `phrased`
    gives the words for some attributes' values, by attribute name, and `called` the type's name.
    """
    places = [place for place in range(len(product.values)) if place not in must]
    named_places = [*must, *draw.some(places, max(0, 2 + draw.below(2) - len(must)))]
    attributes = [_value(product, place, phrased or {}, draw) for place in draw.some(named_places, len(named_places))]
    brand: list[tuple[str, str | None]] = [(product.maker.name, None)] if draw.chance(named) else []
    series: list[tuple[str, str | None]] = [(product.series, None)] if draw.chance(0.7) else []
    code: list[tuple[str, str | None]] = [(product.code, None)] if draw.chance(0.3) else []
    puff: list[tuple[str, str | None]] = (
        [(shown(draw.early(words("language")["puffs"])), None)] if draw.chance(0.4) else []
    )
    name: list[tuple[str, str | None]] = [(shown(called or noun(product.type, draw)), None)]
    first, rest = attributes[:1], attributes[1:]
    layout = draw.below(4)
    if layout == 0:
        head, tail = [*brand, *series, *first, *puff, *name, *code], rest
    elif layout == 1:
        head, tail = [*brand, *code, *puff, *attributes[:2], *name], [*attributes[2:], *series]
    elif layout == 2:
        head, tail = [*first, *puff, *name, *([("by", None)] if brand else []), *brand, *series], [*rest, *code]
    else:
        head, tail = [*puff, *brand, *series, *name, *code], attributes
    made = Text()
    for text, attribute in head:
        made.add(text, attribute)
    for text, attribute in tail:
        made.add(text, attribute, gap=", ")
    return made


def _value(product: Product, place: int, phrased: Mapping[str, str], draw: RandomDraws) -> tuple[str, str | None]:
    attribute = product.type.attributes[place]
    words = phrased.get(attribute.name) or surface(attribute, product.values[place], draw)
    return shown(words), attribute.name


def description(product: Product, draw: RandomDraws, places: Sequence[int]) -> Text:
    """Return a description of 10 to 40 words that states the attributes at the given places."""
    language = words("language")
    made = Text()
    for number, place in enumerate(places):
        template = draw.pick(language["followers" if number else "openers"])
        fields = {"noun": noun(product.type, draw), "brand": product.maker.name, "series": product.series}
        add_statement(made, template, fields, product, place, draw)
    if not places or draw.chance(0.7):
        made.add(
            draw.pick(language["closers"]).format(who=draw.pick(language["who"]), where=draw.pick(language["where"]))
        )
    return made


def feature(product: Product, draw: RandomDraws, place: int) -> Text:
    """Return a bullet point that states one attribute."""
    made = Text()
    add_statement(made, draw.pick(("{says}", "This {noun} {says}", "{noun} that {says}")), {}, product, place, draw)
    return made


def add_statement(
    made: Text, template: str, fields: dict[str, str], product: Product, place: int, draw: RandomDraws
) -> None:
    """Append a sentence that states an attribute; its first letter becomes a capital."""
    attribute = product.type.attributes[place]
    value = surface(attribute, product.values[place], draw)
    fields = {"noun": noun(product.type, draw), **fields}
    before, after = template.format(says=draw.pick(attribute.says), **fields, v="{v}").split("{v}")
    made.add(before[0].upper() + before[1:])
    made.add(value, attribute.name, gap="")
    made.add(after, gap="")


def says(product: Product, place: int, draw: RandomDraws) -> str:
    """Return what is so about an attribute, to follow "it"."""
    attribute = product.type.attributes[place]
    return draw.pick(attribute.says).format(v=surface(attribute, product.values[place], draw))
