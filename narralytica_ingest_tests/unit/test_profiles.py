"""Names of profiles and languages as people write them, and containers for copied sounds."""

import pytest
from pydantic import ValidationError

from narralytica_ingest.config import Settings
from narralytica_ingest.media.profiles import PROFILES, language_names, muxer_of_copy, profile_names


def test_lists_are_read_as_people_write_them() -> None:
    assert profile_names(" opus, flac ,,opus") == ("opus", "flac")
    assert profile_names(["wav", "wav"]) == ("wav",)
    assert language_names("de, pt-BR") == ("de", "pt-BR")
    assert profile_names("") == language_names("") == ()


def test_what_is_unknown_is_named_with_what_there_is() -> None:
    with pytest.raises(ValueError, match=r"'mp3'; there are flac, wav, opus, channels, original"):
        profile_names("flac,mp3")
    with pytest.raises(ValueError, match="'Klingonisch!' is no language tag"):
        language_names("de,Klingonisch!")


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("AUDIO_PROFILES", "mp3", "no profile is called 'mp3'"),
        ("AUDIO_PROFILES", " , ", "at least one"),
        ("AUDIO_LANGUAGES", "!", "no language tag"),
    ],
)
def test_a_wrong_setting_is_refused_at_the_start(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, says: str
) -> None:
    monkeypatch.setenv(f"NARRALYTICA_{name}", value)
    with pytest.raises(ValidationError, match=says):
        Settings()


def test_a_copied_sound_goes_where_it_fits_and_keeps_its_start() -> None:
    assert muxer_of_copy("aac", 0) == muxer_of_copy("aac", 5) == "ipod"
    assert muxer_of_copy("opus", 0) == muxer_of_copy("opus", 5) == "ogg"
    assert (muxer_of_copy("mp3", 0.03), muxer_of_copy("mp3", 5)) == ("mp3", "matroska")
    assert muxer_of_copy("wmav2", 0) == "matroska"


def test_the_default_profile_is_there() -> None:
    assert Settings().audio_profiles == "flac"
    assert list(PROFILES)[0] == "flac"  # noqa: RUF015 - the order is what is asked for
