"""Mailboxes (mbox, as Thunderbird and Gmail's Takeout write them), each with many mails in a file.

Format: RFC 4155; the files that Thunderbird has have no ending.
"""

from collections.abc import Sequence
from pathlib import Path

from fmkit.core.errors import DataError, join_names
from fmkit.core.files import display_path

_HEAD = 2**12  # bytes that are looked at
_ENDINGS = ("", ".mbox", ".mbx")


def refuse_mailboxes(paths: Sequence[Path]) -> None:
    """Refuse mailboxes, with the lines that make a folder of texts of each.

    Raises:
        DataError: some of the files are mailboxes.
    """
    boxes = [path for path in paths if path.suffix.lower() in _ENDINGS and _is_mailbox(path)]
    if not boxes:
        return
    verb = "is a mailbox" if len(boxes) == 1 else "are mailboxes"
    names = [display_path(path) for path in boxes]
    raise DataError(
        f"{join_names(names, 5)} {verb} (mbox), and fmkit reads texts.",
        "These lines of Python save each mail as a text, in a folder for each mailbox in mails:\n"
        "import email, email.policy, mailbox, pathlib\n"
        f"for box in map(pathlib.Path, {names!r}):\n"
        "    for number, mail in enumerate(mailbox.mbox(box)):\n"
        "        mail = email.message_from_bytes(bytes(mail), policy=email.policy.default)\n"
        "        body = mail.get_body(('plain', 'html'))\n"
        "        text = body.get_content() if body else ''\n"
        "        path = pathlib.Path('mails', box.stem, f'{number:06d}.txt')\n"
        "        path.parent.mkdir(parents=True, exist_ok=True)\n"
        "        path.write_text(f\"{mail['subject']}\\n\\n{text}\", encoding='utf-8')",
    )


def _is_mailbox(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            first, _, rest = file.read(_HEAD).partition(b"\n")
    except OSError:
        return False
    names = {line.partition(b":")[0].lower() for line in rest.splitlines()}
    return first.startswith(b"From ") and not names.isdisjoint({b"from", b"subject", b"date"})
