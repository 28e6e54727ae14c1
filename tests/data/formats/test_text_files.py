"""The encoding that a text probably has, where it is not UTF-8."""

import pytest

from fmkit.data.formats.text_files import guess_encoding

TEXTS = [
    "größer für Müller & Söhne, ungenügend",
    "déjà vu, ça va très bien, élève",
    "mañana estará más cómodo",
    "um coração não é só músculo",
    "først må du spørge på øen",
]


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("encoding", ["cp1252", "mac_roman"])
def test_letters_tell_windows_from_mac(text, encoding):
    assert guess_encoding(text.encode(encoding)) == encoding


@pytest.mark.parametrize("text", ["“don’t” – he said… it’s", "5 € off – naïve", "Ÿ §1"])
def test_quotes_and_dashes_of_windows_are_not_taken_for_letters_of_mac(text):
    assert guess_encoding(text.encode("cp1252")) == "cp1252"


def test_other_encodings_are_as_before():
    assert guess_encoding("größer".encode()) == "utf-8"
    assert guess_encoding("größer".encode("utf-16")) == "utf-16"
    assert guess_encoding("größer".encode("utf-16-le")) == "utf-16-le"
    assert guess_encoding("a \x81 b".encode("latin-1")) == "latin-1"
