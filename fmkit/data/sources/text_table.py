"""Texts in a table: a row per text or pair of texts, with its class, labels or numbers.

`formats/tables.py` reads the cells, `label_readers.py` labels, `table_rows.py` splits and groups. A
row's id is its position, `row-000012` counted from 0, so that rows may be edited or relabelled and
keep their split; messages name its line in the file, too.
"""

from collections.abc import Iterator, Mapping

from fmkit.config.schema.data import TextTableData
from fmkit.data.content.texts import Texts
from fmkit.data.examples import Examples
from fmkit.data.findings import Finding
from fmkit.data.formats.cells import parse_cell
from fmkit.data.formats.delimited import Row
from fmkit.data.formats.tables import read
from fmkit.data.formats.text_files import binary_reason
from fmkit.data.sources.table_files import TableFile
from fmkit.data.sources.table_rows import UsableRows, row_id

_HINT = (
    "Name the columns with data.text_column, pair_column, label_column, label_columns, "
    "split_column and group_column. "
    "In a CSV or TSV without a header they are column_1, column_2 and so on."
)


def list_examples(config: TextTableData) -> Examples:
    """The texts of the tables at `config.root`, in the order of their rows."""
    columns = [name for name in (config.text_column, config.pair_column) if name]
    rows = UsableRows(config, columns)
    for table in rows.files():
        for row in _rows(table, rows, config):
            name, why = table.prefix + row_id(row.index), row.fault
            if not why:
                labels, problems = rows.read_labels(row.cells, row.split or table.split)
                problems = [*text_problems(row.cells, *columns), *problems]
                where = f" ({row.place})" if row.place else ""
                why = ", ".join(problems) + where if problems else ""
            if why:
                rows.findings.append(Finding("incomplete_row", name, why))
            else:
                rows.add(name, [row.cells[column] for column in columns], labels)
    texts, *pairs = ([row[k] for row in rows.values] for k in range(len(columns)))
    for column, cells in zip(columns, (texts, *pairs), strict=True):
        lists = [cell for cell in cells if isinstance(parse_cell(cell), list | dict)]
        if 2 * len(lists) > len(cells):
            why = (
                f"Column {column!r} has lists or objects, such as {lists[0][:40]}, which are read "
                "as texts with their brackets: join or take apart what is in them."
            )
            rows.findings.append(Finding("list_texts", "", why))
    return rows.examples(Texts(tuple(texts), tuple(pairs[0]) if pairs else None))


def _rows(table: TableFile, rows: UsableRows, config: TextTableData) -> Iterator[Row]:
    return read(
        table.path,
        rows.columns,
        _HINT,
        config.encoding,
        config.quotes,
        "data.",
        rows.list_columns,
        header=config.header,
        sheet=config.sheet,
    )


def text_problems(
    cells: Mapping[str, str], text_column: str, pair_column: str | None = None
) -> list[str]:
    """What is wrong with a row's text, and with the second of a pair."""
    problems = []
    for column in filter(None, (text_column, pair_column)):
        text = cells[column]
        if not text:
            problems.append("no text" if column == text_column else f"no text in {column!r}")
        elif reason := binary_reason(text):
            problems.append(f"{column!r} is not text: {reason}")
    return problems
