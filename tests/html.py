"""The tags, tables and marked texts of a page, as a browser would read them."""

from __future__ import annotations

from html.parser import HTMLParser

VOID = {"meta", "wbr", "br"}


class Page(HTMLParser):
    """tags: (name, attributes) of all. tables: rows of cells by the name of their region. texts: marked texts."""

    def __init__(self, content):
        super().__init__()
        self.tags, self.tables, self.texts, self.open = [], {}, [], []
        self._rows, self._in_text, self._in_name = None, 0, 0
        self.content = content.decode("utf8")
        self.feed(self.content)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        if tag == "br":
            self.handle_data(" ")
        self.tags.append((tag, attributes))
        if tag not in VOID:
            self.open.append(tag)
        if attributes.get("role") == "region":
            self._rows = self.tables.setdefault(attributes["aria-label"], [])
        elif tag == "tr":
            self._rows.append([])
        elif tag in ("td", "th"):
            self._rows[-1].append("")
        if tag == "bdi" and attributes.get("class", "").startswith("text"):
            self._in_text = len(self.open)
            self.texts.append("")
        elif tag == "small" and self._in_text:
            self._in_name = len(self.open)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open[-1] == tag
        if len(self.open) == self._in_text:
            self._in_text = 0
        if len(self.open) == self._in_name:
            self._in_name = 0
        self.open.pop()

    def handle_data(self, data):
        if self._in_text and not self._in_name:
            self.texts[-1] += data
        if "table" in self.open and {"td", "th"} & set(self.open):
            self._rows[-1][-1] += data

    def rows(self, name):
        """The body of a table, a dict a row."""
        head, *rows = [[" ".join(cell.split()) for cell in row] for row in self.tables[name]]
        return [dict(zip(head, row, strict=True)) for row in rows]  # of columns of one name, the last

    @property
    def shape(self):
        """All tags with their attributes, but for what stands in these for names, and for where a name may break."""
        return [(tag, sorted(attributes), attributes.get("class")) for tag, attributes in self.tags if tag != "wbr"]
