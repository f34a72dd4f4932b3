"""From two catalogues to the pairs of records that are the same product."""
