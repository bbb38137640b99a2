"""Open knowledge: ontologies, tables of terms and triples, and "open-kb", in the shape of a UMLS release.

terms.py        the nouns: a term, a vocabulary
ids.py          identifiers: one spelling each, and what they are called in a UMLS release
ontology.py     ontologies -> vocabularies: OBO-JSON, and OBO by obo.py
tsv.py          tables of terms, tables of triples -> vocabularies
drugs.py        a folder of drug indications -> a vocabulary
sources.py      cards/*.toml: open-kb's sources, each read by a function from one of two wheels
unify.py        which terms are one concept, and what each concept is called
resolve.py      what an id or a name in a triple refers to
tables.py       vocabularies -> MRCONSO, MRREL, MRSTY (Parquet)
importing.py    all of this: one's own files, or a folder for open-kb, our named release -> a knowledge base
"""
