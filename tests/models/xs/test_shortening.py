"""XS reads prompts without the punctuation of JSON: what goes, and that everything still points to the same words."""

import json

from transformers import AutoTokenizer

from ecellm.models.minilm import minilm_folder
from ecellm.models.xs.examples import EncodedExample, encode_example
from ecellm.models.xs.shortening import without_punctuation
from ecellm.prompts import Prompt, named_template, render
from ecellm.tasks import TASKS
from ecellm.types import Example, Question

TOKENIZER = AutoTokenizer.from_pretrained(minilm_folder())


def encoded(task: str, text: str, output: str, options: str | None = None) -> tuple[Prompt, EncodedExample]:
    row = Question(Example("1", task, "IND", "train", text, options, output), TASKS[task].instructions[0])
    prompt = render(row, named_template("compact"), TOKENIZER, 300)
    example = encode_example(row, prompt, TOKENIZER, 40)
    return prompt, without_punctuation(example, prompt, TOKENIZER)


def test_quotes_braces_and_colons_go_and_the_texts_stay() -> None:
    record = {"title": "mug (blue): 'big'", "manufacturer": "acme", "price": "5.0"}
    text = json.dumps({"product 1": record, "product 2": {"title": "cup"}})
    _, example = encoded("PM", text, "no")
    assert TOKENIZER.decode(example.ids).endswith(
        "product 1 title mug ( blue ) : ' big ', manufacturer acme, price 5. 0, product 2 title cup [SEP]"
    )


def test_each_token_knows_its_place_in_the_prompt() -> None:
    prompt, example = encoded("PSI", json.dumps({"query": 'a "blue" mug', "product": "Mug: blue"}), "yes")
    assert [prompt.ids[place] for place in example.places] == example.ids
    assert len(example.ids) < len(prompt.ids)


def test_options_begin_with_their_letters() -> None:
    _, example = encoded("SR", repr(["1st: blue mug."]), "B", repr(["A: red pot.", "B: red mug lid.", "C: hat."]))
    texts = [TOKENIZER.decode(example.ids[start:end]).rstrip(" ,") for start, end in example.options]
    assert [text[:2] for text in texts] == ["a ", "b ", "c "]
    assert texts[1] == "b red mug lid."


def test_values_are_found_where_they_stand() -> None:
    product = {"product title": "dark blue mug", "product feature": "it is: dark blue", "target attributes": "Color"}
    values = [{"attribute": "color", "value": "dark blue", "source": name} for name in list(product)[:2]]
    _, example = encoded("AVE", json.dumps(product), json.dumps(values))
    assert [TOKENIZER.decode(example.ids[start:end]) for start, end in example.values[0]] == ["dark blue"] * 2
    assert [TOKENIZER.decode(example.ids[start:end]) for start, end in example.attributes] == ["color"]
    assert [TOKENIZER.decode(example.ids[start:end]) for start, end in example.fields] == [
        "dark blue mug",
        "it is : dark blue",
    ]
