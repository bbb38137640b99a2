"""The page of the annotation's results: verdicts, tables, and the projection to PubMedDS."""

from typing import Any

from tables import table, verdict

SPEED_WANTED = 5.0  # times scispaCy's component
MEGABYTES_WANTED, NAMES_WANTED = 5.0, 100_000  # a second and core, with so many names
PUBMEDDS_DOCUMENTS, CORES = 3_500_000, 64


def markdown(results: dict[str, Any]) -> str:
    """Write the results."""
    sections = {"linking": linking, "dictionary": dictionary, "documents": documents}
    found = {name: sections[name](results[name]) for name in sections if name in results}
    lead = ["# Linking text, measured", "Written by benchmarks/annotate.py; README.md says what is compared."]
    verdicts = "\n".join(line for lines, _ in found.values() for line in lines)
    return "\n\n".join([*lead, verdicts, *(part for _, parts in found.values() for part in parts)]) + "\n"


def linking(found: dict[str, Any]) -> tuple[list[str], list[str]]:
    """The linking stage beside scispaCy's."""
    seconds, mentions, recall = found["seconds"], found["mentions"], found["recall"]
    peer = seconds["scispaCy's component"]
    lines = [
        verdict(
            peer / seconds[side] >= SPEED_WANTED,
            f"{side}: {peer / seconds[side]:.1f} times as fast as scispaCy's component; "
            f"wanted {SPEED_WANTED:g}",
        )
        for side in ("ours, approximate", "ours, exact")
    ]
    same = f"the same links of {found['same']:,} of {mentions:,} mentions, with the same approximate index"
    lines.append(verdict(found["same"] == mentions, same))
    rows = [
        [side, f"{took:.2f}", f"{mentions / took:,.0f}", f"{peer / took:.1f}x"]
        for side, took in seconds.items()
    ]
    settings = found["settings"]
    shares = [100 * recall[f"{what}_approximately"] / recall[what] for what in ("linked", "links")]
    parts = [
        "## The linking stage",
        table(["side", "s", "mentions/s", "speed"], rows),
        f"{mentions:,} noun phrases ({found['distinct']:,} distinct) of {found['documents']:,} abstracts, "
        f"{found['names']:,} names, k {settings['k']}, threshold {settings['threshold']}, at most "
        f"{settings['max_entities']} concepts; graph {found['graph']}, efSearch 200. "
        f"{conditions(found['made'])}",
        f"Exact search links {recall['linked']:,} mentions; of these the graph links "
        f"{recall['linked_approximately']:,} ({shares[0]:.1f}%), and of {recall['links']:,} links it finds "
        f"{recall['links_approximately']:,} ({shares[1]:.1f}%).",
    ]
    return lines, parts


def dictionary(found: dict[str, Any]) -> tuple[list[str], list[str]]:
    """The dictionary's growth."""
    rate = {one["names"]: one["megabytes"] / one["seconds"] for one in found["sizes"]}
    reached = rate[NAMES_WANTED]
    line = verdict(
        reached >= MEGABYTES_WANTED,
        f"dictionary of {NAMES_WANTED:,} names: {reached:.1f} MB of text a second and core; "
        f"wanted {MEGABYTES_WANTED:g}",
    )
    rows = [
        [f"{one['names']:,}", f"{one['kept']:,}", f"{one['build_seconds']:.1f}", f"{rate[one['names']]:.1f}",
         f"{one['matches']:,}"]
        for one in found["sizes"]
    ]  # fmt: skip
    parts = [
        "## The dictionary",
        table(["names", "looked for", "s to build", "MB/s", "matches"], rows),
        f"{found['sizes'][0]['megabytes']:.1f} MB of abstracts, one thread. {conditions(found['made'])}",
    ]
    return [line], parts


def documents(found: dict[str, Any]) -> tuple[list[str], list[str]]:
    """Whole annotations, and what they would take for PubMedDS."""
    rows, projections = [], []
    for one in found["cases"]:
        linking_seconds = one["seconds"] - one["loading_seconds"]
        rate = one["documents"] / linking_seconds
        hours = PUBMEDDS_DOCUMENTS / rate / CORES / 3600
        rows.append([one["linker"], f"{one['loading_seconds']:.1f}", f"{linking_seconds:.1f}", f"{rate:.0f}",
                     f"{one['mentions']:,}", f"{hours:.2f}"])  # fmt: skip
        projections.append(
            f"{one['linker']}: {PUBMEDDS_DOCUMENTS:,} / {rate:.0f} a second / {CORES} cores = {hours:.2f} h"
        )
    parts = [
        "## Documents, end to end",
        table(["linker", "s to load", "s", "documents/s", "mentions", "h for PubMedDS"], rows),
        f"{found['cases'][0]['documents']:,} abstracts, one process; loading (knowledge base, index, models) "
        f"apart. {conditions(found['made'])}",
        "On paper, for the 3.5M documents of PubMedDS on 64 cores, each as fast as this one and every "
        f"process with work to the end: {'; '.join(projections)}.",
    ]
    return [], parts


def conditions(made: dict[str, Any]) -> str:
    """Say where and when."""
    return f"{made['machine']}, {made['threads']} threads; commit {made['commit']}; {made['when']}."
