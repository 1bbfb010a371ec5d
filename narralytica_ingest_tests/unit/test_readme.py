"""The README's table of settings and `config.py` say the same."""

from pathlib import Path

from narralytica_ingest.config import Settings

README = Path(__file__).parents[2] / "README.md"


def expected_rows() -> list[str]:
    """The table as it has to be, one row for each setting, in the order of `config.py`."""
    return [
        f"| `NARRALYTICA_{name.upper()}` | {written(field.default)} | {field.description} |"
        for name, field in Settings.model_fields.items()
    ]


def written(default: object) -> str:
    """A default as the table shows it: a whole number without `.0`, None as *unset*."""
    if default is None:
        return "*unset*"
    return f"`{default:.10g}`" if isinstance(default, float) else f"`{default}`"


def table_rows() -> list[str]:
    lines = README.read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line.startswith("| `NARRALYTICA_")]


def test_the_readme_lists_every_setting_with_its_default_and_its_meaning() -> None:
    missing = [row for row in expected_rows() if row not in table_rows()]
    assert not missing, "README.md lacks these rows, or has others for them:\n" + "\n".join(missing)


def test_the_readme_lists_no_setting_that_is_gone_or_changed() -> None:
    stale = [row for row in table_rows() if row not in expected_rows()]
    assert not stale, "README.md has rows that config.py does not know:\n" + "\n".join(stale)


def test_every_setting_says_what_it_means() -> None:
    silent = [name for name, field in Settings.model_fields.items() if not field.description]
    assert not silent
