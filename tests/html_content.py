"""What a page shows, read by Python's own parser."""

from html.parser import HTMLParser


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tables: dict[str, list[list[str]]] = {}
        self.texts: list[str] = []
        self._rows: list[list[str]] = []
        self._open = ""
        self._caption = ""
        self._hidden = 0

    def handle_starttag(self, tag, attrs):
        if tag == "table":
            self._rows, self._caption = [], ""
        elif tag == "tr":
            self._rows.append([])
        elif tag in ("th", "td"):
            self._rows[-1].append("")
            self._open = "cell"
        elif tag == "caption":
            self._open = "caption"
        self._hidden += tag in ("script", "style")

    def handle_endtag(self, tag):
        if tag == "table":
            self.tables[self._caption] = self._rows
        if tag in ("th", "td", "caption"):
            self._open = ""
        self._hidden -= tag in ("script", "style")

    def handle_data(self, data):
        if self._hidden:
            return
        self.texts.append(data)
        if self._open == "cell":
            self._rows[-1][-1] += data
        elif self._open == "caption":
            self._caption += data


def tables(page: str) -> dict[str, list[list[str]]]:
    """Rows of cells, without the header, by the caption."""
    reader = _Reader()
    reader.feed(page)
    return {caption: rows[1:] for caption, rows in reader.tables.items()}


def text_of(page: str) -> str:
    """All text."""
    reader = _Reader()
    reader.feed(page)
    return " ".join(reader.texts)
