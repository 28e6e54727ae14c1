"""A file has its old content or its new one, and is written by `core.files` alone."""

import ast
import errno
from pathlib import Path

import pytest

from fmkit.core import files

PACKAGE = Path(files.__file__).parent.parent
WRITERS = {  # each for a reason
    "core/files.py",
    "core/atomic_dir.py",
    "core/console.py",  # stdout and stderr themselves
    "data/formats/parquet_photos.py",  # into a temporary folder
    "data/quality/quarantine.py",  # appends to a shell script
    "store/tensorboard.py",  # a stream of events
    "models/weights/formats.py",  # into a temporary folder
    *("export/measure.py", "export/parity.py"),  # into a temporary folder
}


def test_a_library_writes_to_a_temporary_path_of_the_same_format(tmp_path):
    path = tmp_path / "table.parquet"
    with files.replacing(path) as temporary:
        temporary.write_text("new")
        assert (temporary.parent, temporary.suffix) == (path.parent, path.suffix)
        assert not path.exists()
    assert [file.name for file in tmp_path.iterdir()] == ["table.parquet"]
    assert path.read_text() == "new"


def test_an_error_leaves_the_old_content_and_names_the_file(tmp_path):
    path = tmp_path / "status.json"
    path.write_text("old")

    def fail():
        with files.replacing(path) as temporary:
            temporary.write_text("torn")
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match=r"status\.json"):
        fail()
    assert [file.read_text() for file in tmp_path.iterdir()] == ["old"]


def test_only_temporaries_of_killed_writers_are_removed(tmp_path):
    for name in (".status.77.0123abcd.json", ".notes", ".hydra", "status.json"):
        (tmp_path / name).write_text("")
    files.remove_temporaries(tmp_path)
    assert {file.name for file in tmp_path.iterdir()} == {".notes", ".hydra", "status.json"}


def writes(path):
    """The calls in a file that open another one for writing."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Call):
            continue
        name = node.func.attr if isinstance(node.func, ast.Attribute) else ""
        name = node.func.id if isinstance(node.func, ast.Name) else name
        owner = getattr(getattr(node.func, "value", None), "id", "")
        modes = [arg.value for arg in node.args if isinstance(arg, ast.Constant)]
        modes += [key.value.value for key in node.keywords if isinstance(key.value, ast.Constant)]
        is_open = name == "open" and any(
            isinstance(mode, str) and mode.strip("bt+") in ("w", "x", "a") for mode in modes
        )
        if is_open or (name in ("write_text", "write_bytes") and owner != "files"):
            yield f"{name}, line {node.lineno}"


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=str)
def test_there_is_one_way_to_write_a_file(path):
    if path.relative_to(PACKAGE).as_posix() not in WRITERS:
        assert list(writes(path)) == []


def test_the_search_sees_what_it_is_there_for():
    assert list(writes(PACKAGE / "core" / "files.py"))
    assert list(writes(PACKAGE / "store" / "tensorboard.py"))


@pytest.mark.parametrize(
    "typed",
    [
        "~/a b",
        "{home}/a b",
        "file:///{home}/a%20b",
        "file://localhost{home}/a%20b",
        "file:{home}/a b",
    ],
)
def test_a_path_may_be_a_url_or_begin_with_the_home_folder(typed, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    typed = typed.format(home=tmp_path)
    assert files.absolute_path(typed) == str(tmp_path / "a b")
    assert files.absolute_path(Path(typed)) == str(tmp_path / "a b")  # which drops a slash


def test_a_pattern_is_what_fits_it_and_a_literal_name_comes_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("a1.txt", "a2.txt", "b.txt", "[x].txt", "deep/er/a3.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")

    def names(pattern):
        return [str(Path(path).relative_to(tmp_path)) for path in files.matching_paths(pattern)]

    assert names("a*.txt") == ["a1.txt", "a2.txt"]
    assert names("**/a*.txt") == ["a1.txt", "a2.txt", "deep/er/a3.txt"]
    assert names("[ab]?.txt") == ["a1.txt", "a2.txt"]
    assert names("[x].txt") == ["[x].txt"]
    assert names("none*") == ["none*"]
    assert names("d*/**") == ["deep"]
    (tmp_path / "@eaDir").mkdir()
    (tmp_path / "@eaDir" / "a1.txt").write_text("")
    (tmp_path / ".hidden").mkdir()
    assert names("*/a1.txt") == names("@ea*/*") == ["@eaDir/a1.txt"]
    assert names("**/a1.txt") == ["a1.txt"]
    assert names("*") == ["[x].txt", "a1.txt", "a2.txt", "b.txt", "deep"]
    assert files.input_path("b*") == str(tmp_path / "b.txt")
    assert files.input_path("a*") == str(tmp_path / "a*")
