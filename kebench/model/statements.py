"""What a language model of any family is asked in ranking: statements with a blank, names that may fill it.

The three families answer in one form, so that what is computed of it knows none of them: `causal_lm` (a text
is read from left to right), `masked_lm` (pseudo-log-likelihood), `seq2seq_lm` (the decoder writes the blank).
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple, Protocol

import numpy
from numpy.typing import NDArray

# S statements, N names
Family = Literal["causal", "masked", "encoder-decoder"]


class Statement(NamedTuple):
    """A text around a blank.

    before: all that stands before the blank, without a space at its end; facts that are given as shots too.
    after: all that stands behind it, as it follows the name: "." or " may be treated by propranolol."
    """

    before: str
    after: str


class NameScores(NamedTuple):
    """Natural log probabilities of each name in each statement, (S, N), float32; NaN where not computed.

    tokens: of the name. name: sum over its tokens. first: of its first token.
    before, after: sums over the tokens of either side. For a causal model `before` does not depend on the
    name, and `after` is given the name; of a masked model all three are pseudo-log-likelihoods; an
    encoder-decoder model reads both sides, so it has neither.
    straddles: a token holds letters of the name and of what stands beside it; it is counted to the name.
    unknown: tokens of the name that stand for what the vocabulary lacks ([UNK]); None where not counted.
    """

    tokens_SN: NDArray[numpy.int16]
    name_SN: NDArray[numpy.float32]
    first_SN: NDArray[numpy.float32]
    before_SN: NDArray[numpy.float32]
    after_SN: NDArray[numpy.float32]
    straddles_SN: NDArray[numpy.bool_]
    unknown_SN: NDArray[numpy.int16] | None = None


class RanksNames(Protocol):
    """A loaded language model that scores names in statements: the same numbers for any batch and order.

    sharing: how texts that begin alike are computed, and which ways are not used and why; "" where each text
    is computed by itself.
    """

    family: Family

    @property
    def sharing(self) -> str: ...

    def score_names(
        self,
        statements: Sequence[Statement],
        names: Sequence[str],
        *,
        with_before: bool = False,
        with_after: bool = False,
        batch_tokens: int | None = None,
    ) -> NameScores:
        """Score every name in every statement.

        with_before, with_after: also the tokens of that side. batch_tokens: most tokens in one forward pass.
        Raises UserError for a text beyond the model's limit of tokens, and for a name without tokens.
        """
