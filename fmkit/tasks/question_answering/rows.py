"""Questions with windows of their texts as rows of tokens, and where the answer is in each.

A row is `[start] question [separator] text [end]`. In causal models rows have one more separator at
the end, which has seen the whole row and stands for no answer; in others the first token does.

n tokens of a row.
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
from fmkit.tasks.question_answering import squad_metrics

TOKEN, WORD, MARK, FROM, TO = range(5)
"""Columns of a row: a token, its word in the text, its mark, and where it begins and ends in the
text, in characters."""

NOT_IN_TEXT, IN_TEXT, START, END = -1, 0, 1, 2
"""The mark of a token: outside the text; in it; the first of an answer; the last. 3: both."""

_CHUNK = 1024  # texts that are tokenised together


def encode(
    examples: Examples,
    tokenizer: Tokenizer,
    is_causal: bool,
    max_length: int,
    config: QuestionAnsweringConfig,
) -> tuple[Rows, np.ndarray]:
    """Rows of tokens with their places in the text, (n, 5), and the questions that cannot be hit.

    These are the positions of questions of which no accepted answer, as SQuAD compares them, is
    what some tokens of a window stand for: it ends inside a token, or is too long.

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
    missed: list[int] = []
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
            text, most = content.pairs[index], (room, config.max_answer)
            if spans[index] and not any(context.is_hit(text, span, *most) for span in spans[index]):
                missed.append(index)
            windows = list(_windows(prefix, suffix, context, answer, is_causal, room, step))
            rows += windows
            origin += [index] * len(windows)
            cut = max(0, len(question) - config.max_question)
            uncut += [len(row) + cut for row in windows]
    made = rows, np.array(origin, np.int64), np.array(uncut, np.int64)
    return made, np.array(missed, np.int64)


@dataclass(frozen=True)
class _Context:
    """A text as tokens.

    Attributes:
        tokens: (n,) int32.
        words: the word of each token, (n,), not falling.
        begins: where each token begins in the text, in characters, (n,), not falling.
        ends: where it has ended, (n,), not falling.
    """

    tokens: np.ndarray
    words: np.ndarray
    begins: np.ndarray
    ends: np.ndarray

    def answer_tokens(self, answers: Sequence[Span]) -> Span | None:
        """First and last of the fewest tokens that hold the first answer.

        None without an answer, or where it has no token.
        """
        if not answers:
            return None
        begin, end = answers[0]
        start = int(np.searchsorted(self.ends, begin, side="right"))
        stop = int(np.searchsorted(self.begins, end, side="left")) - 1
        return (start, stop) if start <= stop else None

    def is_hit(self, text: str, answer: Span, most_tokens: int, most_words: int) -> bool:
        """Whether a prediction can equal an answer, as SQuAD compares them."""
        tokens = self.answer_tokens([answer])
        if tokens is None:
            return False
        start, stop = tokens
        begin, end = answer
        given = text[self.begins[start] : self.ends[stop]]
        return (
            squad_metrics.normalise_answer(given) == squad_metrics.normalise_answer(text[begin:end])
            and stop - start < most_tokens
            and int(self.words[stop] - self.words[start]) < most_words
        )


def _tokenise(tokenizer: Tokenizer, texts: Sequence[str]) -> dict[str, _Context]:
    """Each distinct text once."""
    distinct = list(dict.fromkeys(texts))
    contexts: dict[str, _Context] = {}
    for start in range(0, len(distinct), _CHUNK):
        chunk = distinct[start : start + _CHUNK]
        spans = [word_alignment.split_words(text) for text in chunk]
        words = [word_alignment.add_spaces(*pair) for pair in zip(chunk, spans, strict=True)]
        encoded = word_alignment.tokenize_words(tokenizer, words, with_offsets=True)
        for text, of_text, row in zip(chunk, spans, encoded, strict=True):
            starts = np.array(of_text, np.int64).reshape(-1, 2)[row.words, 0]
            places = (row.offsets + starts[:, None]).T
            # What no token stands for between two words lies behind both.
            begins, ends = (np.maximum.accumulate(column) for column in places)
            contexts[text] = _Context(row.tokens, row.words, begins, ends)
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
    """A question with each window of its text, (n, 5) int32 each.

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
        row = np.full((text.stop + len(suffix), 5), NOT_IN_TEXT, np.int32)
        row[: text.start, TOKEN] = prefix
        row[text.stop :, TOKEN] = suffix
        shown = slice(start, stop)
        row[text, TOKEN], row[text, WORD] = context.tokens[shown], context.words[shown]
        row[text, FROM], row[text, TO] = context.begins[shown], context.ends[shown]
        row[text, MARK] = IN_TEXT
        no_answer = len(row) - 1 if is_causal else 0
        row[no_answer, MARK] = IN_TEXT
        first, last = no_answer, no_answer
        if answer is not None and start <= answer[0] and answer[1] < stop:
            first, last = (text.start + token - start for token in answer)
        row[first, MARK] += START
        row[last, MARK] += END
        yield row
        if stop == len(context.tokens):
            return
