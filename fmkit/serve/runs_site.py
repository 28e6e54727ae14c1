"""The pages about all runs: a list that is filtered and sorted, curves, reports, two side by side.

Nothing in a folder of runs is written. What a request names is looked up among the runs that there
are, so that no path is made of it.
"""

import http
import tempfile
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path

from fmkit.core import files, safe_io
from fmkit.core.errors import ArtifactError, ConfigError, FmkitError, received, short_repr
from fmkit.report import page
from fmkit.serve import metric_rows, runs_pages
from fmkit.serve.local_http import Response
from fmkit.serve.runs_pages import Request
from fmkit.store import run_dir, run_index, run_query
from fmkit.store.run_index import RunSummary
from fmkit.store.run_query import Query
from fmkit.store.run_table import RunTable

_MAX_REPORT = 32 * 2**20
_FRESH_SECONDS = 1.0  # a table of runs that is younger is not read again
_QUICK_SECONDS = 0.3  # one that takes longer is read beside the requests
_MOST_PAGES = 16  # that were made and are kept


class RunsSite:
    """Answers requests about the runs below a folder."""

    def __init__(self, root: Path, token: str) -> None:
        self._root, self._base = root, f"/{token}/"
        self._lock, self._drawing = threading.Lock(), threading.Lock()
        self._made: OrderedDict[tuple[str, ...], bytes] = OrderedDict()
        self._is_reading = False
        self._read()

    def answer(self, path: str, query: Mapping[str, list[str]]) -> Response:
        """The page at a path; errors as of `local_http.Site`."""
        kind, _, rest = path.partition("/")
        if not path:
            return self._list(query)
        if kind == "compare" and not rest:
            return self._comparison(query.get("run", []))
        if kind == "run":
            run = self._run(rest)
            return _own(runs_pages.one_run(run, rest, self._base))
        if kind == "metrics":
            return self._metrics(self._run(rest), query.get("from", ["0"])[-1])
        if kind == "report":
            return self._report(self._run(rest))
        raise ArtifactError(f"there is no page {short_repr(path)}.")

    def refusal(self, error: FmkitError) -> Response:
        """A page with a message."""
        missing = isinstance(error, ArtifactError)
        status = http.HTTPStatus.NOT_FOUND if missing else http.HTTPStatus.BAD_REQUEST
        if error.exit_code == 1:
            status = http.HTTPStatus.INTERNAL_SERVER_ERROR
        return _own(runs_pages.refusal(error, self._base), status)

    def _read(self) -> None:
        began = time.monotonic()
        table = RunTable(self._root)
        by_key = {run_key(run, self._root): run for run in table.runs}
        with self._lock:
            self._table, self._by_key = table, by_key
            self._read_at = time.monotonic()
            self._cost = self._read_at - began
            self._is_reading = False

    def _current(self) -> tuple[RunTable, Mapping[str, RunSummary]]:
        """The runs as they are now, or, of very many, as they were seconds ago."""
        with self._lock:
            age = time.monotonic() - self._read_at
            is_due = age > max(_FRESH_SECONDS, 5 * self._cost) and not self._is_reading
            self._is_reading = self._is_reading or is_due
        if is_due and self._cost > _QUICK_SECONDS:
            threading.Thread(target=self._read, daemon=True).start()
        elif is_due:
            self._read()
        with self._lock:
            return self._table, self._by_key

    def _run(self, key: str) -> RunSummary:
        """A run by its key, as it is now."""
        known = self._current()[1].get(key)
        if known is None:
            raise ArtifactError(f"there is no run {short_repr(key)}.")
        return run_index.read(known.folder, known.id)

    def _list(self, query: Mapping[str, list[str]]) -> Response:
        values = {key: query.get(key, [""])[-1] for key in ("q", "sort", "columns", "page")}
        number = run_query.parse_count("page", values["page"] or "1")
        table, by_key = self._current()
        request = Request(values["q"], values["sort"], values["columns"], number)
        columns = run_query.parse_keys(request.columns)
        problem, selection = None, None
        try:
            conditions = run_query.parse_text(request.text)
            order = run_query.parse_keys(request.sort)
            selection = run_query.select(table, Query(conditions, order), columns)
        except ConfigError as error:
            problem = error
        keys = {run.folder: key for key, run in by_key.items()}
        folder = files.display_path(self._root)
        return _own(runs_pages.all_runs(selection, request, keys, folder, self._base, problem))

    def _metrics(self, run: RunSummary, offset: str) -> Response:
        if not (offset.isascii() and offset.isdigit()) or len(offset) > 15:
            raise ConfigError(received("from", offset, "a count of bytes"))
        content = {
            **metric_rows.read(run.folder, int(offset)),
            "state": run.state,
            "progress": runs_pages.progress(run),
        }
        return Response(files.to_json(content), "application/json")

    def _report(self, run: RunSummary) -> Response:
        """The run's page: the one in its folder, or one that is made and not written there."""
        path = run.folder / run_dir.REPORT
        if path.is_file() and not path.is_symlink():
            content = safe_io.read_bytes(path, _MAX_REPORT)
        else:
            stamp = str((run.folder / run_dir.STATUS).stat().st_mtime_ns)
            content = self._once((str(run.folder), stamp), lambda: _made_report(run.folder))
        # The file may be another person's: whatever is in it can neither run nor ask for anything.
        return Response(content, policy=f"{page.policy()}; sandbox allow-scripts")

    def _comparison(self, keys: list[str]) -> Response:
        from fmkit.report import comparison_page

        if len(keys) != 2:
            raise ConfigError(f"{len(keys)} runs are chosen; two can be compared.")
        first, second = (self._run(key) for key in keys)
        folders = first.folder, second.folder

        def made() -> bytes:
            with tempfile.TemporaryDirectory() as folder:
                output = Path(folder) / "compared.html"
                comparison_page.write(*folders, output)
                return output.read_bytes()

        stamps = (str((folder / run_dir.STATUS).stat().st_mtime_ns) for folder in folders)
        content = self._once((*map(str, folders), *stamps), made)
        return Response(content, policy=f"{page.policy()}; sandbox allow-scripts")

    def _once(self, key: tuple[str, ...], make: Callable[[], bytes]) -> bytes:
        """A page that takes seconds to make; one is made at a time."""
        with self._drawing:  # Matplotlib's settings are of the whole process
            if key not in self._made:
                self._made[key] = make()
                if len(self._made) > _MOST_PAGES:
                    self._made.popitem(last=False)
            self._made.move_to_end(key)
            return self._made[key]


def _made_report(folder: Path) -> bytes:
    from fmkit.report import run_page  # with Matplotlib, which takes seconds to load

    return run_page.render(folder).encode("utf-8", "backslashreplace")


def run_key(run: RunSummary, root: Path) -> str:
    """What addresses call a run: its folder below the root."""
    return run.folder.relative_to(root).as_posix()


def _own(text: str, status: int = http.HTTPStatus.OK) -> Response:
    content = text.encode("utf-8", "backslashreplace")
    return Response(content, policy=runs_pages.policy(), status=status)
