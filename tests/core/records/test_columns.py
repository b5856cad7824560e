"""Names of columns: whatever programs call their metrics, no two columns are called alike, and plain names stay."""

import csv
import io

from hypothesis import given
from hypothesis import strategies as st

from hpc.core.records.columns import MAX_NAME_LENGTH, label_metrics, link_names, name_columns

NAMES = st.one_of(
    st.text(max_size=8),
    st.text(alphabet=st.characters(codec=None, categories=("Cc", "Cs", "Lu", "Po")), max_size=8),
    st.sampled_from([".", "..", "/", "a/b", "a.b", "a.b~2", "", "lr", "metric.lr", "seed", "x" * 300, "\udcff", "a\0"]),
)
LISTS = st.lists(NAMES, max_size=12)


@given(LISTS)
def test_links_are_distinct_and_hdf5_can_hold_them(names: list[str]) -> None:
    """Inside HDF5 each metric has its own link, which neither nests nor means the group itself."""
    links = link_names(names)
    assert list(links) == list(dict.fromkeys(names))
    assert len(set(links.values())) == len(links)
    assert all(link and "/" not in link and link.strip(".") for link in links.values())
    assert all(link == name for name, link in links.items() if name and "/" not in name and name == name.strip("."))


@given(LISTS, LISTS, st.integers(0, 15))
def test_labels_are_distinct_printable_and_bounded(names: list[str], declared: list[str], most: int) -> None:
    """So many metrics get a column, the declared ones first; plain names stay as they are, the others become plain."""
    labels = label_metrics(names, declared, most)
    assert len(labels) == min(most, len(set(names)))
    assert len(set(labels.values())) == len(labels)
    assert all(label.isprintable() and 0 < len(label) <= MAX_NAME_LENGTH + 10 for label in labels.values())
    plain = [name for name in labels if name and name.isprintable() and len(name) <= MAX_NAME_LENGTH]
    assert all(labels[name] == name for name in plain)
    wanted = [name for name in dict.fromkeys(declared) if name in names]
    assert set(wanted[:most]) <= set(labels)


@given(LISTS, LISTS)
def test_a_table_has_no_column_twice(parameters: list[str], metrics: list[str]) -> None:
    """Fixed columns keep their names, parameters theirs before metrics; what collides says of which kind it is."""
    fixed = ("seed", "outcome")
    of_parameters, of_metrics = name_columns(fixed, parameters, metrics)
    header = [*fixed, *of_parameters.values(), *of_metrics.values()]
    assert len(set(header)) == len(header)
    assert list(of_parameters) == list(dict.fromkeys(parameters))
    assert list(of_metrics) == list(dict.fromkeys(metrics))
    assert all(of_parameters[name] == name for name in parameters if name not in fixed)
    taken = {*fixed, *of_parameters.values()}
    assert all(of_metrics[name] == name for name in metrics if name not in taken)
    assert all(of_metrics[name].startswith("metric.") for name in metrics if name in taken)


def test_the_usual_collision_reads_as_one_expects() -> None:
    """A trainer that logs `lr` and `seed` beside parameters of these names: both are there, and told apart."""
    columns = name_columns(("seed",), ["lr", "d"], ["lr", "seed", "loss", "metric.lr"])
    assert columns == (
        {"lr": "lr", "d": "d"},
        {"lr": "metric.lr~2", "seed": "metric.seed", "loss": "loss", "metric.lr": "metric.lr"},
    )
    file = io.StringIO()
    csv.writer(file).writerow([*columns[0].values(), *columns[1].values()])
    assert next(csv.reader(io.StringIO(file.getvalue()))) == [*columns[0].values(), *columns[1].values()]
