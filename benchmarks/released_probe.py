"""The decoder released with KeBioLM, written anew and plainly: the peer of benchmarks/probe.py.

Confidence decoding with a beam that keeps one string once for each order of filling it. Every text goes
through the model `beam` times, also at the first step; all its word pieces go through the head; texts share a
batch if they are equally long, whatever their number of blanks, and a finished text is forwarded on.
tests/probe holds our decoder to its strings. It has no progress bar, and counts what was forwarded.
"""

from typing import Any, NamedTuple

import torch

MAX_LENGTH = 64  # word pieces; what is longer is cut
BATCH_SIZE = 96  # states in one forward pass: 19 texts with a beam of 5


class Row(NamedTuple):
    """One text with a number of blanks. query: which of the texts it is."""

    query: int
    ids: list[int]
    blanks: list[int]


class Decoded(NamedTuple):
    """The strings of each text, in the order of the released code; texts and word pieces forwarded.

    squares: the sum of the squared lengths.
    """

    strings: list[list[str]]
    states: int
    tokens: int
    squares: int


def decode_as_released(
    texts: list[str],
    model: Any,
    tokenizer: Any,
    *,
    beam: int = 5,
    max_masks: int = 10,
    asked: dict[tuple[int, ...], int] | None = None,
) -> Decoded:
    """Return `beam` strings a text and number of blanks, the longest texts first.

    asked: gets every distinct text with open blanks that was forwarded, and how many they are.
    """
    rows_by_length: dict[int, list[Row]] = {}
    for query, text in enumerate(texts):
        ids = tokenizer(text, truncation=True, max_length=MAX_LENGTH)["input_ids"]
        for row in _with_more_blanks(ids, tokenizer.mask_token_id, max_masks):
            blanks = [place for place, token in enumerate(row) if token == tokenizer.mask_token_id]
            rows_by_length.setdefault(len(row), []).append(Row(query, row, blanks))
    strings: list[list[str]] = [[] for _ in texts]
    states = tokens = squares = 0
    for length in sorted(rows_by_length, reverse=True):
        rows = rows_by_length[length]
        for start in range(0, len(rows), BATCH_SIZE // beam):
            batch = rows[start : start + BATCH_SIZE // beam]
            finished, num_passes = _fill(batch, model, beam, {} if asked is None else asked)
            states += num_passes * len(batch) * beam
            tokens += num_passes * len(batch) * beam * length
            squares += num_passes * len(batch) * beam * length**2
            for row, beams in zip(batch, finished, strict=True):
                for ids in beams:
                    answer = [ids[place] for place in row.blanks]
                    strings[row.query].append(
                        tokenizer.decode(answer, skip_special_tokens=True, clean_up_tokenization_spaces=True)
                    )
    return Decoded(strings, states, tokens, squares)


def _with_more_blanks(ids: list[int], mask_id: int, max_masks: int) -> list[list[int]]:
    """Return the text with 1 to max_masks blanks; only the text itself if it has none."""
    if mask_id not in ids:
        return [ids]
    place = ids.index(mask_id)
    longer = [ids[:place] + [mask_id] * number + ids[place + 1 :] for number in range(2, max_masks + 1)]
    return [ids, *(row[:MAX_LENGTH] for row in longer)]


@torch.no_grad()
def _fill(
    batch: list[Row], model: Any, beam: int, asked: dict[tuple[int, ...], int]
) -> tuple[list[list[list[int]]], int]:
    """Return the beams of each text once all blanks of all are filled, and how often the model was called."""
    ids = [[list(row.ids) for _ in range(beam)] for row in batch]
    blanks = [[list(row.blanks) for _ in range(beam)] for row in batch]
    scores = [[0.0] * beam for _ in batch]
    num_passes = max(len(row.blanks) for row in batch)
    for step in range(num_passes):
        logits = model(torch.tensor([state for states in ids for state in states])).logits
        for number in range(len(batch)):
            if not blanks[number][0]:
                continue
            children = []
            for slot in range(beam if step else 1):
                asked[tuple(ids[number][slot])] = len(blanks[number][slot])
                log_prob = torch.log_softmax(logits[number * beam + slot][blanks[number][slot]], dim=-1)
                best, index = log_prob.flatten().topk(beam)
                size = log_prob.shape[1]
                for value, flat in zip(best, index, strict=True):
                    place, token = divmod(int(flat), size)
                    children.append((float(scores[number][slot] + value), slot, place, token))
            children.sort(key=lambda child: -child[0])
            parents = ids[number], blanks[number]
            ids[number], blanks[number], scores[number] = [], [], []
            for score, slot, place, token in children[:beam]:
                state, left = list(parents[0][slot]), list(parents[1][slot])
                state[left.pop(place)] = token
                ids[number].append(state)
                blanks[number].append(left)
                scores[number].append(score)
    return ids, num_passes
