"""Two software catalogues that name the same products differently, as the Leipzig CSVs write them."""

from dataclasses import dataclass, replace

from ecellm.data.simulator.files import Files
from ecellm.data.simulator.random_draws import RandomDraws, identifiers
from ecellm.data.simulator.vocabulary import synonyms, words

FOLDER = "amazon_google"
ENCODING = "latin-1"
FEED = "http://www.google.com/base/feeds/snippets/"
#: Of a whole shard: products of both catalogues, of Amazon alone, of Google alone.
BOTH, AMAZON_ONLY, GOOGLE_ONLY = 780, 250, 900
#: How often a matched product stands twice in Google, and how often a sibling (another edition) does.
TWICE, SIBLING = 0.05, 0.3
#: Share of Amazon's prices that are whole numbers, written without a decimal point, beside those of nothing.
WHOLE = 0.03
ROOM = 10_000
Row = tuple[str, str, str | None, str | None, float | None]


@dataclass(frozen=True)
class Software:
    """One product; the texts are entries of the word file, with their synonyms."""

    kind: dict[str, str]
    publisher: str
    front: str
    word: str
    back: str
    version: str
    edition: str
    platform: str
    medium: str
    license: str
    price: float


class Voice:
    """How a catalogue speaks: how often it says the first synonym."""

    def __init__(self, draw: RandomDraws, plain: float):
        self.draw = draw
        self.plain = plain

    def say(self, entry: str) -> str:
        """Return one of an entry's synonyms."""
        found = synonyms(entry)
        return found[0] if self.draw.chance(self.plain) else found[-1]


def write(files: Files, shard: int, size: float, draw: RandomDraws, odd: RandomDraws) -> int:
    """Append a shard of both catalogues and of their mapping; return the number of rows. `odd` draws whole prices."""
    amazon: list[Row] = []
    google: list[Row] = []
    mapping: list[tuple[str, str]] = []
    asins = identifiers("b000", 2 * 10**5 + shard * ROOM, ROOM, 6)
    feeds = [f"{FEED}{18_000_000_000_000_000_000 + (shard * ROOM + place) * 7_919:020d}" for place in range(ROOM)]
    for _ in range(max(1, round(BOTH * size))):
        product = _software(draw)
        asin = asins[len(amazon)].lower()
        amazon.append(_amazon(asin, product, draw))
        for _ in range(1 + draw.chance(TWICE)):
            mapping.append((asin, feeds[len(google)]))
            google.append(_google(feeds[len(google)], product, draw))
        if draw.chance(SIBLING):
            google.append(_google(feeds[len(google)], _sibling(product, draw), draw))
    for _ in range(round(AMAZON_ONLY * size)):
        amazon.append(_amazon(asins[len(amazon)].lower(), _software(draw), draw))
    for _ in range(round(GOOGLE_ONLY * size)):
        google.append(_google(feeds[len(google)], _software(draw), draw))
    google = draw.some(google, len(google))
    amazon = [(*row[:4], _whole(row[4], odd)) for row in amazon]
    files.table(f"{FOLDER}/Amazon.csv", amazon, ("id", "title", "description", "manufacturer", "price"), ENCODING)
    files.table(
        f"{FOLDER}/GoogleProducts.csv", google, ("id", "name", "description", "manufacturer", "price"), ENCODING
    )
    files.table(f"{FOLDER}/Amzon_GoogleProducts_perfectMapping.csv", mapping, ("idAmazon", "idGoogleBase"), ENCODING)
    return len(amazon) + len(google)


def _software(draw: RandomDraws) -> Software:
    data = words("software")
    kind = draw.early(data["kinds"], skew=3.5)
    version = draw.pick(("2006", "2007", "2008", "3.0", "4.5", "5.0", "6.0", "7.5", "10", "12.0"))
    return Software(
        kind=kind,
        publisher=draw.early(data["publishers"]),
        front=draw.early(data["fronts"]),
        word=kind["words"],
        back=draw.early(data["backs"]),
        version=version,
        edition=draw.pick(data["editions"]),
        platform=draw.early(data["platforms"]),
        medium=draw.pick(data["media"]),
        license=draw.early(data["licenses"]),
        price=round(9.99 + 90 * draw.number() ** 2, 2),
    )


