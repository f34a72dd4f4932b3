"""Consecutive failures: after so many in a row the server must be down."""

from ecellm.errors import ServerError
from ecellm.models.base import Failure, Reply

#: So many failures in a row end a run: a server that is down fails every request.
FAILURES_IN_A_ROW = 50


class ConsecutiveFailures:
    """Counts the failures since the last answer."""

    def __init__(self) -> None:
        self.number, self.reason = 0, ""

    def count(self, reply: Reply | Failure) -> None:
        """Count a failure; an answer begins the count anew."""
        if isinstance(reply, Failure):
            self.number, self.reason = self.number + 1, reply.reason
        else:
            self.number = 0

    def check(self) -> None:
        """Raise ServerError where FAILURES_IN_A_ROW questions in a row got no answer."""
        if self.number >= FAILURES_IN_A_ROW:
            raise ServerError(
                f"{self.number} questions in a row got no answer, the last because: {self.reason}. The answers "
                "so far are kept; run the command again to resume."
            )
