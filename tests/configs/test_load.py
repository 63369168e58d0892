"""Strict loading: each mistake is one line that says where it is and what would have been valid."""

import re
from pathlib import Path
from typing import Literal

import pytest
from pydantic import Field, ValidationError, model_validator

from configs.errors import UserError
from configs.load import StrictModel, load_config, read_yaml, validate_config


class Limit(StrictModel):
    minimum: float | None = None
    maximum: float | None = Field(default=None, ge=0)


class Url(StrictModel):
    lists: bool = True
    domains: tuple[str, ...] = ()


class Rules(StrictModel):
    limits: dict[str, Limit] = {}
    by_language: dict[str, dict[str, Limit]] = {}


class Stages(StrictModel):
    url: Url | None = Url()
    rules: Rules = Rules()


class Job(StrictModel):
    name: str = "corpus"
    workers: int = Field(default=1, ge=1)
    mode: Literal["fast", "thorough"] = "fast"
    steps: list[Limit] = []
    stages: Stages = Stages()

    @model_validator(mode="after")
    def _named(self) -> "Job":
        if self.name == "bad":
            raise ValueError("bad is no name for a job")
        return self


def write(folder: Path, text: str) -> Path:
    path = folder / "job.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def message_of(data: dict[str, object]) -> str:
    with pytest.raises(UserError) as caught:
        validate_config(data, Job, "job.yaml")
    message = str(caught.value)
    assert message.startswith("job.yaml: ")
    assert "\n" not in message
    return message.removeprefix("job.yaml: ")


def test_what_a_file_does_not_name_keeps_its_default(tmp_path: Path) -> None:
    job = load_config(
        write(tmp_path, "workers: 4\nstages:\n  url: null\n  rules: {limits: {words: {minimum: 0}}}\n"), Job
    )
    assert job == Job(workers=4, stages=Stages(url=None, rules=Rules(limits={"words": Limit(minimum=0)})))


@pytest.mark.parametrize("text", ["", "# only a comment\n", "---\n", "null\n"])
def test_an_empty_file_is_all_defaults(text: str, tmp_path: Path) -> None:
    assert load_config(write(tmp_path, text), Job) == Job()


def test_a_configuration_does_not_change() -> None:
    job = Job()
    with pytest.raises(ValidationError, match="frozen"):
        job.workers = 2


def test_an_unknown_key_names_the_valid_ones_and_the_nearest() -> None:
    assert message_of({"worker": 2}) == (
        "unknown key 'worker' - did you mean 'workers'?; the valid ones are: mode, name, stages, steps, workers"
    )


def test_an_unknown_key_that_is_near_to_none_gets_no_suggestion() -> None:
    message = message_of({"zzz": 2})
    assert "did you mean" not in message
    assert message.endswith("mode, name, stages, steps, workers")


@pytest.mark.parametrize(
    ("data", "place", "valid"),
    [
        (
            {"stages": {"url": {"list": True}}},
            "unknown key 'list' in stages.url - did you mean 'lists'?",
            "domains, lists",
        ),
        ({"stages": {"rules": {"limit": {}}}}, "unknown key 'limit' in stages.rules - did", "by_language, limits"),
        (
            {"stages": {"rules": {"limits": {"words": {"minimun": 1}}}}},
            "unknown key 'minimun' in stages.rules.limits.words - did you mean 'minimum'?",
            "maximum, minimum",
        ),
        (
            {"stages": {"rules": {"by_language": {"el": {"words": {"least": 1}}}}}},
            "unknown key 'least' in stages.rules.by_language.el.words",
            "maximum, minimum",
        ),
        ({"steps": [{}, {"minimun": 1}]}, "unknown key 'minimun' in steps.1 - did you mean", "maximum, minimum"),
    ],
    ids=lambda value: None,
)
def test_an_unknown_key_is_placed_and_explained_where_it_stands(
    data: dict[str, object], place: str, valid: str
) -> None:
    message = message_of(data)
    assert message.startswith(place)
    assert message.endswith(f"the valid ones are: {valid}")


