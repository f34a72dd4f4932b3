"""One table of texts for Markdown and for a page."""

from markupsafe import Markup

from ecellm.reports.tables import TableColumn, TextTable

TABLE = TextTable(
    [TableColumn("run"), TableColumn("rows", is_number=True), TableColumn("verdict")],
    [["a|b", "1,000", "better"], ["<i>", "2", Markup("<b>worse</b>")]],
    classes=["good", "bad"],
)


def test_what_would_end_a_cell_is_escaped_in_markdown() -> None:
    assert TABLE.markdown().splitlines()[2] == "| a\\|b | 1,000 | better |"


def test_a_page_escapes_texts_and_keeps_markup() -> None:
    lines = TABLE.html().splitlines()
    assert lines[1] == (
        '<thead><tr><th scope="col">run</th><th scope="col" class="number">rows</th>'
        '<th scope="col">verdict</th></tr></thead>'
    )
    assert lines[3] == '<tr><th scope="row">a|b</th><td class="number">1,000</td><td class="good">better</td></tr>'
    assert lines[4].startswith('<tr><th scope="row">&lt;i&gt;</th>')
    assert lines[4].endswith('<td class="bad"><b>worse</b></td></tr>')
