"""Questions with windows of their texts as rows of tokens, and where the answer is in each.

A row is `[start] question [separator] text [end]`. In causal models rows have one more separator at
the end, which has seen the whole row and stands for no answer; in others the first token does.

n tokens of a row, W words of a text.
"""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from fmkit.config.schema.task import QuestionAnsweringConfig
from fmkit.core.errors import ConfigError, DataError, received
from fmkit.core.types import Tokenizer
from fmkit.data.content.answer_spans import AnswerSpans, Span
from fmkit.data.content.texts import Texts
from fmkit.data.examples import Examples
from fmkit.models.tokenizers import word_alignment
from fmkit.tasks.base import Rows

NOT_IN_TEXT, IN_TEXT, START, END = -1, 0, 1, 2
"""The mark of a token: outside the text; in it; the first of an answer; the last. 3: both."""

_CHUNK = 1024  # texts that are tokenised together


def encode(
    examples: Examples,
    tokenizer: Tokenizer,
    is_causal: bool,
    max_length: int,
    config: QuestionAnsweringConfig,
) -> Rows:
    """Rows of tokens with their words in the text, -1 elsewhere, and their marks, (n, 3).

    Args:
        examples: pairs of texts; without annotations no row has an answer.
        tokenizer: the model's.
        is_causal: whether a token sees only those before it.
        max_length: most tokens of a row.
        config: how texts and questions are cut.

    Raises:
        ConfigError: no window of a text has room beside a question.
        DataError: the examples are not pairs.
    """
    content = examples.content
    if not isinstance(content, Texts) or content.pairs is None:
        raise DataError("each question needs a text, and the data has none.")
    before, between, after = tokenizer.special_tokens
    suffix = [*after, between[-1]] if is_causal else [*after]
    contexts = _tokenise(tokenizer, content.pairs)
    annotations = examples.annotations
    spans = annotations.spans if isinstance(annotations, AnswerSpans) else ((),) * len(examples)
    rows: list[np.ndarray] = []
    origin: list[int] = []
    uncut: list[int] = []
    for start in range(0, len(examples), _CHUNK):
        questions = tokenizer.tokens(content.texts[start : start + _CHUNK])
        for index, question in enumerate(questions, start):
            prefix = [*before, *question[: config.max_question], *between]
            room = max_length - len(prefix) - len(suffix)
            if room < 1:
                least = f"{max_length - room + 1} tokens or more"
                raise ConfigError(
                    received("model.max_length", max_length, least),
                    f"A question alone has up to task.max_question={config.max_question}.",
                )
            context, step = contexts[content.pairs[index]], min(config.stride, room)
            answer = context.answer_tokens(spans[index])
            windows = list(_windows(prefix, suffix, context, answer, is_causal, room, step))
            rows += windows
            origin += [index] * len(windows)
            cut = max(0, len(question) - config.max_question)
            uncut += [len(row) + cut for row in windows]
    return rows, np.array(origin, np.int64), np.array(uncut, np.int64)


@dataclass(frozen=True)
class _Context:
    """A text as tokens.

    Attributes:
        spans: begin and end of each word in characters, (W, 2).
        tokens: (n,) int32.
        words: the word of each token, (n,), not falling.
    """

    spans: np.ndarray
    tokens: np.ndarray
    words: np.ndarray

    def answer_tokens(self, answers: Sequence[Span]) -> Span | None:
        """First and last token of the fewest words that hold the first answer.

        None without an answer, or where none of its words has a token.
        """
        if not answers:
            return None
        begin, end = answers[0]
        first = int(np.searchsorted(self.spans[:, 1], begin, side="right"))
        last = int(np.searchsorted(self.spans[:, 0], end, side="left")) - 1
        start = int(np.searchsorted(self.words, first, side="left"))
        stop = int(np.searchsorted(self.words, last, side="right")) - 1
        return (start, stop) if start <= stop else None


def _tokenise(tokenizer: Tokenizer, texts: Sequence[str]) -> dict[str, _Context]:
    """Each distinct text once."""
    distinct = list(dict.fromkeys(texts))
    contexts: dict[str, _Context] = {}
    for start in range(0, len(distinct), _CHUNK):
        chunk = distinct[start : start + _CHUNK]
        spans = [word_alignment.split_words(text) for text in chunk]
        words = [word_alignment.add_spaces(*pair) for pair in zip(chunk, spans, strict=True)]
        encoded = word_alignment.tokenize_words(tokenizer, words)
        for text, of_text, row in zip(chunk, spans, encoded, strict=True):
            array = np.array(of_text, np.int64).reshape(-1, 2)
            contexts[text] = _Context(array, row.tokens, row.words)
    return contexts


def _windows(
    prefix: list[int],
    suffix: list[int],
    context: _Context,
    answer: Span | None,
    is_causal: bool,
    room: int,
    step: int,
) -> Iterator[np.ndarray]:
    """A question with each window of its text, (n, 3) int32 each.

    Args:
        prefix: tokens before the text.
        suffix: tokens after it.
        context: the text.
        answer: first and last token of the answer in the text.
        is_causal: the last token stands for no answer, not the first one.
        room: tokens of a window.
        step: tokens from the start of a window to that of the next.
    """
    for start in itertools.count(0, step):
        stop = min(start + room, len(context.tokens))
        text = slice(len(prefix), len(prefix) + stop - start)
        row = np.full((text.stop + len(suffix), 3), NOT_IN_TEXT, np.int32)
        row[: text.start, 0] = prefix
        row[text.stop :, 0] = suffix
        row[text, 0] = context.tokens[start:stop]
        row[text, 1] = context.words[start:stop]
        row[text, 2] = IN_TEXT
        no_answer = len(row) - 1 if is_causal else 0
        row[no_answer, 2] = IN_TEXT
        first, last = no_answer, no_answer
        if answer is not None and start <= answer[0] and answer[1] < stop:
            first, last = (text.start + token - start for token in answer)
        row[first, 2] += START
        row[last, 2] += END
        yield row
        if stop == len(context.tokens):
            return
