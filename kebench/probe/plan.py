"""A probe before it runs: model, queries, how they are asked, the identity that says if it has been made."""

import tomllib
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pydantic import ValidationError

from kebench.cards import ModelCard
from kebench.errors import UserError, first_fault
from kebench.model.layout import read_config, refuse_other_kinds
from kebench.model.source import ResolvedModel, model_hash
from kebench.probe.query_set import SET_VERSIONS, QuerySet
from kebench.probe.questions import QuestionSet
from kebench.probe.record import (
    Decoder,
    DecoderMode,
    FillSettings,
    ProbeSubset,
    Settings,
    probe_folder,
    probe_identity,
)
from kebench.records import Provenance
from kebench.runtime import Begun, device_description
from kebench.shipped import shipped

Precision = Literal["fp32", "bf16"]


class ProbePlan(NamedTuple):
    """One probe to be made. settings: how it asks; their type decides which prober carries it out.

    set_hash: of what is asked of the set: its queries alone, or its pools as well.
    """

    card: ModelCard
    folder: Path
    model_hash: str
    query_set: QuerySet | QuestionSet
    set_hash: str
    settings: Settings
    precision: Precision
    subset: ProbeSubset

    @property
    def identity(self) -> str:
        """The hash that the record will carry."""
        return probe_identity(
            model_hash=self.model_hash,
            set_hash=self.set_hash,
            settings=self.settings,
            precision=self.precision,
            subset=self.subset,
        )

    def stated(self, begun: Begun) -> dict[str, Any]:
        """Return what the record of every prober says of a probe, by the names of its fields."""
        return {
            "identity": self.identity,
            "model": self.card.name,
            "model_hash": self.model_hash,
            "set": self.query_set.manifest.name,
            "set_hash": self.set_hash,
            "protocol_version": self.settings.protocol_version,
            "precision": self.precision,
            "subset": self.subset,
            "provenance": Provenance(
                **begun.provenance(), device=device_description(begun.device), num_processes=1
            ),
        }

    def out(self, folder: Path) -> Path:
        """The folder of the probe's predictions and record, under a folder of results."""
        return probe_folder(
            folder, set_name=self.query_set.manifest.name, model=self.card.name, identity=self.identity
        )


def read_decoder(mode: DecoderMode, **changes: object) -> Decoder:
    """Return the settings of a mode, with single values replaced by those of `changes` that are not None.

    Each can move an answer, so all are part of a probe's identity.
    """
    path = shipped("probing") / "decoders.toml"
    fields = tomllib.loads(path.read_text(encoding="utf-8"))[mode]
    try:
        return Decoder.model_validate(fields | {k: v for k, v in changes.items() if v is not None})
    except ValidationError as error:
        fault = first_fault(error, whole="the decoder", shows_value=True)
        raise UserError(f"decoder: {fault}; choose another value") from None


def plan_fill(
    model: ResolvedModel,
    query_set: QuerySet,
    settings: FillSettings,
    *,
    precision: Precision,
    subset: ProbeSubset,
) -> ProbePlan:
    """Plan a probe that fills blanks.

    Raises UserError for a set whose accepted names older rules made, and for a way of decoding that the
    answers of a released KeBioLM have no batches for.
    """
    refuse_other_kinds(model.folder, kind=model.card.kind)
    refuse_older_set(query_set)
    decoder = settings.decoder
    if read_config(model.folder).get("fidelity") == "released":
        asked = "--refine" if decoder.refine else f"--decoder {decoder.method}"
        if decoder.refine or decoder.method == "independent":
            raise UserError(
                f"{model.card.name}: {asked} is not for a KeBioLM in mode released: its answers depend on "
                "the released code's batches, and that code does no such thing; leave it out, or convert the "
                "weights with --fidelity fixed"
            )
    hashed = model_hash(model.folder, casing=model.card.casing)
    set_hash = query_set.manifest.hash_of_queries
    return ProbePlan(model.card, model.folder, hashed, query_set, set_hash, settings, precision, subset)


def refuse_older_set(query_set: QuerySet) -> None:
    """Raise UserError for a set whose accepted names older rules made."""
    if query_set.manifest.set_version < SET_VERSIONS[query_set.manifest.mode]:
        raise UserError(
            f"{query_set.folder}: made by an older rule, which cut every closing bracket off a name (iron "
            "(II) and iron (III) both became iron); build or import the set again, into another folder"
        )


def subset_of(query_set: QuerySet | QuestionSet, *, queries: int | None, seed: int) -> ProbeSubset:
    """Return which queries are asked: so many, drawn with the seed; None or enough for all asks all."""
    is_part = queries is not None and queries < len(query_set)
    return ProbeSubset(queries=queries, seed=seed) if is_part else ProbeSubset()
