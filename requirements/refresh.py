"""Write the pinned versions of what is installed: `make pins` runs this after a dependency has changed.

`run.txt` pins what `[project] dependencies` in pyproject.toml need, directly or not; `dev.txt` what the extra `dev`
needs beyond that. A local version such as 2.13.0+cpu is written without its end, so that each machine takes the build
that its own pip finds.
"""

import tomllib
from collections.abc import Iterable, Iterator
from importlib.metadata import distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

#: What torch's builds for GPUs bring with them: each machine's pip finds those of its own build.
OF_GPU_BUILDS = ("nvidia-", "cuda-", "triton")
HERE = Path(__file__).resolve().parent
RUN = HERE / "run.txt"
DEV = HERE / "dev.txt"


def project() -> dict[str, list[str]]:
    """Return the requirements of pyproject.toml: those of the build and of running under "", others by extra."""
    declared = tomllib.loads((HERE.parent / "pyproject.toml").read_text(encoding="utf-8"))
    run = [*declared["build-system"]["requires"], *declared["project"]["dependencies"]]
    return {"": run, **declared["project"]["optional-dependencies"]}


def closure(requirements: Iterable[str], extras: dict[str, list[str]]) -> dict[str, str]:
    """Return the installed versions, by canonical name, of what these need on this machine, directly or not.

    Raises PackageNotFoundError where one of them is not installed.
    """
    pins: dict[str, str] = {}
    waiting = [Requirement(line) for line in requirements]
    seen: set[str] = set()
    while waiting:
        requirement = waiting.pop()
        if str(requirement) in seen:
            continue
        seen.add(str(requirement))
        if requirement.name == "ecellm":
            waiting.extend(Requirement(line) for extra in requirement.extras for line in extras[extra])
            continue
        if requirement.name.startswith(OF_GPU_BUILDS):
            continue
        found = distribution(requirement.name)
        pins[canonicalize_name(found.metadata["Name"])] = found.version.partition("+")[0]
        waiting.extend(_applying(found.requires or [], requirement.extras))
    return pins


def _applying(lines: list[str], extras: set[str]) -> Iterator[Requirement]:
    """Yield those of a distribution's requirements that hold on this machine, with these extras of it."""
    for line in lines:
        requirement = Requirement(line)
        marker, requirement.marker = requirement.marker, None
        if marker is None or any(marker.evaluate({"extra": extra}) for extra in {"", *extras}):
            yield requirement


def main() -> None:
    """Write both files."""
    declared = project()
    run = closure(declared[""], declared)
    dev = closure(declared["dev"], declared)
    _write(RUN, "what running ecellm needs; `make install` installs it", [], run)
    beyond = {name: version for name, version in dev.items() if name not in run}
    _write(
        DEV,
        "what its tests, checks and documents need beyond that; `make test` installs both",
        ["-r run.txt"],
        beyond,
    )


def _write(path: Path, what: str, first: list[str], pins: dict[str, str]) -> None:
    head = f"# Exact versions of {what}. Written by `make pins`."
    lines = [head, *first, *(f"{name}=={version}" for name, version in sorted(pins.items()))]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
