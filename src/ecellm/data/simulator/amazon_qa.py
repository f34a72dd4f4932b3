"""Questions about a shelf's products as AmazonQA writes them, answerable from review snippets or not."""

from typing import TypedDict

from ecellm.data.simulator import products, reviews
from ecellm.data.simulator.department import Stock
from ecellm.data.simulator.files import Files
from ecellm.data.simulator.random_draws import RandomDraws
from ecellm.data.simulator.vocabulary import words

FOLDER = "productQA"
SPLITS, SHARES = ("train", "val", "test"), (0.74, 0.87, 1.0)
#: Questions on a whole shelf, by category; others get `FEWER`.
MANY, FEWER = {"Electronics": 2_200, "Home_and_Kitchen": 2_200, "Cell_Phones_and_Accessories": 3_200}, 1_200
YESNO = 0.35
#: Shoppers write about some things more than about others: how often a question is answerable, by attribute.
OFTEN, SELDOM = 0.74, 0.26
#: How often a snippet touches on the question without answering it.
TOUCHED_UNANSWERED, TOUCHED_ANSWERED = 0.6, 0.1
#: How often the snippet that answers is too vague for the crowd that judged it, or the other way round.
MISJUDGED = 0.03
#: How often no shopper found any answer to an answerable open question helpful.
NO_VOTES = 0.1


class Reply(TypedDict):
    """A shopper's answer to a question."""

    answerText: str
    answerType: str
    """Y, N or ? of a yes-no question; NA."""
    helpful: list[int]
    """Helpful votes, and all votes."""


class AskedQuestion(TypedDict):
    """A question as a line of AmazonQA, but for its number."""

    asin: str
    category: str
    questionText: str
    questionType: str
    review_snippets: list[str]
    answers: list[Reply]
    is_answerable: int


def write(files: Files, shelf: Stock, size: float, draw: RandomDraws, votes: RandomDraws, first: bool) -> int:
    """Append questions about a shelf's products, each product in one split; return how many were written.

    `votes` draws the questions whose answers have no helpful vote.
    """
    count = max(1, round(MANY.get(shelf.department.name, FEWER) * size))
    rows: dict[str, list[dict[str, object]]] = {split: [] for split in SPLITS}
    splits = [draw.by_weight(SPLITS, SHARES) for _ in shelf.products]
    for number in range(count):
        place = draw.below(len(shelf.products))
        rows[splits[place]].append({**_voted(_question(shelf, place, draw), votes), "qid": number})
    for split in SPLITS:
        files.objects(f"{FOLDER}/{split}-qar.jsonl", rows[split])
    if first:
        files.lines(f"{FOLDER}/train-qar.jsonl", ['{"asin": "B0'])
    return count


def _question(shelf: Stock, place: int, draw: RandomDraws) -> AskedQuestion:
    product = shelf.products[place]
    topic = draw.below(len(product.values))
    attribute = product.type.attributes[topic]
    likely = OFTEN if len(attribute.name) % 2 else SELDOM
    answerable = draw.chance(likely)
    yesno = draw.chance(YESNO)
    supposed = product.values[topic] if draw.chance(0.5) else draw.below(len(attribute.values))
    if yesno:
        template = attribute.whether.replace("{v}", products.surface(attribute, supposed, draw))
    else:
        template = draw.pick(attribute.asks)
    kind = "yesno" if yesno else "descriptive"
    judged = answerable if not draw.chance(MISJUDGED) else not answerable
    return {
        "asin": shelf.ids[place],
        "category": shelf.department.name,
        "questionText": _worded(template, shelf, place, draw),
        "questionType": kind,
        "review_snippets": _snippets(shelf, place, topic, answerable, draw) if draw.chance(0.995) else [],
        "answers": _answers(shelf, place, topic, supposed, kind, judged, draw),
        "is_answerable": int(judged),
    }


def _voted(question: AskedQuestion, votes: RandomDraws) -> AskedQuestion:
    """Return the question, of some answerable open ones with answers that nobody found helpful."""
    is_open = question["is_answerable"] and question["questionType"] == "descriptive"
    if not (is_open and votes.chance(NO_VOTES)):
        return question
    return {**question, "answers": [{**answer, "helpful": [0, votes.below(3)]} for answer in question["answers"]]}


def _worded(template: str, shelf: Stock, place: int, draw: RandomDraws) -> str:
    """Return a question's text: the product is named so that few questions read alike."""
    product = shelf.products[place]
    language = words("language")
    parts = (product.maker.name, product.series, product.code)
    named = " ".join([*draw.some(parts, 1 + draw.below(2)), products.noun(product.type, draw)])
    extra = {"who": draw.pick(language["who"]), "where": draw.pick(language["where"]), "brand": product.maker.name}
    opening = draw.pick(language["questions"]["openings"]).format(**extra)
    closing = draw.pick(language["questions"]["closings"]).format(**extra)
    return f"{opening}{template.format(noun=named)}?{closing}"


def _snippets(shelf: Stock, place: int, topic: int, answerable: bool, draw: RandomDraws) -> list[str]:
    """Return 5 to 8 snippets; one or two state the attribute in question if the question is answerable."""
    language = words("language")["questions"]
    product = shelf.products[place]
    stated = [topic] * (1 + draw.chance(0.3)) if answerable else []
    stated += draw.some([spot for spot in range(len(product.values)) if spot != topic], 1 + draw.below(3))
    found = [_stated(shelf, place, spot, draw) for spot in stated]
    if draw.chance(TOUCHED_ANSWERED if answerable else TOUCHED_UNANSWERED):
        found.append(draw.pick(language["missed"]).format(topic=product.type.attributes[topic].name.lower()))
    if draw.chance(0.3):
        other = draw.pick(product.type.attributes)
        found.append(draw.pick(language["missed"]).format(topic=other.name.lower()))
    while len(found) < 5 + len(stated) // 2:
        found.append(reviews.opinion(products.noun(product.type, draw), shelf.department, draw).lower())
    return draw.some(found, len(found))


def _stated(shelf: Stock, place: int, spot: int, draw: RandomDraws) -> str:
    product = shelf.products[place]
    template = draw.pick(words("language")["questions"]["stated"])
    return template.format(says=products.says(product, spot, draw), noun=products.noun(product.type, draw))


def _answers(
    shelf: Stock, place: int, topic: int, supposed: int, kind: str, answerable: bool, draw: RandomDraws
) -> list[Reply]:
    """Return one to three answers with helpful votes; where the snippets answer, the most helpful one does."""
    language = words("language")["questions"]
    product = shelf.products[place]
    unsure = draw.pick(language["unsure"])
    if not answerable:
        return [_answer(unsure, "?" if kind == "yesno" else "NA", draw.below(2))]
    agrees = product.values[topic] == supposed
    templates = language["answers"] if kind == "descriptive" else language["yes" if agrees else "no"]
    best = draw.pick(templates).format(
        says=products.says(product, topic, draw), noun=products.noun(product.type, draw)
    )
    votes = 2 + draw.below(9)
    verdict = ("Y" if agrees else "N") if kind == "yesno" else "NA"
    found = [_answer(best, verdict, votes)]
    if draw.chance(0.4):
        found.append(_answer(unsure, "?" if kind == "yesno" else "NA", draw.below(votes)))
    return draw.some(found, len(found))


def _answer(text: str, kind: str, votes: int) -> Reply:
    return {"answerText": text, "answerType": kind, "helpful": [votes, votes + (votes > 3)]}
