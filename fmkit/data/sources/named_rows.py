"""All columns of a table of photos or texts, by the examples that its rows became."""

from collections.abc import Mapping
from typing import Any

from fmkit.config.schema.data import ImageTableData, TextTableData
from fmkit.data.formats import tables
from fmkit.data.sources.table_rows import UsableRows, row_id


def named_rows(config: Any) -> list[tuple[str, Mapping[str, str]]] | None:
    """The cells of all rows of a table of photos or texts, with the ids of their examples.

    None where the data is not such a table.
    """
    if not isinstance(config, TextTableData | ImageTableData):
        return None
    if isinstance(config, TextTableData):
        content = [name for name in (config.text_column, config.pair_column) if name]
        options: dict[str, Any] = {"encoding": config.encoding, "quotes": config.quotes}
    else:
        content, options = [config.path_column], {}
    rows: list[tuple[str, Mapping[str, str]]] = []
    for table in UsableRows(config, content).files():
        for row in tables.read(
            table.path, [], "", **options, all_columns=True,
            header=config.header, sheet=config.sheet,
        ):  # fmt: skip
            name = table.prefix + row_id(row.index)
            if isinstance(config, ImageTableData) and config.path_column in row.cells:
                name = row.cells.get(config.path_column, "")
            rows.append((name, row.cells))
    return rows