def _sibling(product: Software, draw: RandomDraws) -> Software:
    """Return a product of the same name that is not the same: another edition, version or license."""
    data = words("software")
    if draw.chance(0.5):
        others = [edition for edition in data["editions"] if edition != product.edition]
        return replace(product, edition=draw.pick(others), price=round(product.price * 1.6, 2))
    others = [license for license in data["licenses"] if license != product.license]
    return replace(product, license=draw.pick(others), version=f"{draw.below(8) + 13}.0")


def _amazon(asin: str, product: Software, draw: RandomDraws) -> Row:
    voice = Voice(draw, 0.85)
    first = synonyms(product.word)[0]
    name = f"{product.front} {first} {product.back}"
    parts = [
        *([synonyms(product.publisher)[0]] if draw.chance(0.3) else []),
        name,
        *([product.version] if draw.chance(0.7) else []),
        *([voice.say(product.edition)] if draw.chance(0.5) else []),
        *([f"({voice.say(product.platform)})"] if draw.chance(0.35) else []),
        *([f"[{voice.say(product.medium)}]"] if draw.chance(0.3) else []),
        *([voice.say(product.license)] if draw.chance(0.3) else []),
    ]
    text = None if draw.chance(0.2) else _description(product, name, voice)
    maker = None if draw.chance(0.03) else synonyms(product.publisher)[0]
    price = 0.0 if draw.chance(0.12) else product.price
    return asin, " ".join(parts), text, maker, price


def _whole(price: float | None, odd: RandomDraws) -> float | None:
    return float(round(price)) if price and odd.chance(WHOLE) else price


def _google(feed: str, product: Software, draw: RandomDraws) -> Row:
    """Return a product as Google's feed has it: reworded, shortened, in another order, often without maker."""
    voice = Voice(draw, 0.3)
    name = _renamed(product, draw)
    parts = [name]
    for entry, share in ((product.kind["names"], 0.3), (product.edition, 0.5), (product.license, 0.3)):
        if draw.chance(share):
            parts.append(voice.say(entry))
    if draw.chance(0.4):
        parts.append(product.version if draw.chance(0.5) else _short(product.version))
    if draw.chance(0.3):
        parts.append(voice.say(product.publisher))
    if draw.chance(0.4):
        parts.append(voice.say(product.platform))
    if draw.chance(0.35):
        parts = draw.some(parts, len(parts))
    text = None if draw.chance(0.42) else _description(product, name, voice)
    maker = voice.say(product.publisher) if draw.chance(0.15) else None
    return feed, " ".join(parts), text, maker, round(product.price * (0.8 + 0.35 * draw.number()), 2)


def _short(version: str) -> str:
    """Return a version as busy sellers write it: 2007 is 07, 5.0 is v5."""
    return version[2:] if version.startswith("20") else f"v{version.removesuffix('.0')}"


def _renamed(product: Software, draw: RandomDraws) -> str:
    """Return the name as the other catalogue writes it: kept, run together, shortened, turned, or initials."""
    first, second = synonyms(product.word)
    way = draw.below(10)
    if way < 1:
        return f"{product.front} {first} {product.back}"
    if way < 2:
        return f"{product.front}{first} {product.back[:4]}"
    if way < 3:
        return f"{second} {product.back}"
    if way < 4:
        return f"{product.back} for {second}, {product.front}"
    letters = product.front[0] + first[0] + product.back[0]
    return f"{letters}{_short(product.version)}" if way < 7 else f"{letters}-{product.version} {second}"


def _description(product: Software, name: str, voice: Voice) -> str:
    data = words("software")
    kind, does = voice.say(product.kind["names"]), voice.say(product.kind["does"])
    opening = voice.draw.pick(data["openings"]).format(kind=kind, does=does, name=name)
    extras = voice.draw.some(data["extras"], 2 + voice.draw.below(2))
    end = f"for {voice.say(product.platform)}, {voice.say(product.license)}." if voice.draw.chance(0.4) else ""
    return " ".join([opening, *extras, end]).strip()
