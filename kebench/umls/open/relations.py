"""Relations in both directions: a release states each fact twice, once under the inverse relation's name.

A row (CUI1, REL, CUI2, RELA) reads "CUI2 RELA CUI1". REL says what CUI2 is to CUI1: CHD a child, PAR a
parent, RO related otherwise.
"""

# One line a pair; a relation that is its own inverse stands alone. Names are those of UMLS where it has the
# relation (may_treat of MED-RT, gene_associated_with_disease of NCI, mapped_to of MeSH), else the source's.
PAIRS = """
isa                              inverse_isa
part_of                          has_part
mapped_to                        mapped_from
may_treat                        may_be_treated_by
may_palliate                     may_be_palliated_by
gene_associated_with_disease     disease_has_associated_gene
gene_associated_with_phenotype   phenotype_has_associated_gene
has_phenotype                    phenotype_of
has_inheritance                  inheritance_of
has_clinical_course              clinical_course_of
has_past_history                 past_history_of
has_modifier                     modifier_of
has_role                         role_of
has_functional_parent            functional_parent_of
has_parent_hydride               parent_hydride_of
is_substituent_group_from        has_substituent_group
is_conjugate_base_of             is_conjugate_acid_of
is_enantiomer_of
is_tautomer_of
regulates                        regulated_by
positively_regulates             positively_regulated_by
negatively_regulates             negatively_regulated_by
occurs_in                        has_occurrence
happens_during                   has_happening
ends_during                      has_ending
has_characteristic               characteristic_of
predisposes_towards              has_predisposition
disease_has_feature              feature_of_disease
disease_has_major_feature        major_feature_of_disease
disease_arises_from_feature      feature_gives_rise_to_disease
disease_causes_feature           feature_caused_by_disease
disease_shares_features_of
part_of_progression_of_disease   disease_progression_has_part
has_symptom                      symptom_of
located_in                       location_of
derives_from                     has_derivative
"""
INVERSES: dict[str, str] = {}
for line in PAIRS.split("\n"):
    if names := line.split():
        INVERSES[names[0]], INVERSES[names[-1]] = names[-1], names[0]

# They say that something does not hold, which a graph of facts cannot: MONDO's "A is not a kind of B".
NEGATIONS = frozenset({"excluded_subClassOf"})


def inverse_of(relation: str) -> str:
    """Return the relation that states the same fact from the other end; its inverse is the relation again."""
    if relation in INVERSES:
        return INVERSES[relation]
    return relation.removeprefix("inverse_") if relation.startswith("inverse_") else f"inverse_{relation}"


def broad_relation(relation: str) -> str:
    """Return the REL of a RELA."""
    return {"isa": "CHD", "inverse_isa": "PAR"}.get(relation, "RO")
