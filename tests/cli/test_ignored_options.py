"""Options that would mean nothing where they stand: refused in one sentence, before anything is read or written."""

from collections.abc import Callable
from pathlib import Path

import pytest

Run = Callable[..., tuple[int, str, str]]

SERVED = "is for models of a server, which are named openai:NAME, and MODEL is none: leave it out."
PREDICT = ("predict", "MODEL", "--data", "DATA", "--out", "OUT")
ASK = ("ask", "SA", "MODEL", "--input", "in.csv", "--out", "out.csv")
CALIBRATE = ("calibrate", "MODEL", "--data", "DATA")
MERGE = ("merge", "MODEL", "--out", "OUT")
TUNE = ("tune", "xs", "--data", "DATA", "--out", "OUT", "--check")
EVALUATE = ("evaluate", "p.jsonl", "--data", "DATA", "--out", "s.json")
BASELINE = ("baseline", "tfidf", "--data", "DATA", "--out", "OUT")
STUDY = ("study", "generalist", "--recipe", "xs", "--data", "DATA", "--out", "OUT")
BENCHMARK = ("benchmark", "amazon-google", "--data", "RAW")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        *(
            ((*verb, option, "3"), f"{option} {SERVED}")
            for verb in (PREDICT, ASK, CALIBRATE)
            for option in ("--concurrency", "--timeout", "--retries", "--server", "--price-in", "--max-cost")
        ),
        ((*PREDICT[:1], "openai:m", *PREDICT[2:], "--price-in", "3"), "A cost needs both prices"),
        ((*PREDICT, "--sampling-seed", "1"), "--sampling-seed needs a --temperature above 0: leave it out."),
        ((*MERGE, "--gguf", "--check", "DATA"), "--check compares answers, which --gguf does not: leave it out."),
        ((*MERGE, "--gguf", "--limit", "5"), "--limit compares answers, which --gguf does not"),
        ((*MERGE, "--precision", "f32"), "--precision is of a GGUF file, and --gguf is not given: leave it out."),
        ((*MERGE, "--check", "DATA", "--limit", "0"), "--check names questions, and --limit 0 asks none"),
        ((*TUNE, "--resume"), "--resume belongs to a run, and --check begins none: leave it out."),
        ((*TUNE, "--show-samples", "2"), "--show-samples belongs to a run"),
        ((*TUNE, "--report-to", "wandb"), "--report-to belongs to a run"),
        ((*EVALUATE, "--worst", "5"), "--worst is for --errors FILE, which is missing"),
        ((*EVALUATE, "--bertscore-layer", "5"), "--bertscore-layer is for --bertscore-model, which is missing"),
        ((*BASELINE, "--base", "minilm"), "--base names an encoder, and tfidf has none"),
        ((*BASELINE, "--epochs", "2"), "--epochs is of models that are trained in epochs, and tfidf is not"),
        ((*STUDY, "--sizes", "5"), "--sizes is of the study scale"),
        (("benchmark", "--seeds", "2"), "--seeds is of a benchmark, and none is named"),
        ((*BENCHMARK, "--recipe", "xs", "--seeds", "0"), "--recipe names what is tuned, and --seeds 0 tunes nothing"),
        ((*BENCHMARK, "--model", "m", "--seeds", "2"), "--seeds is of tuning, and no --recipe is named"),
        (("download", "--to", "DIR"), "--to is of a source, and none is named"),
        (("download", "esci", "--categories", "A", "--to", "DIR"), "--categories is of Amazon Review, and esci has"),
        (
            ("build", "--sources", "RAW", "--config", "c.toml", "--out", "OUT", "--master", "local[2]"),
            "--master is of Spark, and the engine is duckdb: leave it out.",
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_an_option_that_would_be_ignored_is_refused(
    arguments: tuple[str, ...], message: str, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    code, _, error = run(*arguments)
    assert code == 1 and message in error and error.count("\n") == 1
    assert not list(tmp_path.iterdir())
