"""The container's files: they name addresses, options, ports and users that there are, and agree with each other.

Building the image needs Docker, which `.ci/run` uses where there is one.
"""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from ecellm import __version__
from ecellm.cli.app import app
from ecellm.serving.guard import OPEN_PATHS
from ecellm.serving.server import CLOSING_SECONDS
from live_service import live
from repository import REPOSITORY
from served import first_candidate, service_of

DOCKERFILE = (REPOSITORY / "Dockerfile").read_text()
COMPOSE = yaml.safe_load((REPOSITORY / "compose.yaml").read_text())["services"]["ecellm"]
DEPLOYMENT, SERVICE = yaml.safe_load_all((REPOSITORY / "examples" / "kubernetes.yaml").read_text())
POD = DEPLOYMENT["spec"]["template"]["spec"]
(CONTAINER,) = POD["containers"]


def instructions(name: str) -> list[str]:
    """What stands behind an instruction of the Dockerfile, each on one line."""
    lines = re.sub(r"\\\n\s*", "", re.sub(r"^#.*\n", "", DOCKERFILE, flags=re.MULTILINE)).splitlines()
    return [line.removeprefix(name).strip() for line in lines if line.startswith(f"{name} ")]


def options(arguments: list[str]) -> dict[str, str]:
    """The options and values of `ecellm serve`, parsed as the command line does."""
    command = typer.main.get_command(app).commands["serve"]  # type: ignore[attr-defined]
    with command.make_context("serve", list(arguments)) as context:
        return dict(context.params)


ENTRYPOINT = json.loads(instructions("ENTRYPOINT")[0])


@pytest.mark.parametrize("more", [[], COMPOSE["command"], CONTAINER["args"]], ids=["image", "compose", "kubernetes"])
def test_the_command_is_one_of_the_command_line(more: list[str]) -> None:
    assert ENTRYPOINT[:2] == ["ecellm", "serve"]
    given = options(ENTRYPOINT[2:] + more)
    assert given["host"] == "0.0.0.0" and given["port"] == 8000 and given["model"] == "/model"
    assert not given["insecure"]


def test_ports_and_volumes_agree() -> None:
    assert instructions("EXPOSE") == ["8000"]
    assert COMPOSE["ports"] == ["127.0.0.1:8000:8000"]
    assert [(port["name"], port["containerPort"]) for port in CONTAINER["ports"]] == [("http", 8000)]
    assert SERVICE["spec"]["ports"][0]["targetPort"] == "http"
    assert SERVICE["spec"]["selector"] == DEPLOYMENT["spec"]["template"]["metadata"]["labels"]
    assert DEPLOYMENT["spec"]["selector"]["matchLabels"] == SERVICE["spec"]["selector"]
    assert COMPOSE["volumes"][0].endswith(":/model:ro") and COMPOSE["tmpfs"] == ["/tmp"]
    mounts = {mount["name"]: mount for mount in CONTAINER["volumeMounts"]}
    assert {volume["name"] for volume in POD["volumes"]} == set(mounts)
    assert mounts["model"]["mountPath"] == "/model" and mounts["model"]["readOnly"]
    assert mounts["tmp"]["mountPath"] == "/tmp"
    assert CONTAINER["image"].rpartition(":")[2] == __version__


def test_probes_ask_addresses_that_need_no_key() -> None:
    paths = {name: CONTAINER[name]["httpGet"]["path"] for name in ("startupProbe", "readinessProbe", "livenessProbe")}
    assert paths == {"startupProbe": "/readyz", "readinessProbe": "/readyz", "livenessProbe": "/healthz"}
    assert set(paths.values()) == set(OPEN_PATHS)
    assert all(CONTAINER[name]["httpGet"]["port"] == "http" for name in paths)


def test_nothing_runs_as_root_or_with_more_rights_than_it_needs() -> None:
    (user,) = instructions("USER")
    number, group = map(int, user.split(":"))
    assert number > 0 and group > 0 and f"--uid {number} --gid {group}" in DOCKERFILE
    pod, own = POD["securityContext"], CONTAINER["securityContext"]
    assert pod["runAsNonRoot"] and (pod["runAsUser"], pod["runAsGroup"]) == (number, group)
    assert own == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert COMPOSE["read_only"] and COMPOSE["cap_drop"] == ["ALL"] and COMPOSE["init"]
    assert {"requests", "limits"} <= set(CONTAINER["resources"])


def test_keys_come_from_outside() -> None:
    (key,) = [one for one in CONTAINER["env"] if one["name"] == "ECELLM_API_KEY"]
    assert key["valueFrom"]["secretKeyRef"] and "value" not in key
    assert COMPOSE["environment"]["ECELLM_API_KEY"].startswith("${ECELLM_API_KEY:?")
    assert "API_KEY" not in "".join(instructions("ENV") + instructions("ARG"))


def test_there_is_time_to_finish_what_is_under_way() -> None:
    pause = int(CONTAINER["lifecycle"]["preStop"]["exec"]["command"][1])
    grace = options(ENTRYPOINT[2:] + CONTAINER["args"])["grace"]
    assert POD["terminationGracePeriodSeconds"] > pause + float(grace) + CLOSING_SECONDS
    given = options(ENTRYPOINT[2:] + COMPOSE["command"])["grace"]
    assert float(COMPOSE["stop_grace_period"].removesuffix("s")) > float(given) + CLOSING_SECONDS


def test_what_is_copied_is_there_and_reaches_the_builder() -> None:
    sent = [line[1:] for line in (REPOSITORY / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    arguments = dict(one.partition("=")[::2] for one in instructions("ARG"))
    for line in instructions("COPY"):
        words = shlex.split(line.replace("${MODEL}", arguments["MODEL"]))
        if words[0].startswith("--from="):
            continue
        for source in [word for word in words[:-1] if not word.startswith("--")]:
            assert (REPOSITORY / source).exists(), source
            assert any(Path(source).is_relative_to(one) for one in sent), source
    (ignored,) = [line for line in (REPOSITORY / ".dockerignore").read_text().splitlines() if line == "*"]
    assert ignored


@pytest.mark.allow_hosts(["127.0.0.1"])
def test_the_health_check_says_whether_the_service_is_ready() -> None:
    (check,) = instructions("HEALTHCHECK")
    command: list[Any] = json.loads(check.partition(" CMD ")[2])

    def healthy(url: str) -> bool:
        line = [sys.executable, *command[1:-1], command[-1].replace("http://127.0.0.1:8000", url)]
        return subprocess.run(line, capture_output=True, check=False).returncode == 0

    assert command[:2] == ["python", "-c"] and "http://127.0.0.1:8000/readyz" in command[2]
    with live(service_of(first_candidate()), "a key") as made:
        assert healthy(made.url)
        made.service.state = "draining"
        assert not healthy(made.url)
    assert not healthy(made.url)
