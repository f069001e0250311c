"""The first words of the component language: what the guide's own example needs."""

from postroom.model.template import Shelf, TemplateSource
from postroom.template.expansion import expand

CARD = """
<script props>module.exports = { title: props.title, lang: props.lang || "en" }</script>
<table><tr><td><h1>{{ title }}</h1><yield />
<if condition="lang === 'fr'">Merci,</if><else>Thanks,</else>
<if condition="$slots.footer?.filled"><hr><slot:footer /></if></td></tr></table>
"""
SOURCE = """---
preheader: Welcome to @{{
  _product_name }}!
---
<x-card title="Hello @{{name}}" lang="fr">Body<fill:footer>Foot</fill:footer></x-card>
"""


def test_the_guides_words():
    """Front matter, a component with props, its body, a slot and a condition come out as plain HTML."""
    made = expand(TemplateSource(name="hello", text=SOURCE), Shelf(components={"components/card": CARD}))
    assert "Welcome to {{ _product_name }}!" == made.front.preheader
    assert ("components/card",) == made.used
    assert '<table lang="fr"><tr><td><h1>Hello {{ name }}</h1>Body' in made.html
    assert "Merci," in made.html
    assert "Thanks," not in made.html
    assert "<hr>Foot</td>" in made.html
    assert "script" not in made.html
