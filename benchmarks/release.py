"""Writes a made-up release with the shape of UMLS 2020AA: MRCONSO.RRF, MRREL.RRF and MRSTY.RRF of any size.

Every number below is a share of what NLM states of 2020AA (4.3M concepts, 15M names) or of what such files
look like (ours): seven names in ten are English, one row in ten is suppressed, most concepts have a few names
and some have hundreds, every relation is there in both directions, and half of them have no RELA. Names
repeat words, as names do, so that compression meets what it would meet.
"""

# ruff: noqa: E501  (the SQL reads better in long lines)
import argparse
from pathlib import Path

import duckdb

CONCEPTS, NAMES, RELATIONS = 4_300_000, 15_000_000, 40_000_000  # 2020AA
SOURCES, NAMED_RELATIONS, TYPES = 200, 900, 127
WORDS = 60_000  # ours: with three or four a name most names are unlike, and a few are the same


def write_release(folder: Path, *, share: float, seed: int = 0) -> None:
    """Write a release of `share` of the full size, its rows in the order of their CUIs as NLM has them."""
    folder.mkdir(parents=True, exist_ok=True)
    with duckdb.connect() as connection:
        connection.execute("SET preserve_insertion_order = true")
        sizes = {
            "concepts": int(CONCEPTS * share),
            "names": int(NAMES * share),
            "half": int(RELATIONS * share) // 2,
        }
        for name, query in (("MRCONSO", _CONSO), ("MRREL", _REL), ("MRSTY", _STY)):
            filled = query.format(
                **sizes, sources=SOURCES, named=NAMED_RELATIONS, types=TYPES, words=WORDS, seed=seed
            )
            path = str(folder / f"{name}.RRF").replace("'", "''")
            connection.execute(
                f"COPY ({filled}) TO '{path}' (FORMAT csv, HEADER false, QUOTE '', ESCAPE '', DELIMITER '\t')"
            )


_DRAW = "hash({what}, {{seed}})"
# Concept of the n-th name: the first pass gives every concept one; the rest crowd towards low numbers of a
# block.
_CONSO = """
SELECT concat('C', lpad(cui::VARCHAR, 7, '0'), '|', language, '|', CASE WHEN nth = 0 THEN 'P' ELSE 'S' END, '|L',
    lpad(n::VARCHAR, 8, '0'), '|', CASE WHEN h % 3 = 0 THEN 'VO' ELSE 'PF' END, '|S', lpad(n::VARCHAR, 8, '0'), '|',
    CASE WHEN h % 5 = 0 THEN 'N' ELSE 'Y' END, '|A', lpad(n::VARCHAR, 8, '0'), '||', code, '||', source, '|PT|', code,
    '|', name, '|0|', CASE WHEN h % 10 = 0 THEN 'O' ELSE 'N' END, '||')
FROM (
    SELECT n, cui, nth, h, CASE WHEN nth = 0 OR h % 10 < 7 THEN 'ENG' WHEN h % 10 = 7 THEN 'SPA' ELSE 'GER' END
            AS language,
        'SAB' || floor({sources} * pow((h // 7 % 1000) / 1000.0, 3))::INT AS source, 'D' || (h // 11 % 900000) AS code,
        concat('term', h % {words}, ' of ', 'word', h // 64 % {words}, CASE WHEN h // 3 % 2 = 0 THEN ', NOS' ELSE '' END,
            CASE WHEN h // 5 % 3 = 0 THEN concat(' (kind-', h // 4096 % 300, ')') ELSE concat(' ', h // 131 % 9000) END)
            AS name
    FROM (SELECT n, cui, nth, hash(n, {seed}) AS h FROM (
        SELECT unnest(range(count)) AS nth, cui, first_name + nth AS n FROM (
            SELECT cui, count, sum(count) OVER (ORDER BY cui) - count AS first_name FROM (
                SELECT c AS cui, 1 + (CASE WHEN hash(c, {seed}) % 1000 = 0 THEN 250 ELSE 0 END)
                    + floor(({names} / {concepts} - 1.25) * 2 * (hash(c, {seed}, 1) % 1000) / 1000 + 0.5)::INT AS count
                FROM range({concepts}) AS t(c)
            )
        )
    ))
)"""
# A head and a tail for each fact, both crowding towards hubs; then the two rows of it, in the order of CUI1.
_REL = """
SELECT concat('C', lpad(first::VARCHAR, 7, '0'), '||CUI|', rel, '|C', lpad(second::VARCHAR, 7, '0'), '||CUI|', rela, '|R',
    lpad(number::VARCHAR, 9, '0'), '||', source, '|', source, '||', CASE WHEN number % 2 = 0 THEN 'Y' ELSE '' END, '|',
    CASE WHEN h % 20 = 0 THEN 'O' ELSE 'N' END, '||')
FROM (
    SELECT h, source, unnest([head, tail]) AS first, unnest([tail, head]) AS second,
        unnest(CASE WHEN h % 2 = 0 THEN ['', ''] ELSE ['rela_' || kind, 'inverse_rela_' || kind] END) AS rela,
        unnest(CASE WHEN h % 4 = 0 THEN ['CHD', 'PAR'] WHEN h % 4 = 2 THEN ['SIB', 'SIB'] ELSE ['RO', 'RO'] END) AS rel,
        unnest([2 * n, 2 * n + 1]) AS number
    FROM (
        SELECT n, h, 'SAB' || floor({sources} * pow((h // 7 % 1000) / 1000.0, 3))::INT AS source,
            floor({named} / 2 * pow((h // 13 % 100000) / 100000.0, 4))::INT AS kind,
            floor({concepts} * pow((hash(n, {seed}, 2) % 1000000007) / 1000000007.0, 2))::BIGINT AS head,
            floor({concepts} * pow((hash(n, {seed}, 3) % 1000000007) / 1000000007.0, 1.5))::BIGINT AS tail
        FROM (SELECT n, hash(n, {seed}, 4) AS h FROM range({half}) AS t(n))
    )
) ORDER BY first, number"""
_STY = """
SELECT concat('C', lpad(c::VARCHAR, 7, '0'), '|T', lpad((hash(c, {seed}) % {types})::VARCHAR, 3, '0'), '|A1.2|Type ',
    hash(c, {seed}) % {types}, '|AT', lpad(c::VARCHAR, 8, '0'), '|256|')
FROM range({concepts}) AS t(c) ORDER BY c"""


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--share", type=float, default=0.1, help="of the size of 2020AA")
    arguments = parser.parse_args()
    write_release(arguments.folder, share=arguments.share)
