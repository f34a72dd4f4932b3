"""Whether the program still does what it did: hashes of all that it writes, recorded before a change and after it.

    python benchmarks/behaviour record BEFORE.json [--models xs,bm25] [--work DIR] [--real DIR] [--jobs 2]
    python benchmarks/behaviour compare BEFORE.json AFTER.json [--except 'xs/tensor *']
    python benchmarks/behaviour kill [--kills 100] [--commands build,tune] [--seed 1] [--work DIR]

`record` drives the `ecellm` command of this Python in processes of its own, on PYTHONPATH where that is set: it
simulates a shop, builds a dataset, tunes XS, a tiny causal model and a tiny encoder-decoder, fits every baseline, and
runs `predict`, `evaluate` and `ask` on them. It imports no module of the program, so that all of them may move. Its
exit code is 2 where a command fails.

`compare` prints one line per difference, in the order in which things were made: the first line is where two records
diverge. Its exit code is 1 where there is one. What only one of the records has because only that one was meant to
have it, a model or the real sample, is named and not compared.

`kill` kills commands at random moments, runs them to their end, and compares what they wrote with what they write
undisturbed. Its exit code is 1 where there is a difference.

Both records must come from one machine with the same versions of the libraries: arithmetic differs between others.
"""

import argparse
import json
import platform
import resource
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from fnmatch import fnmatchcase
from importlib.metadata import version
from pathlib import Path
from typing import Any

import killing
from commands import CommandFailedError, Commands
from recording import MODELS, record

#: What another version of changes the numbers, though the program is the same.
LIBRARIES = ("duckdb", "numpy", "pyarrow", "safetensors", "scikit-learn", "tokenizers", "torch", "transformers")
#: Stands for a value that one of the records does not have.
ABSENT = "(absent)"


def main() -> int:
    given = _arguments()
    if given.verb == "compare":
        return compare(given.before, given.after, given.excepted)
    with nullcontext(str(given.work)) if given.work else tempfile.TemporaryDirectory() as folder:
        work = Path(folder).resolve()
        if given.verb == "kill":
            return kill_commands(work, given.commands, given.kills, given.seed)
        return write_record(given.out, work, given.real, given.models, given.jobs)


def write_record(out: Path, work: Path, real: Path | None, models: Sequence[str], jobs: int) -> int:
    """Record into a file; returns the exit code."""
    work.mkdir(parents=True, exist_ok=True)
    if any(work.iterdir()):
        print(f"{work} is not empty: name another --work.", file=sys.stderr)
        return 2
    began = time.monotonic()
    try:
        facts = record(work, real.resolve() if real else None, models, jobs)
    except CommandFailedError as error:
        print(error, file=sys.stderr)
        return 2
    out.write_text(json.dumps({"made_with": _made_with(), "facts": facts}, indent=0, ensure_ascii=False) + "\n")
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    busy = used.ru_utime + used.ru_stime
    print(f"{len(facts):,} facts written to {out} in {time.monotonic() - began:.0f} s, {busy:.0f} s of a processor.")
    return 0


def kill_commands(work: Path, names: Sequence[str], kills: int, seed: int) -> int:
    """Kill commands and print what became of them; returns the exit code."""
    work.mkdir(parents=True, exist_ok=True)
    try:
        commands = Commands(work)
        killing.prepare(commands)
        return killing.report(killing.kill(commands, names, kills, seed))
    except CommandFailedError as error:
        print(error, file=sys.stderr)
        return 2


def compare(before: Path, after: Path, excepted: Sequence[str]) -> int:
    """Print how two records differ; returns the exit code."""
    (old, old_made), (new, new_made) = _read(before), _read(after)
    for name in old_made:
        if old_made[name] != new_made.get(name):
            print(f"Made with another {name}: {old_made[name]}, then {new_made.get(name)}.", file=sys.stderr)
    known = {**old, **new}
    shared = _sections(old) & _sections(new)
    excluded = [name for name in known if _matches(name, excepted)]
    compared = [name for name in known if _section(name) in shared and name not in set(excluded)]
    different = [name for name in compared if old.get(name, ABSENT) != new.get(name, ABSENT)]
    for name in different:
        print(f"{name}: {_shown(old.get(name, ABSENT))}, then {_shown(new.get(name, ABSENT))}")
    summary = [f"{len(compared):,} facts compared", f"{len(different):,} differ" if different else "all equal"]
    if excluded:
        summary.append(f"{len(excluded):,} excluded")
    if unshared := sorted(_sections(known) - shared):
        summary.append(f"in one record only, not compared: {', '.join(unshared)}")
    print(f"{'; '.join(summary)}.")
    return 1 if different or not compared else 0


def _sections(facts: Mapping[str, Any]) -> set[str]:
    return {_section(name) for name in facts}


def _section(name: str) -> str:
    return name.partition("/")[0]


def _matches(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _read(file: Path) -> tuple[dict[str, Any], dict[str, str]]:
    found = json.loads(file.read_text())
    return found["facts"], found["made_with"]


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _made_with() -> dict[str, str]:
    machine = {"python": platform.python_version(), "processor": platform.processor() or platform.machine()}
    return {**machine, **{name: version(name) for name in LIBRARIES}}


def _models(names: str) -> list[str]:
    found = names.split(",")
    if unknown := set(found) - set(MODELS):
        raise argparse.ArgumentTypeError(f"no model {', '.join(sorted(unknown))}: name some of {', '.join(MODELS)}")
    return [name for name in MODELS if name in found]


def _commands(names: str) -> list[str]:
    found = names.split(",")
    if unknown := set(found) - set(killing.CASES):
        raise argparse.ArgumentTypeError(f"no command {', '.join(sorted(unknown))}: {', '.join(killing.CASES)}")
    return found


def _arguments() -> argparse.Namespace:
    assert __doc__ is not None
    parser = argparse.ArgumentParser(prog="behaviour", description=__doc__.splitlines()[0])
    verbs = parser.add_subparsers(dest="verb", required=True)
    one = verbs.add_parser("record", help="drive the program and write what it did")
    one.add_argument("out", type=Path)
    one.add_argument("--models", type=_models, default=list(MODELS), help=f"some of {', '.join(MODELS)}")
    one.add_argument("--work", type=Path, help="an empty folder for what the program writes; it is kept")
    one.add_argument("--real", type=Path, help="raw files of the real sample, to be built as well")
    one.add_argument("--jobs", type=int, default=2, help="models at a time, one thread each")
    two = verbs.add_parser("compare", help="say how two records differ")
    two.add_argument("before", type=Path)
    two.add_argument("after", type=Path)
    two.add_argument(
        "--except", dest="excepted", action="append", default=[], help="names that may differ, such as 'xs/notes *'"
    )
    three = verbs.add_parser("kill", help="kill commands at random moments and compare what they write then")
    three.add_argument("--kills", type=int, default=100, help="how many, over all commands")
    three.add_argument("--commands", type=_commands, default=list(killing.CASES), help=", ".join(killing.CASES))
    three.add_argument("--seed", type=int, default=1, help="of the moments")
    three.add_argument("--work", type=Path, help="an empty folder for what the program writes; it is kept")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
