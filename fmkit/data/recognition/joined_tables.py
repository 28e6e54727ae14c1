"""Tables of which each has a part of the columns: texts in one, their labels in another."""

import contextlib
import itertools
from collections.abc import Sequence
from pathlib import Path

from fmkit.core.errors import ConfigError, join_names
from fmkit.core.files import display_path
from fmkit.data.findings import UnusableInput
from fmkit.data.formats.tables import records
from fmkit.data.recognition.column_values import Columns, as_columns, filled

_PROBED = 200  # rows of each table
_MOST = 5  # tables that are looked at
_SHARED = 0.5  # of the ids of one table's first rows, those that are among another's


def refuse_tables_to_join(folder: Path, files: Sequence[Path]) -> None:
    """Refuse tables whose rows belong together by a column of ids that both have.

    Raises:
        ConfigError: there are such tables, with the line that joins them.
    """
    heads: dict[Path, Columns] = {}
    for path in files[:_MOST]:
        with contextlib.suppress(UnusableInput, ConfigError):
            rows = itertools.islice(records(path, list_key="data"), _PROBED)
            heads[path] = as_columns(row.value for row in rows if isinstance(row.value, dict))
    for first, second in itertools.combinations(heads, 2):
        shared = [name for name in heads[first] if name in heads[second]]
        key = next((name for name in shared if _are_ids(heads[first], heads[second], name)), None)
        if key is None or heads[first].keys() == heads[second].keys():
            continue
        columns = [f"{path.name} ({join_names([*heads[path]], 5)})" for path in (first, second)]
        raise ConfigError(
            f"{display_path(folder)} has tables that belong together by {key}, and one is read: "
            f"{' and '.join(columns)}.",
            f"Join them, and name the result: pandas.read_csv({first.name!r}).merge("
            f"pandas.read_csv({second.name!r}), on={key!r}).to_csv('joined.csv', index=False)",
        )


def _are_ids(first: Columns, second: Columns, name: str) -> bool:
    """Whether a column tells rows apart in both tables, and says which belong together."""
    ids = [[str(value) for value in filled(columns[name])] for columns in (first, second)]
    if any(not values or len({*values}) < len(values) for values in ids):
        return False
    return len({*ids[0]} & {*ids[1]}) >= _SHARED * min(map(len, ids))
