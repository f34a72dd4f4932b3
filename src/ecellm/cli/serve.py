"""`ecellm serve`: put a model behind HTTP."""

from typing import Annotated

import typer

from ecellm.cli.options import Calibration, Layout, MaxNewTokens, Named, Precision
from ecellm.errors import ConfigError

Host = Annotated[str, typer.Option(help="The address to listen on; others than loopback need ECELLM_API_KEY.")]
Port = Annotated[int, typer.Option(min=0, max=65535, help="The port to listen on; 0 takes a free one.")]
MaxQueue = Annotated[
    int, typer.Option(min=1, help="Questions that may wait in each worker; more are refused with status 429.")
]
MaxBatch = Annotated[int, typer.Option(min=1, help="Questions that are answered together.")]
Workers = Annotated[
    int,
    typer.Option(min=1, help="Processes that answer, each with a model of its own; one that dies is started again."),
]
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
    workers: Workers = 1,
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
    from ecellm.serving.batching import Limits
    from ecellm.serving.keys import Keys
    from ecellm.serving.logs import set_up
    from ecellm.serving.served_model import ServedModel
    from ecellm.serving.server import check_exposed, listen, run
    from ecellm.serving.workers import run_workers

    check_exposed(host, Keys.from_environment(), insecure)
    decoding = Decoding(max_new_tokens=max_new_tokens, precision=precision)
    served = ServedModel(model, decoding, template, calibration, fields, Limits(queue=max_queue, rows=max_batch))
    served.check()
    listening = listen(host, port)
    set_up()
    shown = f"[{host}]" if ":" in host else host
    at = f"http://{shown}:{listening.getsockname()[1]}"
    typer.echo(f"Serving {served.shown_name} at {at}; open it in a browser, or read {at}/docs.")
    if workers > 1:
        run_workers(served, workers, listening, grace)
    else:
        service = served.service()
        run(service, served.app(service), listening, grace)


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
