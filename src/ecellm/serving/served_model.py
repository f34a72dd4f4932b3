"""What a service is made of: a model by its name, and how it answers. Each worker process gets a copy of this record
and loads its own model."""

from dataclasses import dataclass, field
from pathlib import Path

from starlette.types import ASGIApp

from ecellm.errors import ConfigError
from ecellm.models.base import Decoding
from ecellm.models.load import check_is_there, engine_of, load_identified, tasks_of
from ecellm.serving.app import create_app
from ecellm.serving.batching import Limits
from ecellm.serving.guard import Allowed
from ecellm.serving.keys import Keys
from ecellm.serving.service import Loaded, Service
from ecellm.tasks import TASKS, Task


@dataclass(frozen=True)
class ServedModel:
    """A model that is put behind HTTP."""

    name: str
    """As of `load_generator`."""
    decoding: Decoding = field(default_factory=Decoding)
    template: str | None = None
    calibration: Path | None = None
    fields: str | None = None
    """Of PM: all fields that a record shows, divided by commas."""
    limits: Limits = field(default_factory=Limits)

    @property
    def shown_name(self) -> str:
        """Its name for clients: the last part of a path, which says nothing of the machine."""
        name = engine_of(self.name)[1]
        return Path(name).absolute().name or name

    def check(self) -> None:
        """Raise EcellmError where it is certain, without loading anything, that it cannot be served."""
        check_is_there(self.name)
        engine, _ = engine_of(self.name)
        if engine is not None and engine.connect is not None:
            raise ConfigError(f"{self.name} is behind a server already: name a model that runs here.")
        self.tasks()

    def tasks(self) -> tuple[Task, ...]:
        """Return the tasks that it answers; raises ConfigError where none of them takes fields that are named."""
        known = tasks_of(self.name)
        found = tuple(task for task in TASKS.values() if known is None or task.name in known)
        if self.fields is None:
            return found
        if not any(task.form.of_fields for task in found):
            raise ConfigError(f"{self.name} answers no task whose records have fields: omit --fields.")
        names = [field.strip() for field in self.fields.split(",")]
        return tuple(task if task.form.of_fields is None else task.with_fields(names) for task in found)

    def load(self) -> Loaded:
        """Load it; raises as `load_generator`."""
        generator, identity = load_identified(self.name, self.decoding, self.template, None, self.calibration)
        return Loaded(generator, self.tasks(), identity)

    def service(self) -> Service:
        """Return its service, which is not started; raises as `tasks`."""
        return Service(self.shown_name, self.tasks(), self.load, self.limits)

    def app(self, service: Service) -> ASGIApp:
        """Return the application of its service, with the keys of the environment."""
        return create_app(service, Allowed(Keys.from_environment()), self.decoding.max_new_tokens)
