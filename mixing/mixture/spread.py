"""How a category's tokens are spread over its languages or sources."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, Self

from pydantic import model_validator

from configs.load import StrictModel
from mixing.mixture.amounts import Exact

_FORMS = "uniform, proportional, unimax, {temperature: 0.3} or {shares: {name: share, ...}}"


class SpreadConfig(StrictModel):
    """A rule, in YAML the rule's name, `{temperature: alpha}` or `{shares: {name: share}}`.

    Attributes:
        rule: `uniform`, the same for each; `proportional` to available tokens; `temperature`, proportional to their
            power alpha; `unimax`, as uniform as the caps on epochs allow (UniMax, Chung et al. 2023, arXiv 2304.09151,
            whose budgets are of characters; here they are of tokens); `shares`, as given.
        temperature: alpha. The sampling temperature T of other authors is 1 / alpha.
        shares: of the category's tokens, by name; they sum to 1.
        over: what it is spread over. Sources of one language share in proportion to their tokens.
    """

    rule: Literal["uniform", "proportional", "unimax", "temperature", "shares"] = "proportional"
    temperature: Exact | None = None
    shares: dict[str, Exact] | None = None
    over: Literal["languages", "sources"] = "languages"

    @model_validator(mode="before")
    @classmethod
    def _short_forms(cls, data: object) -> object:
        if isinstance(data, str):
            return {"rule": data}
        if isinstance(data, Mapping) and "rule" not in data:
            named = [rule for rule in ("temperature", "shares") if rule in data]
            return {**data, "rule": named[0]} if len(named) == 1 else data
        if not isinstance(data, (Mapping, SpreadConfig)):
            raise ValueError(f"a spread is {_FORMS}")
        return data

    @model_validator(mode="after")
    def _has_what_its_rule_takes(self) -> Self:
        for name, value in (("temperature", self.temperature), ("shares", self.shares)):
            if (value is not None) != (self.rule == name):
                raise ValueError(f"the spread {self.rule} has {name} in it, or lacks it: a spread is {_FORMS}")
        if self.temperature is not None and self.temperature > 1:
            raise ValueError(
                "temperature is the exponent alpha, 0 (uniform) to 1 (proportional); "
                "for a sampling temperature T it is 1/T"
            )
        if self.shares is not None:
            check_shares(self.shares, "the shares of the spread")
        return self

    def described(self) -> str:
        """Return the rule in words."""
        words = {
            "uniform": "the same for each",
            "proportional": "in proportion to available tokens",
            "unimax": "as uniform as the caps on epochs allow (UniMax)",
            "temperature": f"in proportion to available tokens to the power of {float(self.temperature or 0):g}",
            "shares": "by the shares given",
        }
        return words[self.rule]


def check_shares(shares: Mapping[str, Exact], what: str) -> None:
    """Refuse shares that do not sum to exactly 1.

    Raises:
        ValueError: with the sum, and what is missing or too much.
    """
    total = sum(shares.values())
    if total != 1:
        off = f"{float(abs(1 - total)):.6g} {'are missing' if total < 1 else 'too much'}"
        raise ValueError(f"{what} of tokens sum to {float(total):.12g}, not to 1: {off} ({', '.join(shares)})")
