"""The words of reports and custody sheets, in every language there is a file for; codes never change with the language.

A language is one JSON file beside this module, `<language>.json`: key → text, with `{placeholders}`. Whoever adds one
adds a file; a test holds it to the keys and placeholders of the English one.
"""

import json
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any, Final

DEFAULT: Final = "en"


class Phrase(str):
    """A text of the catalogue with its values filled in: English as a string, and in any language on request.

    Attributes:
        key: In the catalogue.
        values: By placeholder; sequences become lists of words, phrases are said in the language asked for.
    """

    __slots__ = ("key", "values")
    key: str
    values: Mapping[str, Any]

    @property
    def code(self) -> str:
        """The key without the kind of text it is of."""
        return self.key.partition(".")[2]


class Several(Phrase):
    """Phrases one after the other, with what stands between them."""

    __slots__ = ()


def say(key: str, /, **values: Any) -> Phrase:
    """A phrase of the catalogue."""
    phrase = Phrase(text(DEFAULT, key, **values))
    phrase.key, phrase.values = key, values
    return phrase


def join(between: str, phrases: list[str]) -> str:
    """Several phrases as one; said in another language, each is."""
    joined = Several(between.join(phrases))
    joined.key, joined.values = between, {"phrases": phrases}
    return joined


def in_language(language: str, said: str) -> str:
    """A phrase in a language; any other string as it is."""
    if isinstance(said, Several):
        return said.key.join(in_language(language, phrase) for phrase in said.values["phrases"])
    return text(language, said.key, **said.values) if isinstance(said, Phrase) else said


def text(language: str, key: str, /, **values: Any) -> str:
    """The text of a key in a language, with its values filled in."""
    return catalogue(language)[key].format(**{name: _value(language, value) for name, value in values.items()})


def _value(language: str, value: Any) -> Any:
    if isinstance(value, list | tuple):
        return ", ".join(in_language(language, member) for member in value)
    return in_language(language, value) if isinstance(value, str) else value


@cache
def languages() -> tuple[str, ...]:
    """Languages there is a file for, sorted."""
    files = (file.name for file in resources.files(__name__).iterdir())
    return tuple(sorted(name.removesuffix(".json") for name in files if name.endswith(".json")))


@cache
def catalogue(language: str) -> Mapping[str, str]:
    """Key → text.

    Raises:
        KeyError: There is no such language.
    """
    if language not in languages():
        raise KeyError(language)
    found: dict[str, str] = json.loads(resources.files(__name__).joinpath(f"{language}.json").read_text("utf-8"))
    return found
