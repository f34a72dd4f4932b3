"""The service against its own OpenAPI description, by Schemathesis: what it answers, and to which requests."""

import subprocess
import sys

import pytest

from live_service import live
from served import first_candidate, service_of

KEY = "a-key-of-this-test"
COMMAND = "from schemathesis.cli import schemathesis; schemathesis()"
#: Of requests that a schema calls valid some are refused, for reasons that none can express: two titles that are the
#: same, a text of which nothing is left in ASCII, a prompt that is too long for the model, a model that is no chat's.
INEXPRESSIBLE = "positive_data_acceptance"


@pytest.mark.slow
@pytest.mark.allow_hosts(["127.0.0.1"])
def test_every_endpoint_keeps_to_its_description() -> None:
    with live(service_of(first_candidate()), KEY) as made:
        options = ["--header", f"Authorization: Bearer {KEY}", "--exclude-checks", INEXPRESSIBLE]
        options += ["--phases", "examples,coverage,fuzzing", "--max-examples", "5", "--seed", "1"]
        options += ["--continue-on-failure", "--output-truncate", "true"]
        line = [sys.executable, "-c", COMMAND, "run", f"{made.url}/openapi.json", *options]
        done = subprocess.run(line, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
