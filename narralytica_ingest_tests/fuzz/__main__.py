"""`python -m narralytica_ingest_tests.fuzz TARGET --seconds N`: one target, or `all` in turn, guided by coverage.

Inputs that reach something new are kept in `.fuzz/corpus/TARGET`, those that break something in `.fuzz/broken`. Needs
atheris (requirements-fuzz.lock). Exits with 1 if a target broke.
"""

import argparse
import subprocess
import sys
from pathlib import Path

HOME = Path(".fuzz")
LONGEST_INPUT = 4096  # bytes


def main() -> None:
    """Runs one target in this process, or each in a process of its own."""
    parser = argparse.ArgumentParser(prog="fuzz", description="Fuzzes the pure parts, guided by coverage.")
    parser.add_argument("target", help="a name in targets.py, or `all`")
    parser.add_argument("--seconds", type=int, default=60, help="how long each is fuzzed (60)")
    chosen = parser.parse_args()
    if chosen.target == "all":
        sys.exit(_all(chosen.seconds))
    _fuzz(chosen.target, chosen.seconds)


def _all(seconds: int) -> int:
    from narralytica_ingest_tests.fuzz.targets import TARGETS

    broken = []
    for name in TARGETS:
        print(f"---- {name}", file=sys.stderr, flush=True)
        command = [sys.executable, "-m", "narralytica_ingest_tests.fuzz", name, "--seconds", str(seconds)]
        if subprocess.run(command, check=False).returncode:
            broken.append(name)
    print(f"broken: {', '.join(broken) or 'none'}", file=sys.stderr)
    return 1 if broken else 0


def _fuzz(name: str, seconds: int) -> None:
    import atheris  # type: ignore[import-untyped]

    with atheris.instrument_imports(include=["narralytica_ingest"]):
        from narralytica_ingest_tests.fuzz.findings import FINDINGS
        from narralytica_ingest_tests.fuzz.targets import TARGETS

    corpus, broken = HOME / "corpus" / name, HOME / "broken"
    for folder in (corpus, broken):
        folder.mkdir(parents=True, exist_ok=True)
    for place, data in enumerate(FINDINGS.get(name, ())):
        (corpus / f"finding-{place}").write_bytes(data)
    options = [f"-max_total_time={seconds}", f"-max_len={LONGEST_INPUT}", f"-artifact_prefix={broken}/{name}-"]
    atheris.Setup([sys.argv[0], *options, "-print_final_stats=1", "-timeout=10", str(corpus)], TARGETS[name])
    atheris.Fuzz()


if __name__ == "__main__":
    main()
