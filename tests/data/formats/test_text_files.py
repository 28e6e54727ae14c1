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


SCRIPTS = {
    "хорошо, но доставка была долгой; Плохо;Москва": ["cp1251", "koi8_r"],
    "дуже добре, але довго їхали": ["cp1251"],
    "πολύ καλό προϊόν, αλλά άργησε η παράδοση": ["cp1253"],
    "מוצר טוב מאוד, אבל המשלוח היה איטי": ["cp1255"],
    "المنتج جيد جدا لكن التوصيل تأخر": ["cp1256"],
    "الطلب لم يصل في الوقت المحدد والخدمة سيئة جدا": ["cp1256"],  # frequent letters of Greek, too
    "とても良い商品でした。また買います": ["shift_jis", "euc_jp"],
    "配送が遅い①でも品質は良かったです": ["cp932"],
    "배송이 너무 느리고 품질이 좋지 않아요": ["euc_kr"],
    "這個產品的品質非常好，但是送貨太慢了": ["big5"],
    "这个产品的质量非常好，但是送货太慢了": ["gb18030"],
}
"""By text, the encodings that it may be in."""


@pytest.mark.parametrize(
    ("text", "encoding"), [(text, name) for text, names in SCRIPTS.items() for name in names]
)
def test_letters_of_one_script_tell_the_encoding(text, encoding):
    table = f"id,text,label\n1,{text},OK\n2,Wi-Fi {text},b\n"
    for content in (text, table, f"{table}{text * 200}"):
        assert guess_encoding(content.encode(encoding)) == encoding


def test_bytes_that_no_encoding_makes_words_of_are_unknown():
    assert guess_encoding(bytes(range(128, 256)) * 4) == ""


@pytest.mark.parametrize("text", ["groß", "Ärger", "ÄÖÜ", "créée", "größere Öfen", "1 £½"])
def test_few_letters_beside_each_other_are_latin(text):
    assert guess_encoding(text.encode("cp1252")) == "cp1252"
