"""Times of raw files as expressions, by the rules of a user's own tables (`io/tables/cells.py`)."""

import ibis
import ibis.expr.types as ir

from ecellm.io.tables.cells import FIRST_TIME, plausible_times

IMPLAUSIBLE = "time is not from 1990 to tomorrow"


def in_seconds(time: ir.IntegerValue) -> ir.IntegerValue:
    """Return seconds since 1970 of seconds or milliseconds."""
    return ibis.ifelse(time >= FIRST_TIME * 1000, (time - time % 1000) / 1000, time).cast("int64")


def implausible(time: ir.IntegerValue) -> ir.BooleanValue:
    """Say whether a time can be neither seconds nor milliseconds of a shop's data."""
    return ~in_seconds(time).between(*plausible_times())
