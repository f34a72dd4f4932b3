"""How a prompt is laid out: templates by name, from a JSON file, or the base's own chat template."""

from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, ValidationError, ValidationInfo, field_validator

from ecellm.errors import ConfigError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

#: The name of the base's own chat template.
CHAT = "chat"

_PLACES = ("{instruction}", "{input}", "{options}")


class Template(BaseModel):
    """How instruction, input and options are laid out, in the JSON form of Alpaca-LoRA's templates."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    prompt_input: str
    """With {instruction}, {input} and {options}, once each."""
    prompt_no_options: str
    """With {instruction} and {input}, once each."""
    response_split: str
    """The answer is the text after the first of these, up to a second one; empty where nothing divides."""
    special_tokens: bool = True
    """Whether the tokenizer adds its own; a chat template has them all in its text."""

    @field_validator("prompt_input", "prompt_no_options")
    @classmethod
    def _names_its_places(cls, form: str, info: ValidationInfo) -> str:
        wanted = _PLACES if info.field_name == "prompt_input" else _PLACES[:2]
        if any(form.count(place) != (place in wanted) for place in _PLACES):
            raise ValueError(f"should have {', '.join(wanted)} once each, and no other")
        return form

    def answer(self, text: str) -> str:
        """Return the answer in a text that a model wrote after a prompt: up to another response heading."""
        return (text.split(self.response_split, 1)[0] if self.response_split else text).strip()


_PREAMBLE = "An instruction states a task, an input gives what it is about. Write the response it asks for."
_SECTIONS = "### Instruction:\n{instruction}\n\n### Input:\n{input}\n\n"
_OPTIONS = "### Options:\n{options}\n\n"

TEMPLATES: dict[str, Template] = {
    "compact": Template(
        prompt_input="{instruction}\n{input}\n{options}\n",
        prompt_no_options="{instruction}\n{input}\n",
        response_split="",
    ),
    "alpaca": Template(
        prompt_input=f"{_PREAMBLE}\n\n{_SECTIONS}{_OPTIONS}### Response:\n",
        prompt_no_options=f"{_PREAMBLE}\n\n{_SECTIONS}### Response:\n",
        response_split="### Response:",
    ),
    "mistral": Template(
        prompt_input=f"[INST] {_PREAMBLE}\n\n{_SECTIONS}{_OPTIONS} [/INST] ### Response:",
        prompt_no_options=f"[INST] {_PREAMBLE}\n\n{_SECTIONS} [/INST] ### Response:",
        response_split="### Response:",
    ),
    # One user message in ChatML, as SmolLM2 and Qwen read it, without the system prompt that their own chat templates
    # begin with (SmolLM2's takes 20 tokens).
    "chatml": Template(
        prompt_input="<|im_start|>user\n{instruction}\n\n{input}\n\n{options}<|im_end|>\n<|im_start|>assistant\n",
        prompt_no_options="<|im_start|>user\n{instruction}\n\n{input}<|im_end|>\n<|im_start|>assistant\n",
        response_split="",
        special_tokens=False,
    ),
    # The form of EcomGPT (Li et al., 2023): what the task is about comes before the task, in one section.
    "ecomgpt": Template(
        prompt_input=f"{_PREAMBLE}\n\n### Instruction:\n{{input}}\n{{options}}\n{{instruction}}\n\n### Response:\n",
        prompt_no_options=f"{_PREAMBLE}\n\n### Instruction:\n{{input}}\n{{instruction}}\n\n### Response:\n",
        response_split="### Response:",
    ),
}


def named_template(name: str) -> Template:
    """Return a template by name, or read one from a JSON file; raises ConfigError for neither."""
    if name in TEMPLATES:
        return TEMPLATES[name]
    path = Path(name)
    if not (path.suffix == ".json" and path.is_file()):
        raise ConfigError(f"There is no template {name!r}: name a .json file or one of {', '.join(TEMPLATES)}.")
    try:
        return Template.model_validate_json(path.read_bytes())
    except ValidationError as error:
        problem = error.errors()[0]
        where = ".".join(str(part) for part in problem["loc"]) or "the file"
        raise ConfigError(f"{path} is not a template: {where}: {problem['msg']}.") from error


def chat_template(tokenizer: "PreTrainedTokenizerBase") -> Template:
    """Return the layout of one user message under the tokenizer's own chat template, without thinking.

    Raises ConfigError where the tokenizer has none or it does not show the message as it is.
    """
    if not tokenizer.chat_template:
        raise ConfigError("The base has no chat template: set template to alpaca, another name or a JSON file.")

    def laid_out(content: str) -> str:
        message = [{"role": "user", "content": content}]
        text = tokenizer.apply_chat_template(
            message, tokenize=False, add_generation_prompt=True, enable_thinking=False
        )
        assert isinstance(text, str)
        return text

    try:
        return Template(
            prompt_input=laid_out("{instruction}\n\n{input}\n\n{options}"),
            prompt_no_options=laid_out("{instruction}\n\n{input}"),
            response_split="",
            special_tokens=False,
        )
    except ValidationError as error:
        raise ConfigError(
            "The base's chat template changes the message: set template to alpaca or a file."
        ) from error


def template_for(name: str, tokenizer: "PreTrainedTokenizerBase") -> Template:
    """Return a template by name; `chat` is the tokenizer's own. Raises as `named_template` and `chat_template`."""
    return chat_template(tokenizer) if name == CHAT else named_template(name)
