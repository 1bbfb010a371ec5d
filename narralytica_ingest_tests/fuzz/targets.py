"""All targets by name."""

from narralytica_ingest_tests.fuzz import files, references, values, words
from narralytica_ingest_tests.fuzz.material import Target

TARGETS: dict[str, Target] = {
    each.__name__: each
    for each in (
        references.identity,
        references.uploads,
        references.egress,
        references.options,
        words.redaction,
        words.shown_urls,
        values.normalization,
        values.corrections,
        values.source_info,
        values.captions,
        values.formats,
        files.remote_file,
        files.checkpoint,
        files.probe,
        files.structure,
    )
}