def test_an_unknown_stage_is_called_a_stage() -> None:
    message = message_of({"stages": {"urls": {}}})
    assert message == "unknown stage 'urls' in stages - did you mean 'url'?; the valid ones are: rules, url"


@pytest.mark.parametrize(
    ("data", "place", "value"),
    [
        ({"workers": 0}, "workers: ", "(got 0)"),
        ({"workers": "many"}, "workers: ", "(got 'many')"),
        ({"mode": "slow"}, "mode: ", "(got 'slow')"),
        (
            {"stages": {"rules": {"limits": {"words": {"maximum": -1}}}}},
            "stages.rules.limits.words.maximum: ",
            "(got -1)",
        ),
        ({"stages": [1]}, "stages: ", "(got [1])"),
        ({"steps": [{}, 5]}, "steps.1: ", "(got 5)"),
    ],
    ids=lambda value: None,
)
def test_a_wrong_value_is_placed_and_shown(data: dict[str, object], place: str, value: str) -> None:
    message = message_of(data)
    assert message.startswith(place)
    assert message.endswith(value)


def test_a_rule_over_the_whole_file_is_reported() -> None:
    assert message_of({"name": "bad"}) == "the file: bad is no name for a job"


def test_every_mistake_is_reported() -> None:
    message = message_of({"worker": 2, "workers": 0, "stages": {"urls": {}}})
    for part in ("unknown key 'worker'", "workers: ", "unknown stage 'urls'"):
        assert part in message


def test_the_file_is_named(tmp_path: Path) -> None:
    path = write(tmp_path, "worker: 2\n")
    with pytest.raises(UserError, match=f"^{re.escape(str(path))}: unknown key 'worker'"):
        load_config(path, Job)


@pytest.mark.parametrize(
    ("text", "found"),
    [("- a\n- b\n", "list"), ("just a text\n", "str"), ("42\n", "int"), ("2024-02-28\n", "date")],
)
def test_what_is_no_mapping_is_refused(text: str, found: str, tmp_path: Path) -> None:
    path = write(tmp_path, text)
    with pytest.raises(
        UserError, match=f"^{re.escape(str(path))} must hold a mapping of names to values, not {found}$"
    ):
        read_yaml(path)


@pytest.mark.parametrize("text", ["1: a\n", "no: a\n", "null: a\n", "name: a\n2: b\n"])
def test_a_key_that_is_no_name_is_refused(text: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="must hold a mapping of names to values"):
        read_yaml(write(tmp_path, text))


@pytest.mark.parametrize(
    "text",
    [
        "a: [1, 2\n",
        "a: b: c\n",
        "\ta: 1\n",
        "a: *unknown\n",
        "a: !!python/object:os.system {}\n",
        "? [a]\n: b\n---\nc: d\n",
        "since: 2024-02-31\n",
        "since: 2024-13-01\n",
        "a: \x00\n",
    ],
)
def test_bad_yaml_is_one_line_with_the_file(text: str, tmp_path: Path) -> None:
    path = write(tmp_path, text)
    with pytest.raises(UserError) as caught:
        read_yaml(path)
    assert str(caught.value).startswith(f"{path} is not valid YAML: ")
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_utf8_is_bad_yaml(tmp_path: Path) -> None:
    path = tmp_path / "job.yaml"
    path.write_bytes("name: καλημέρα".encode("iso8859-7"))
    with pytest.raises(UserError, match=r"job\.yaml is not valid YAML: "):
        read_yaml(path)


def test_an_impossible_date_says_what_is_wrong(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="day is out of range for month"):
        read_yaml(write(tmp_path, "since: 2024-02-31\n"))


def test_a_missing_file_and_a_folder_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^cannot read the configuration .*absent\.yaml: No such file or directory$"):
        load_config(tmp_path / "absent.yaml", Job)
    with pytest.raises(UserError, match=r"^cannot read the configuration .*: Is a directory$"):
        read_yaml(tmp_path)
