"""The fields of the recipe schema as command-line flags."""

import json
import tomllib
import typing

from kzoo.recipes import schema


def known() -> dict[str, str]:
    """Every dotted flag of the schema with its description and default."""
    return dict(_walk(schema.Recipe, ""))


def _walk(section, prefix):
    for name, field in section.model_fields.items():
        inner = schema.section_of(field.annotation)
        if inner is None:
            default = "" if field.is_required() else f" [{json.dumps(field.get_default())}]"
            yield prefix + name, f"{field.description}{default}"
        elif typing.get_origin(field.annotation) is not list:
            yield from _walk(inner, f"{prefix}{name}.")


def parse(arguments: list[str]) -> dict:
    """`--train.epochs 5 --data.name=digits` as nested fields; values are TOML or plain text.

    Raises:
        ValueError: where a flag lacks its value or is given twice in two forms.
    """
    nested: dict = {}
    words = []
    for word in arguments:
        words += word.split("=", 1) if word.startswith("--") else [word]
    if len(words) % 2 or not all(word.startswith("--") for word in words[::2]):
        raise ValueError(f"Flags come in pairs like --train.epochs 5. Received: {' '.join(words)}")
    for flag, text in zip(words[::2], words[1::2], strict=True):
        *sections, key = flag.removeprefix("--").split(".")
        target = nested
        for section in sections:
            target = target.setdefault(section, {})
            if not isinstance(target, dict):
                raise ValueError(f"{flag} and --{section} contradict each other. Give one of them.")
        value = _value(text)
        if isinstance(target.get(key), dict) or (key in target and isinstance(value, dict)):
            raise ValueError(f"{flag} is given as a whole and in parts. Give one of them.")
        target[key] = value
    return nested


def _value(text: str):
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text
