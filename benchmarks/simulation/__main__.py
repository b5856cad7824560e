"""``python -m benchmarks.simulation --write``: play all campaigns (half an hour), write ``docs/scale.md``.

``--page`` writes the page again from what was played last (``results.json``), ``--measure`` counts anew what one
operation costs (``measured.json``; needs strace). Without an option a small campaign is played and printed.
"""

import argparse

from benchmarks.simulation import measure, page


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("--write", "--page", "--measure"):
        parser.add_argument(name, action="store_true")
    options = parser.parse_args()
    if options.measure:
        measure.main()
    if options.write:
        page.play_all()
    if options.write or options.page:
        page.write()
    if not any(vars(options).values()):
        print(page.small_table())


if __name__ == "__main__":
    main()
