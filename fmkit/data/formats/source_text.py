"""Texts that are the source of something else: mails with headers, web pages, rich text."""

import re
from collections import Counter
from collections.abc import Sequence

from fmkit.core.errors import plural
from fmkit.data.findings import Finding

_HEADER = re.compile(r"^(?:From |[A-Za-z][A-Za-z-]*:[ \t])", re.MULTILINE)
_MIME = re.compile(
    r"^(?:MIME-Version|Content-Transfer-Encoding|Content-Type|Received):", re.MULTILINE
)
_PAGE = re.compile(
    r"\s*(?:<\?xml[^>]*>\s*)?(?:<!--.*?-->\s*)*<(?:!doctype html|html)\b", re.I | re.S
)
_HEAD = 4096  # characters of a text that are looked at
_KINDS = {
    "mail": (
        "mails with their headers and encoded parts",
        "Save the text of each as .txt: email.message_from_bytes(data, "
        "policy=email.policy.default).get_body(('plain', 'html')).get_content()",
    ),
    "page": (
        "web pages with their markup",
        "Save the text of each as .txt: BeautifulSoup(page, 'html.parser').get_text(' ')",
    ),
    "rich": ("rich text (RTF) with its commands", "Save each as plain text (.txt)."),
}


def _kind(text: str) -> str:
    head = text[:_HEAD].lstrip("\ufeff")
    if head.startswith("{\\rtf"):
        return "rich"
    if _PAGE.match(head):
        return "page"
    headers = re.split(r"\r?\n\r?\n", head, maxsplit=1)[0]
    return "mail" if _HEADER.match(headers) and _MIME.search(headers) else ""


def source_findings(texts: Sequence[str]) -> list[Finding]:
    """A warning where texts are the source of mails, pages or rich text, and read as they stand."""
    counts = Counter(map(_kind, texts))
    findings = []
    for kind, (content, remedy) in _KINDS.items():
        if count := counts[kind]:
            verb = "is" if count == 1 else "are"
            why = f"{plural(count, 'text')} of {len(texts):,} {verb} {content}, which are read as "
            findings.append(Finding("source_text", "", f"{why}they stand. {remedy}", count=count))
    return findings
