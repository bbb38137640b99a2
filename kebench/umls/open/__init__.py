"""Open knowledge: ontologies, tables of terms and triples, and "open-kb", in the shape of a UMLS release.

terms.py        the nouns: a term, a vocabulary
ids.py          identifiers: one spelling each, and what they are called in a UMLS release
ontology.py     ontologies -> vocabularies, by obo.py or obo_json.py
tsv.py          tables of terms, tables of triples -> vocabularies
unify.py        which terms are one concept, and what each concept is called
resolve.py      what an id or a name in a triple refers to
tables.py       vocabularies -> MRCONSO, MRREL, MRSTY (Parquet)
manifest.py     which sources went in, and what unification found
build.py        all of this: `tables_from_obo`
fetch.py        the two wheels that open-kb's tables are read from
sources.py      cards/*.toml: open-kb's sources, each read by a function of mesh.py, genes.py,
                ontology_tables.py or phenotypes.py
drugs.py        a folder of drug indications -> a vocabulary
open_kb.py      `tables_of_open_kb`: a folder -> our named release
"""
