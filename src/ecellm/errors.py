"""The errors that a user can mend: each says in one sentence what is wrong, where, and what to do.

The command line turns them into that sentence and exit code 1; any other exception is an internal error, exit
code 70. A library's own exception becomes one of these only where we have said what it means for the user.
"""


class EcellmError(Exception):
    """Something that the user can mend; the message says what, where and how."""


class ConfigError(EcellmError):
    """A config, recipe, template, option or argument that cannot be used."""


class DataError(EcellmError):
    """A table, dataset, predictions or scores file that cannot be used."""


class ModelError(EcellmError):
    """A model folder, base or family that cannot be used."""


class ServerError(EcellmError):
    """A server that cannot be reached, or answers in a way that cannot be used."""
