"""`ecellm serve`: put a model behind HTTP."""

from typing import TYPE_CHECKING, Annotated

import typer

from ecellm.cli.options import Calibration, Layout, MaxNewTokens, Named, Precision
from ecellm.errors import ConfigError

if TYPE_CHECKING:
    from ecellm.tasks import Task

Host = Annotated[str, typer.Option(help="The address to listen on; others than loopback need ECELLM_API_KEY.")]
Port = Annotated[int, typer.Option(min=0, max=65535, help="The port to listen on; 0 takes a free one.")]
MaxQueue = Annotated[int, typer.Option(min=1, help="Questions that may wait; more are refused with status 429.")]
MaxBatch = Annotated[int, typer.Option(min=1, help="Questions that are answered together.")]
Fields = Annotated[
    str | None,
    typer.Option(help="Of PM: all fields that a record shows, such as title,brand,modelno,price, as in tuning."),
]
Grace = Annotated[float, typer.Option(min=0.0, help="Seconds that requests under way may take after SIGTERM.")]
Insecure = Annotated[bool, typer.Option("--insecure", help="Listen on any address without a key.")]


def serve(
    model: Named,
    host: Host = "127.0.0.1",
    port: Port = 8000,
    max_queue: MaxQueue = 1024,
    max_batch: MaxBatch = 64,
    precision: Precision = "fp32",
    template: Layout = None,
    calibration: Calibration = None,
    max_new_tokens: MaxNewTokens = 100,
    fields: Fields = None,
    grace: Grace = 25.0,
    insecure: Insecure = False,
) -> None:
    """Answer questions over HTTP, each task at an address of its own, until SIGTERM or Ctrl-C."""
    _check_installed()
    from ecellm.models.base import Decoding
    from ecellm.models.load import check_is_there, engine_of, load_generator
    from ecellm.serving.app import create_app
    from ecellm.serving.batching import Limits
    from ecellm.serving.guard import Allowed
    from ecellm.serving.keys import Keys
    from ecellm.serving.logs import set_up
    from ecellm.serving.server import check_exposed, listen, run
    from ecellm.serving.service import Loaded, Service

    keys = Keys.from_environment()
    check_exposed(host, keys, insecure)
    check_is_there(model)
    engine, name = engine_of(model)
    if engine is not None and engine.connect is not None:
        raise ConfigError(f"{model} is behind a server already: name a model that runs here.")
    decoding = Decoding(max_new_tokens=max_new_tokens, precision=precision)

    def load() -> Loaded:
        return Loaded(load_generator(model, decoding, template, None, calibration), _tasks(model, fields))

    service = Service(_shown(name), _tasks(model, fields), load, Limits(queue=max_queue, rows=max_batch))
    app = create_app(service, Allowed(keys), max_new_tokens)
    listening = listen(host, port)
    set_up()
    shown = f"[{host}]" if ":" in host else host
    at = f"http://{shown}:{listening.getsockname()[1]}"
    typer.echo(f"Serving {service.name} at {at}; open it in a browser, or read {at}/docs.")
    run(service, app, listening, grace)


def _check_installed() -> None:
    """Raise ConfigError where a package of the extra is not installed."""
    try:
        import fastapi  # noqa: F401
        import prometheus_client  # noqa: F401
        import python_multipart  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError as error:
        raise ConfigError(
            f"ecellm serve needs the package {error.name}, which is not installed: pip install 'ecellm[serve]'."
        ) from error


def _tasks(model: str, fields: str | None) -> "tuple[Task, ...]":
    """Return the tasks that a model answers; raises ConfigError where none of them takes fields that are named."""
    from ecellm.models.load import tasks_of
    from ecellm.tasks import TASKS

    known = tasks_of(model)
    found = [task for task in TASKS.values() if known is None or task.name in known]
    if fields is None:
        return tuple(found)
    names = [field.strip() for field in fields.split(",")]
    if not any(task.form.of_fields for task in found):
        raise ConfigError(f"{model} answers no task whose records have fields: omit --fields.")
    return tuple(task if task.form.of_fields is None else task.with_fields(names) for task in found)


def _shown(name: str) -> str:
    """Return a model's name for clients: the last part of a path, which says nothing of the machine."""
    from pathlib import Path

    return Path(name).absolute().name or name
