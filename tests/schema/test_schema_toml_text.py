"""Settings as TOML text: whatever is written is read back."""

import tomllib

from hypothesis import given
from hypothesis import strategies as st

from postroom.schema.toml_text import toml_text

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
VALUES = st.one_of(TEXTS, st.integers(-(2**63), 2**63 - 1), st.booleans(), st.lists(TEXTS, max_size=3))
TABLES = st.recursive(
    st.dictionaries(TEXTS, VALUES, max_size=4),
    lambda inner: st.dictionaries(
        TEXTS, st.one_of(VALUES, inner, st.lists(inner, min_size=1, max_size=2)), max_size=4
    ),
    max_leaves=8,
)


@given(TABLES)
def test_what_is_written_is_read_back(document: dict[str, object]) -> None:
    """Any keys and texts, quotes and control characters included; empty tables say nothing."""

    def without_empty(value: object) -> object:
        if isinstance(value, dict):
            plain = {key: without_empty(one) for key, one in value.items()}
            return {key: one for key, one in plain.items() if one != {}}
        return [without_empty(one) for one in value] if isinstance(value, list) else value

    assert without_empty(document) == without_empty(tomllib.loads(toml_text(document)))
