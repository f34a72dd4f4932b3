"""Pages that people read: the report, the page of results, the data card, tables of scores."""
