"""Questions about a shelf's products as AmazonQA writes them, answerable from review snippets or not."""

from typing import Any

from ecellm.sources.simulator import products, reviews
from ecellm.sources.simulator.draws import Draw
from ecellm.sources.simulator.files import Files
from ecellm.sources.simulator.shelf import Shelf
from ecellm.sources.simulator.words import words

FOLDER = "productQA"
SPLITS, SHARES = ("train", "val", "test"), (0.74, 0.87, 1.0)
#: Questions on a whole shelf, by category; others get `FEWER`.
MANY, FEWER = {"Electronics": 2_200, "Home_and_Kitchen": 2_200, "Cell_Phones_and_Accessories": 3_200}, 1_200
YESNO = 0.35
#: Shoppers write about some things more than about others: how often a question is answerable, by attribute.
OFTEN, SELDOM = 0.74, 0.26
#: How often a snippet touches on what was asked without saying it.
TOUCHED_UNANSWERED, TOUCHED_ANSWERED = 0.6, 0.1
#: How often the snippet that answers is too vague for the crowd that judged it, or the other way round.
MISJUDGED = 0.03
#: How often no shopper found any answer to an answerable open question helpful.
NO_VOTES = 0.1


def write(files: Files, shelf: Shelf, size: float, draw: Draw, votes: Draw, first: bool) -> int:
    """Append questions about a shelf's products, each product in one split; return how many were written.

    `votes` draws the questions whose answers have no helpful vote.
    """
    count = max(1, round(MANY.get(shelf.department.name, FEWER) * size))
    rows: dict[str, list[dict[str, Any]]] = {split: [] for split in SPLITS}
    splits = [draw.by_weight(SPLITS, SHARES) for _ in shelf.products]
    for number in range(count):
        place = draw.below(len(shelf.products))
        rows[splits[place]].append({**_voted(_question(shelf, place, draw), votes), "qid": number})
    for split in SPLITS:
        files.objects(f"{FOLDER}/{split}-qar.jsonl", rows[split])
    if first:
        files.lines(f"{FOLDER}/train-qar.jsonl", ['{"asin": "B0'])
    return count


def _question(shelf: Shelf, place: int, draw: Draw) -> dict[str, Any]:
    product = shelf.products[place]
    asked = draw.below(len(product.values))
    attribute = product.type.attributes[asked]
    likely = OFTEN if len(attribute.name) % 2 else SELDOM
    answerable = draw.chance(likely)
    yesno = draw.chance(YESNO)
    supposed = product.values[asked] if draw.chance(0.5) else draw.below(len(attribute.values))
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
        "review_snippets": _snippets(shelf, place, asked, answerable, draw) if draw.chance(0.995) else [],
        "answers": _answers(shelf, place, asked, supposed, kind, judged, draw),
        "is_answerable": int(judged),
    }


def _voted(question: dict[str, Any], votes: Draw) -> dict[str, Any]:
    """Return the question, of some answerable open ones with answers that nobody found helpful."""
    is_open = question["is_answerable"] and question["questionType"] == "descriptive"
    if not (is_open and votes.chance(NO_VOTES)):
        return question
    return {**question, "answers": [{**answer, "helpful": [0, votes.below(3)]} for answer in question["answers"]]}


def _worded(template: str, shelf: Shelf, place: int, draw: Draw) -> str:
    """Return a question's text: the product is named so that few questions read alike."""
    product = shelf.products[place]
    language = words("language")
    parts = (product.maker.name, product.series, product.code)
    named = " ".join([*draw.some(parts, 1 + draw.below(2)), products.noun(product.type, draw)])
    extra = {"who": draw.pick(language["who"]), "where": draw.pick(language["where"]), "brand": product.maker.name}
    opening = draw.pick(language["questions"]["openings"]).format(**extra)
    closing = draw.pick(language["questions"]["closings"]).format(**extra)
    return f"{opening}{template.format(noun=named)}?{closing}"


def _snippets(shelf: Shelf, place: int, asked: int, answerable: bool, draw: Draw) -> list[str]:
    """Return 5 to 8 snippets; one or two state the attribute asked for if the question is answerable."""
    language = words("language")["questions"]
    product = shelf.products[place]
    told = [asked] * (1 + draw.chance(0.3)) if answerable else []
    told += draw.some([spot for spot in range(len(product.values)) if spot != asked], 1 + draw.below(3))
    found = [_stated(shelf, place, spot, draw) for spot in told]
    if draw.chance(TOUCHED_ANSWERED if answerable else TOUCHED_UNANSWERED):
        found.append(draw.pick(language["missed"]).format(topic=product.type.attributes[asked].name.lower()))
    if draw.chance(0.3):
        other = draw.pick(product.type.attributes)
        found.append(draw.pick(language["missed"]).format(topic=other.name.lower()))
    while len(found) < 5 + len(told) // 2:
        found.append(reviews.opinion(products.noun(product.type, draw), shelf.department, draw).lower())
    return draw.some(found, len(found))


def _stated(shelf: Shelf, place: int, spot: int, draw: Draw) -> str:
    product = shelf.products[place]
    template = draw.pick(words("language")["questions"]["stated"])
    return template.format(says=products.says(product, spot, draw), noun=products.noun(product.type, draw))


def _answers(
    shelf: Shelf, place: int, asked: int, supposed: int, kind: str, answerable: bool, draw: Draw
) -> list[dict[str, Any]]:
    """Return one to three answers with helpful votes; where the snippets answer, the most helpful one does."""
    language = words("language")["questions"]
    product = shelf.products[place]
    unsure = draw.pick(language["unsure"])
    if not answerable:
        return [_answer(unsure, "?" if kind == "yesno" else "NA", draw.below(2))]
    agrees = product.values[asked] == supposed
    templates = language["answers"] if kind == "descriptive" else language["yes" if agrees else "no"]
    best = draw.pick(templates).format(
        says=products.says(product, asked, draw), noun=products.noun(product.type, draw)
    )
    votes = 2 + draw.below(9)
    verdict = ("Y" if agrees else "N") if kind == "yesno" else "NA"
    found = [_answer(best, verdict, votes)]
    if draw.chance(0.4):
        found.append(_answer(unsure, "?" if kind == "yesno" else "NA", draw.below(votes)))
    return draw.some(found, len(found))


def _answer(text: str, kind: str, votes: int) -> dict[str, Any]:
    return {"answerText": text, "answerType": kind, "helpful": [votes, votes + (votes > 3)]}
