"""Why a preset cannot be fetched is said in one sentence of ours, whichever library failed."""

import urllib.error
from email.message import Message

import pytest
import requests

from fmkit.core.errors import ArtifactError
from fmkit.models.hub.presets import loading

NETWORK = "there is no network connection to the server."
MISSING = "the server does not have it."
PERMISSION = "the server wants permission, or does not have it."


class ConnectError(Exception):
    """Of httpx, which huggingface_hub uses."""


class LocalEntryNotFoundError(FileNotFoundError):
    """Of huggingface_hub, which KerasHub does not require."""


class GatedRepoError(Exception):
    """Of huggingface_hub, too."""

    response = requests.Response()
    response.status_code = 403


def answer(status):
    response = requests.Response()
    response.status_code = status
    return response


def chained(message, cause):
    """An error that another library made of a cause, as KerasHub and Keras do."""
    try:
        try:
            raise cause
        except Exception:
            raise FileNotFoundError(message)  # noqa: B904 - so that only the context has it
    except FileNotFoundError as error:
        return error


REFUSED = urllib.error.HTTPError("http://x", 503, "busy", Message(), None)
FAILURES = {
    "requests": (requests.ConnectionError("HTTPSConnectionPool(host='x', port=443)"), NETWORK),
    "a slow server": (requests.ReadTimeout("HTTPSConnectionPool: Read timed out."), NETWORK),
    "urllib": (chained("URL fetch failure", urllib.error.URLError("gaierror")), NETWORK),
    "httpx": (ConnectError("[Errno -2] Name or service not known"), NETWORK),
    "hub offline": (chained("`config.json` is not there", LocalEntryNotFoundError("x")), NETWORK),
    "kaggle 404": (chained("no file", requests.HTTPError("404", response=answer(404))), MISSING),
    "kaggle 403": (chained("no file", requests.HTTPError("403", response=answer(403))), PERMISSION),
    "gated": (GatedRepoError("gated"), PERMISSION),
    "urllib 503": (chained("URL fetch failure", REFUSED), "the server refuses (HTTP status 503)."),
    "another": (ValueError("\nNo such layer.\nMore."), "No such layer."),
}


@pytest.mark.parametrize("name", FAILURES)
def test_one_sentence(name):
    error, reason = FAILURES[name]
    with pytest.raises(ArtifactError) as caught, loading("bert_base_en"):
        raise error
    assert caught.value.message == f"The preset bert_base_en could not be fetched: {reason}"
    assert caught.value.hint
    assert ("Check the name" in caught.value.hint) is (reason in (MISSING, PERMISSION))
    assert ("HF_TOKEN" in caught.value.hint) is (reason == PERMISSION)
