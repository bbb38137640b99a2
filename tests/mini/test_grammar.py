import random

from kebench.mini.abstracts import section_of
from kebench.mini.grammar import (
    Text,
    compose,
    join,
    load_phrases,
    names_in_a_text,
    normal_form,
    tokenise,
)
from kebench.mini.world import Concept, World


def _composed(template: str, *concepts: Concept, capital: bool = True) -> Text:
    def name_of(concept: Concept) -> tuple[str, ...]:
        return (concept.name,)

    slots = {"H": concepts[:1], "T": concepts[1:]}
    return compose(template, slots, name_of=name_of, rng=random.Random(1), capital=capital)


def test_every_fact_has_a_section_that_states_it(world: World) -> None:
    phrases = load_phrases()
    assert [t for t in world.triples if f"{section_of(t)} stated" not in phrases] == []


def test_a_mention_is_where_its_name_stands(world: World) -> None:
    asthma, fever, cough = (world.by_name[name] for name in ("asthma", "fever", "cough"))
    text = _composed("{H} causes {T}.", asthma, fever, cough)
    assert text.text == "Asthma causes fever and cough."
    assert [text.text[m.start : m.end] for m in text.mentions] == ["Asthma", "fever", "cough"]


def test_joined_texts_keep_their_mentions(world: World) -> None:
    asthma, fever = world.by_name["asthma"], world.by_name["fever"]
    first = _composed("No {H}", asthma)
    joined = join(first, ", whereas ", _composed("The {T} rose.", asthma, fever, capital=False))
    assert joined.text == "No asthma, whereas the fever rose."
    assert [joined.text[m.start : m.end] for m in joined.mentions] == ["asthma", "fever"]


def test_a_symbol_at_the_start_stays_as_it_is(world: World) -> None:
    assert _composed("{H} was measured.", world.by_name["p53 protein"]).text.startswith("p53 protein")


def test_an_abbreviation_is_introduced_before_it_is_used(world: World) -> None:
    diabetes = world.by_name["type 2 diabetes mellitus"]
    name_of = names_in_a_text(random.Random(1))
    assert name_of(diabetes) == ("type 2 diabetes mellitus", "T2DM")
    assert name_of(diabetes) == ("T2DM",)


def test_tokens_are_words_and_single_punctuation_marks() -> None:
    text = "TNF-α (5 %) rose."
    assert [text[s:e] for s, e in tokenise(text)] == ["TNF", "-", "α", "(", "5", "%", ")", "rose", "."]
    assert normal_form("TNF - α ( 5 %) ROSE .") == normal_form(text)
