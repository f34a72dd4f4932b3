"""A few questions of every task, for checks that need no dataset of the user's own."""

from collections.abc import Collection
from typing import Any

from ecellm.dataset.dataset import Asked
from ecellm.inference.own_rows import put
from ecellm.tasks import TASKS

#: Rows of natural columns by task, as `ecellm ask` takes them; short, for large models read them on a CPU.
ROWS: dict[str, list[dict[str, Any]]] = {
    "AVE": [
        {"title": "Harbour Trout Rod 210 cm, carbon, green", "attributes": ["Length", "Material", "Weight"]},
        {"title": "Enamel mug", "description": "White mug with a blue rim, holds 350 ml", "attributes": ["Capacity"]},
    ],
    "PRP": [
        {"title_1": "Tripod with ball head, 150 cm", "title_2": "Mirrorless camera, 24 megapixels"},
        {"title_1": "Cotton bath towel, grey", "title_2": "Cotton bath towel, navy"},
    ],
    "PM": [
        {"title_1": "Acorn Photo Studio 7 (DVD)", "title_2": "acorn photo studio 7.0", "price_1": "49.99"},
        {"title_1": "Typing tutor, family edition", "title_2": "Typing tutor, school edition for ten seats"},
    ],
    "SA": [
        {"text": "The lid leaks and the handle came off after a week, but it does look nice on the shelf."},
        {"text": "Best tent we ever owned. Up in five minutes, dry in a storm."},
    ],
    "SR": [
        {"history": ["Ground coffee 500 g", "Paper filters"], "options": ["Garden hose", "Milk frother"]},
        {"history": ["Puppy food", "Dog lead"], "options": ["Chew toy", "Desk lamp", "Printer ink"]},
    ],
    "MPC": [
        {"query": "usb c charger 65w", "title": "USB C cable, 2 m, braided"},
        {"query": "waterproof hiking boots women", "title": "Women's hiking boots, waterproof, brown"},
    ],
    "PSI": [
        {"query": "aa batteries 24 pack", "title": "Rechargeable AA batteries, 8 pieces, with charger"},
        {"query": "red silk scarf", "title": "Ice cube tray, silicone"},
    ],
    "QPR": [
        {"query": "usb c hub", "titles": ["Leather wallet", "USB C hub with seven ports", "USB C cable"]},
        {"query": "kids rain jacket", "titles": ["Rain jacket for children", "Rain jacket for men"]},
    ],
    "AP": [
        {"question": "Does it fit a 15 inch laptop?", "snippets": ["My 15 inch laptop fits with room to spare."]},
        {"question": "Can it go in the dishwasher?", "snippets": ["Arrived on time.", "The colour is lovely."]},
    ],
    "AG": [
        {"question": "How loud is the fan?", "snippets": ["So quiet that we sleep next to it.", "Hardly a hum."]},
        {"question": "Is it heavy?", "snippets": ["I carry it in one hand all day."]},
    ],
}  # fmt: skip


def example_questions(tasks: Collection[str] | None = None) -> list[Asked]:
    """Return the questions of the tasks (None: of all), each under its task's seed instruction, in turn of the tasks.

    A task of the user's own has none.
    """
    chosen = [task for task in ROWS if tasks is None or task in tasks]
    turns = max((len(ROWS[task]) for task in chosen), default=0)
    return [
        put(TASKS[task], ROWS[task][turn], f"{task}-{turn + 1}").asked
        for turn in range(turns)
        for task in chosen
        if turn < len(ROWS[task])
    ]
