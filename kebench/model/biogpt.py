"""A fast tokenizer for BioGPT, whose own is slow and does not say where in a text its pieces stand.

The pieces are those of transformers' BioGptTokenizer, which is asked for them: Moses' rules part a text into
tokens, in which a dash between letters becomes @-@ and signs of XML are escaped, and byte pair encoding parts
these. What is added here is the place of each piece.
"""

import re
from pathlib import Path
from typing import Any

import transformers
from tokenizers import NormalizedString, PreTokenizedString, Tokenizer, models, processors
from tokenizers.pre_tokenizers import PreTokenizer

from kebench.errors import UserError

# What Moses' rules write for one character of a text.
_WRITTEN = {
    "@-@": "-", "&amp;": "&", "&lt;": "<", "&gt;": ">", "&quot;": '"', "&apos;": "'", "&#124;": "|",
    "&#91;": "[", "&#93;": "]",
}  # fmt: skip
_CHARACTER = re.compile("|".join((*map(re.escape, _WRITTEN), ".")), re.DOTALL)
_END = "</w>"  # of a token, on its last piece


def load_biogpt_tokenizer(folder: Path, **arguments: Any) -> transformers.PreTrainedTokenizerFast:
    """Load the tokenizer of a BioGPT's vocab.json and merges.txt as a fast one.

    arguments: of from_pretrained. It cannot be saved or pickled: a part of it is Python.
    """
    try:
        slow = transformers.BioGptTokenizer.from_pretrained(folder, **arguments)
    except ImportError:
        raise UserError(
            f"{folder}: the tokenizer of a BioGPT needs the package sacremoses; pip install 'kebench[biogpt]'"
        ) from None
    backend = Tokenizer(models.WordLevel(vocab=dict(slow.encoder), unk_token=slow.unk_token))
    backend.post_processor = processors.TemplateProcessing(
        single=f"{slow.sep_token} $A", special_tokens=[(slow.sep_token, slow.sep_token_id)]
    )
    named = {role: token for role, token in slow.special_tokens_map.items() if isinstance(token, str)}
    fast = transformers.PreTrainedTokenizerFast(
        tokenizer_object=backend, model_max_length=slow.model_max_length, **named
    )
    fast.backend_tokenizer.pre_tokenizer = PreTokenizer.custom(_Pieces(slow))
    return fast


class _Pieces:
    """Parts a text into BioGPT's pieces."""

    def __init__(self, slow: Any) -> None:
        self.slow = slow

    def pre_tokenize(self, text: PreTokenizedString) -> None:
        """Part each stretch of a text that stands between special tokens."""
        text.split(self._split)

    def _split(self, number: int, text: NormalizedString) -> list[NormalizedString]:
        plain, pieces, at = str(text), [], 0
        for token in self.slow.moses_tokenize(plain, self.slow.lang):
            places = []  # in the text, of each character of the token
            for written in _CHARACTER.findall(token):
                at = plain.index(_WRITTEN.get(written, written), at)
                places += [at] * len(written)
                at += 1
            begin = 0
            for piece in self.slow.bpe(token).split(" "):
                letters = piece.removesuffix(_END)
                end = begin + len(letters)
                found = text[places[begin] : places[end - 1] + 1]
                assert found is not None, "its places are in the text"
                found.replace("'", "&apos;")  # the one escaped sign that may stand among others
                if str(found) != letters:  # another one, or a part of one, which stands where all of it does
                    found.replace(str(found), letters)
                if piece != letters:
                    found.append(_END)
                pieces.append(found)
                begin = end
        return pieces
