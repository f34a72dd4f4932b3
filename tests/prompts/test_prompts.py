"""Prompts: what fits is whole; what does not is cut in the task's order, and nothing else is touched."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from ecellm.errors import EcellmError
from ecellm.models.minilm import minilm_folder
from ecellm.prompts import (
    TEMPLATES,
    Prompt,
    Template,
    encode_response,
    even_lengths,
    named_template,
    render,
    render_all,
)
from ecellm.tasks import TASKS, pm
from ecellm.tasks.answers import option_texts
from ecellm.tasks.input_parsing import Truncation, json_pieces, option_pieces
from ecellm.tasks.task import Piece, Pieces
from ecellm.types import Example, Question
from repository import REPOSITORY

COMPACT, ALPACA = TEMPLATES["compact"], TEMPLATES["alpaca"]
WORDS = ["mug", "blue", "large", "red", "steel", "pot", "glass", "lamp", "green", "wood", "small", "soft"]
WORDS += ["wool", "scarf", "tin", "box", "cup", "and", "the", "of"]
CORPUS = [" ".join(WORDS), "Pick the best product for the shopper.", '["A: mug", "B: pot"] {"x": 1}'] * 4


def word_pieces() -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    tokenizer.train_from_iterator(CORPUS, trainers.WordPieceTrainer(vocab_size=300, special_tokens=special))
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token="[UNK]", pad_token="[PAD]", sep_token="[SEP]", cls_token="[CLS]"
    )


def byte_pairs() -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=400, special_tokens=["</s>"], initial_alphabet=alphabet)
    tokenizer.train_from_iterator(CORPUS, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="</s>")


TOKENIZERS = {
    "word pieces": word_pieces(),
    "byte pairs": byte_pairs(),
    "MiniLM": AutoTokenizer.from_pretrained(minilm_folder()),
}
each_tokenizer = pytest.mark.parametrize("tokenizer", TOKENIZERS.values(), ids=TOKENIZERS.keys())


@contextmanager
def task_with(pieces: Pieces) -> Iterator[None]:
    """Let a task of the name TEST take every sample apart into these pieces."""
    with patch.dict(TASKS, {"TEST": replace(pm.TASK, name="TEST", pieces=lambda example: pieces)}):
        yield


def sample_of(pieces: Pieces, name: str = "TEST-1") -> Example:
    options = "".join(piece.text for piece in pieces.options) or None
    text = "".join(piece.text for piece in pieces.input)
    return Example(name, "TEST", "IND", "test", text, options, "yes")


def rendered(
    pieces: Pieces,
    budget: int,
    tokenizer: PreTrainedTokenizerFast = TOKENIZERS["word pieces"],
    template: Template = COMPACT,
    instruction: str = "Pick the best product.",
    shot: Example | None = None,
) -> Prompt:
    with task_with(pieces):
        return render(Question(sample_of(pieces), instruction, shot), template, tokenizer, budget)


def text_under(prompt: Prompt, mark: str, tokenizer: PreTrainedTokenizerFast) -> list[str]:
    """Return the text that each mark of a name covers."""
    offsets = tokenizer(prompt.text, return_offsets_mapping=True)["offset_mapping"]
    return [
        prompt.text[offsets[found.start][0] : offsets[found.end - 1][1]]
        for found in prompt.marks
        if found.name == mark
    ]


def history(count: int) -> tuple[Piece, ...]:
    return tuple(Piece(f"item {place} {WORDS[place]}, ", rank=place + 1) for place in range(count))


def options_of(texts: list[str]) -> tuple[Piece, ...]:
    labelled = [f"{letter}: {text}" for letter, text in zip("ABCDEFGHIJKLMNOPQRST", texts, strict=False)]
    return option_pieces(json.dumps(labelled), rank=99)


words = st.lists(st.sampled_from(WORDS), min_size=1, max_size=30).map(" ".join)
any_text = st.text(st.sampled_from("abc dé\\\"\n'😀漢 ,.:[]{}"), max_size=40)
fixed = st.builds(Piece, any_text)
cuttable = st.builds(Piece, any_text, rank=st.integers(1, 4), how=st.sampled_from(["drop", "end"]))
mixed = st.builds(
    Pieces,
    st.lists(fixed | cuttable, min_size=1, max_size=8).map(tuple),
    st.lists(words, min_size=2, max_size=6).map(options_of),
)


@each_tokenizer
@pytest.mark.parametrize("template", TEMPLATES.values(), ids=TEMPLATES.keys())
@given(pieces=mixed)
@settings(max_examples=25)
def test_what_fits_is_whole(pieces: Pieces, template: Template, tokenizer: PreTrainedTokenizerFast) -> None:
    prompt = rendered(pieces, 10_000, tokenizer, template)
    example = sample_of(pieces)
    whole = template.prompt_input
    for place, text in (("input", example.input), ("options", example.options or "")):
        head, tail = whole.split(f"{{{place}}}")
        whole = head + text + tail
    assert prompt.text == whole.replace("{instruction}", "Pick the best product.")
    assert prompt.ids == tokenizer(prompt.text, add_special_tokens=template.special_tokens)["input_ids"]
    assert prompt.truncated == {}


@each_tokenizer
@given(pieces=mixed, share=st.floats(0, 1))
@settings(max_examples=60)
def test_what_does_not_fit_is_cut_to_the_budget_and_keeps_what_is_never_cut(
    pieces: Pieces, share: float, tokenizer: PreTrainedTokenizerFast
) -> None:
    budget = max(1, int(share * len(rendered(pieces, 10_000, tokenizer).ids)))
    try:
        prompt = rendered(pieces, budget, tokenizer)
    except EcellmError as error:  # it says what would do
        found = re.search(r"takes (\d+)", str(error))
        assert found and int(found[1]) > budget
        budget = int(found[1])
        prompt = rendered(pieces, budget, tokenizer)
    assert len(prompt.ids) <= budget
    assert prompt.ids == tokenizer(prompt.text)["input_ids"]
    assert prompt.text.startswith("Pick the best product.\n")
    rest = prompt.text
    for piece in (*pieces.input, *pieces.options):
        if piece.rank is None:
            assert piece.text in rest
            rest = rest[rest.index(piece.text) + len(piece.text) :]
    for letter in (piece.mark for piece in pieces.options if piece.mark):
        (covered,) = text_under(prompt, letter, tokenizer)
        assert letter in covered and len(covered.strip('" ')) == 1
        assert all(mark.end == mark.start + 1 for mark in prompt.marks if mark.name == letter)


@given(bodies=st.lists(words, min_size=2, max_size=20), budget=st.integers(150, 300))
@settings(max_examples=100)
def test_options_are_shortened_evenly(bodies: list[str], budget: int) -> None:
    tokenizer = TOKENIZERS["word pieces"]
    pieces = Pieces((Piece("bought a mug"),), options_of(bodies))
    prompt = rendered(pieces, budget, tokenizer)
    bodies_left = [text[3:] for text in json.loads(prompt.text.splitlines()[-1])]
    lengths = [len(tokenizer.tokenize(text)) for text in bodies]
    left = [len(tokenizer.tokenize(text)) for text in bodies_left]
    assert all(body.startswith(text) for body, text in zip(bodies, bodies_left, strict=True))
    limit = max(left)
    assert all(now == length or now in (limit, limit - 1) for now, length in zip(left, lengths, strict=True))
    assert prompt.truncated.get("tokens truncated", 0) == sum(lengths) - sum(left)
    if prompt.truncated:
        assert len(prompt.ids) == budget  # not a token more than needed


@given(lengths=st.lists(st.integers(0, 40), min_size=1, max_size=12), data=st.data())
def test_even_lengths_sum_to_the_total_and_spare_the_short(lengths: list[int], data: st.DataObject) -> None:
    total = data.draw(st.integers(0, sum(lengths)))
    kept = even_lengths(lengths, total)
    assert sum(kept) == total
    assert all(0 <= now <= length for now, length in zip(kept, lengths, strict=True))
    shortened = [now for now, length in zip(kept, lengths, strict=True) if now < length]
    if shortened:
        assert max(kept) - min(shortened) <= 1


@given(count=st.integers(2, 18), budget=st.integers(20, 120))
def test_the_oldest_history_is_dropped_first_and_no_more_than_needed(count: int, budget: int) -> None:
    items = history(count)
    prompt = rendered(Pieces((*items, Piece("what next?"))), budget)
    kept = [item for item in items if item.text in prompt.text]
    assert kept == list(items[count - len(kept) :])
    assert prompt.truncated.get("pieces dropped", 0) == count - len(kept)
    if len(kept) < count:
        one_more = len(TOKENIZERS["word pieces"].tokenize(items[count - len(kept) - 1].text))
        assert len(prompt.ids) + one_more > budget


def test_of_equal_rank_the_last_piece_is_dropped_first() -> None:
    snippets = tuple(Piece(f", {word} {word}", rank=1) for word in WORDS[:6])
    prompt = rendered(Pieces((Piece("question"), *snippets)), 18)
    kept = [snippet for snippet in snippets if snippet.text in prompt.text]
    assert 0 < len(kept) < 6 and kept == list(snippets[: len(kept)])


def test_a_lower_rank_goes_before_a_higher_one_is_touched() -> None:
    first, second = Piece("mug pot lamp tin", rank=1, how="end"), Piece("glass wood wool", rank=2, how="end")
    pieces = Pieces((first, Piece(": "), second))
    whole = len(rendered(pieces, 1000).ids)
    left = {less: rendered(pieces, whole - less).text.splitlines()[1] for less in (2, 4, 5)}
    assert left == {2: "mug pot: glass wood wool", 4: ": glass wood wool", 5: ": glass wood"}


@each_tokenizer
@given(value=st.text(st.sampled_from('aé"\\\n😀漢 x'), min_size=10, max_size=60), share=st.floats(0.05, 0.95))
@settings(max_examples=60)
def test_an_escape_is_never_cut_in_two(value: str, share: float, tokenizer: PreTrainedTokenizerFast) -> None:
    pieces = Pieces(json_pieces(json.dumps({"title": value}), lambda path, text: Truncation(rank=1, mark="title")))
    whole = len(rendered(pieces, 10_000, tokenizer).ids)
    bare = len(rendered(Pieces((Piece('{"title": ""}'),)), 10_000, tokenizer).ids)
    prompt = rendered(pieces, bare + 2 + int((whole - bare) * share), tokenizer)
    left = json.loads(prompt.text.split("\n", 1)[1])["title"]
    assert value.startswith(left)
    left.encode("utf-8")  # raises where half a surrogate pair was left


def test_the_escapes_of_a_python_list_are_whole_too() -> None:
    text = repr(["1st: " + "\x00\u200b'\"\\ " * 8])
    pieces = Pieces((Piece(text[:7]), Piece(text[7:-2], rank=1, how="end"), Piece(text[-2:])))
    for budget in range(40, 120):
        left = rendered(pieces, budget, TOKENIZERS["MiniLM"]).text.split("\n", 1)[1][7:-3]
        assert re.fullmatch(r"(\\(x..|u....|.)|[^\\])*", left)


@each_tokenizer
def test_marks_cover_their_text_before_and_after_a_cut(tokenizer: PreTrainedTokenizerFast) -> None:
    title, snippet = "a large blue steel mug", "the red wool scarf " * 10
    text = json.dumps({"title": title, "document": [snippet.strip(), "soft wool"]})

    def rule(path: tuple[str | int, ...], value: str) -> Truncation | None:
        return Truncation(rank=1, mark="snippet") if path[0] == "document" else Truncation(rank=2, mark="title")

    pieces = Pieces(json_pieces(text, rule))
    whole = rendered(pieces, 1000, tokenizer)
    for prompt in (whole, rendered(pieces, len(whole.ids) - 12, tokenizer)):
        (covered,) = text_under(prompt, "title", tokenizer)
        assert covered.strip('" ,') == title
        first, second = text_under(prompt, "snippet", tokenizer)
        assert snippet.startswith(first.strip('", []')) and second.strip('", []}\n') == "soft wool"


def test_a_marked_piece_that_is_cut_away_has_no_mark() -> None:
    pieces = Pieces((Piece("keep "), Piece("mug pot", rank=1, mark="snippet")))
    bare = len(rendered(Pieces((Piece("keep "),)), 1000).ids)
    assert rendered(pieces, bare).marks == ()


def test_the_one_shot_example_stands_before_the_input_and_is_left_out_first() -> None:
    pieces = Pieces((Piece("item 1 mug, ", rank=1), Piece("what next?")), options_of(["mug", "pot"]))
    shot = replace(sample_of(pieces), input="old input", options='["A: tin", "B: box"]', output="tin it is")
    with_shot = rendered(pieces, 1000, shot=shot)
    without = rendered(pieces, 1000)
    for text in ("old input", '["A: tin", "B: box"]', "tin it is"):
        assert with_shot.text.index(text) < with_shot.text.index("item 1 mug")
    assert with_shot.truncated == {}
    assert text_under(with_shot, "A", TOKENIZERS["word pieces"]) == ["A"]
    assert with_shot.marks[0].start > without.marks[0].start  # the example's own letters are not marked
    cut = rendered(pieces, len(with_shot.ids) - 1, shot=shot)
    assert (cut.text, cut.ids, cut.marks) == (without.text, without.ids, without.marks)
    assert cut.truncated == {"worked examples dropped": 1}
    tight = rendered(pieces, len(without.ids) - 1, shot=shot)
    assert tight.truncated == {"worked examples dropped": 1, "pieces dropped": 1}


def test_what_cannot_fit_is_an_error_that_names_the_sample_and_the_tokens_needed() -> None:
    pieces = Pieces((Piece("item mug, ", rank=1), Piece("what next?")), options_of(["mug", "pot"]))
    with pytest.raises(EcellmError, match=r"TEST-1 does not fit into 8 tokens.*takes \d+; raise max_tokens"):
        rendered(pieces, 8)


def test_a_tokenizer_without_offsets_is_refused() -> None:
    class Slow:
        is_fast = False

    with pytest.raises(EcellmError, match="fast tokenizer"):
        render_all([], COMPACT, Slow(), 10)


def test_many_prompts_at_once_are_those_of_one_at_a_time() -> None:
    pieces = Pieces(history(12), options_of(["mug", "pot " * 30]))
    tokenizer = TOKENIZERS["word pieces"]
    with task_with(pieces):
        questions = [Question(sample_of(pieces, f"TEST-{n}"), "Pick " + "the " * n) for n in range(60)]
        together = render_all(questions, COMPACT, tokenizer, 140)
        assert together == [render(one, COMPACT, tokenizer, 140) for one in questions]
        assert any(prompt.truncated for prompt in together) and not all(prompt.truncated for prompt in together)


def test_a_real_task_fits_a_small_budget() -> None:
    product = {"title": "steel mug", "description": "a large mug " * 30, "manufacturer": "nan", "price": "3"}
    text = json.dumps({"product 1": product, "product 2": {**product, "description": float("nan")}})
    question = Question(Example("PM-1", "PM", "IND", "test", text, None, "yes"), pm.TASK.seed_instruction)
    prompt = render(question, ALPACA, TOKENIZERS["MiniLM"], 160)
    assert len(prompt.ids) == 160 and set(prompt.truncated) == {"tokens truncated"}
    assert "steel mug" in prompt.text and prompt.text.endswith("### Response:\n")


def test_twenty_long_options_all_keep_their_letters_and_the_newest_purchases_stay() -> None:
    item = "large blue steel mug for the kitchen, with two handles. Home. Potter's."
    bought = repr([f"{place}th: {item}" for place in range(4, 50)])
    options = repr([f"{letter}: {item} {letter}" for letter in "ABCDEFGHIJKLMNOPQRST"])
    question = Question(Example("SR-1", "SR", "IND", "test", bought, options, "T"), TASKS["SR"].seed_instruction)
    tokenizer = TOKENIZERS["MiniLM"]
    prompt = render(question, COMPACT, tokenizer, 384)
    assert len(prompt.ids) <= 384
    assert "49th" in prompt.text and "4th: " not in prompt.text.split("\n")[1][:8]
    for letter in "ABCDEFGHIJKLMNOPQRST":
        assert text_under(prompt, letter, tokenizer) == [letter]
    shown = [option[3:] for option in option_texts(prompt.text.split("\n")[2])]
    assert len(shown) == 20 and all(item.startswith(body) for body in shown)
    lengths = {len(tokenizer.tokenize(body)) for body in shown}
    assert max(lengths) - min(lengths) <= 1 and min(lengths) > 3


def test_the_response_is_tokenised_apart_and_ends() -> None:
    tokenizer = TOKENIZERS["byte pairs"]
    assert encode_response("mug", tokenizer) == [*tokenizer("mug")["input_ids"], tokenizer.eos_token_id]
    bert = TOKENIZERS["MiniLM"]
    assert bert.convert_ids_to_tokens(encode_response("mug", bert)) == ["mug", "[SEP]"]
    with pytest.raises(EcellmError, match="end-of-text"):
        encode_response("mug", PreTrainedTokenizerFast(tokenizer_object=tokenizer.backend_tokenizer))


def test_templates_are_named_or_read_from_a_json_file(tmp_path) -> None:
    assert named_template("alpaca") is ALPACA
    file = tmp_path / "mine.json"
    file.write_text(json.dumps({**ALPACA.model_dump(), "description": "kept from elsewhere"}))
    assert named_template(str(file)) == ALPACA
    for text, problem in [
        ("{", "JSON"),
        ('{"prompt_input": "x"}', "prompt_input"),
        (json.dumps({**ALPACA.model_dump(), "prompt_no_options": "{options} {input} {instruction}"}), "once"),
    ]:
        file.write_text(text)
        with pytest.raises(EcellmError, match=problem):
            named_template(str(file))
    with pytest.raises(EcellmError, match=r"no template 'alpacca'.*compact"):
        named_template("alpacca")


def test_the_alpaca_layout_is_the_papers() -> None:
    headings = re.findall(r"^### \w+:$", ALPACA.prompt_input, re.MULTILINE)
    assert headings == ["### Instruction:", "### Input:", "### Options:", "### Response:"]
    assert "### Options:" not in ALPACA.prompt_no_options
    assert TEMPLATES["mistral"].prompt_input.startswith("[INST] ")
    assert TEMPLATES["mistral"].prompt_input.endswith("\n\n [/INST] ### Response:")


def test_the_template_file_of_the_authors_mistral_model_lays_prompts_out_as_its_tuning_did() -> None:
    template = named_template(str(REPOSITORY / "docs" / "templates" / "ecellm-mistral.json"))
    sections = "\n\n### Instruction:\nPick the best product.\n\n### Input:\n"
    whole, end = Pieces((Piece("blue mug"),), options_of(["mug", "pot"])), "\n\n [/INST] ### Response:\n"
    with_options = rendered(whole, 1_000, template=template).text
    without = rendered(Pieces(whole.input, ()), 1_000, template=template).text
    for prompt in (with_options, without):
        assert prompt.startswith("[INST] ") and prompt.count(sections) == 1
    assert with_options.endswith(f'{sections}blue mug\n\n### Options:\n["A: mug", "B: pot"]{end}')
    assert without.endswith(f"{sections}blue mug{end}")
    # What the model wrote after the prompt; a second turn of its own is no part of the answer.
    assert template.answer(" A: mug ") == "A: mug"
    assert template.answer("A: mug\n\n [/INST] ### Response:\nB: pot") == "A: mug"
    assert template.answer("see ### Response: above") == "see ### Response: above"


def test_an_answer_ends_where_a_second_response_begins() -> None:
    assert ALPACA.answer(" yes\n\n### Response:\nno") == "yes"
    assert COMPACT.answer(" yes\nno ") == "yes\nno"
