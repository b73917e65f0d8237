"""``imagelab measure``: measure any two sets of images, and compare the results with earlier ones.

    imagelab measure REAL FAKE                          all metrics for general pictures, each with its floor
    imagelab measure REAL FAKE --metrics fid,kid        only these metrics
    imagelab measure REAL FAKE --output results.jsonl   store the numbers
    imagelab measure REAL FAKE --against earlier.jsonl  compare with stored numbers
    imagelab measure REAL FAKE --format markdown        the table for a text; also latex, csv
    imagelab measure REAL FAKE --network mine.json      also by a feature network of your own
    imagelab measure REAL FAKE --by-class               every subfolder against that of the same name
    imagelab measure REAL FAKE --paired                 every picture against its counterpart
    imagelab measure --list                             list the metrics and their limits

The table goes to standard output, everything else to standard error. With ``--json`` standard output is one JSON
object.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter
from rich.table import Table

from .._version import __version__
from ..evaluation.comparison import Gap, by_name, columns, figures, gaps
from ..evaluation.evaluate import Measured, measure
from ..evaluation.reference_statistics import is_statistics, measure_against, read_statistics
from ..io.atomic import write_atomic
from ..io.cache import make_room
from ..io.decode import Progress
from ..io.own_code import load_file
from ..measurement import Measurement
from ..metrics import METRICS
from ..metrics.own_network import add_networks
from ..run_folder import RunFolder
from .console import UsageError, err, out
from .measure_list import catalogue_lines
from .measure_options import MeasureOptions, value_range_of
from .measure_parts import say_by_class, say_pairs
from .measure_tables import ERRORS_HOLD, FORMS, TEXTS, beyond_by_chance, judged, text_table

__all__ = ["measure_command", "names_of_metrics", "read_results"]

WIDTH = 100
"""Letters a line where the output is no terminal."""

STATUS_SECONDS = 10.0  # seconds between two lines of progress if standard error is not a terminal


def measure_command(
    real: Path | None = None,
    fake: Path | None = None,
    /,
    *,
    options: Annotated[MeasureOptions | None, Parameter(name="*")] = None,
) -> int:
    """Measure generated images against real ones: imagelab measure REAL FAKE. Every number is shown with its floor.

    REAL and FAKE are folders of pictures (searched recursively), .npy, .npz, .zip, .tar(.gz) or .parquet files, or
    generations of a run: RUN@3, its line 1 RUN@3:1, the real training set RUN@0, RUN@heldout. REAL may also be a
    statistics file (mu and sigma of features): then the Fréchet distance alone is measured.

    Parameters
    ----------
    real
        Real images that the model was not trained on: the reference.
    fake
        The images under test.
    """
    options = options or MeasureOptions()
    for file in options.plugins:
        load_file(file)
    if options.catalogue:
        for line in catalogue_lines():
            out.print(line, markup=False)
        return 0
    if real is None or fake is None:
        raise UsageError("expected two sets of images, imagelab measure REAL FAKE; --help describes the possible forms")
    for given in (real, fake, options.train, options.blank, options.floor):
        _check_exists(given)
    if options.output is not None:
        _check_output(options.output, rows=bool(options.by_class or options.paired))
    if options.form in FORMS and (options.against or options.as_json):
        other = "--against" if options.against else "--json"
        raise UsageError(f"--format {options.form} prints one table; {other} needs --format table or json")
    if options.by_class or options.paired:
        return _in_parts(real, fake, options)
    earlier = by_name(read_results(options.against), options.against) if options.against else None
    make_room()
    result = _measured(real, fake, options)
    if options.output is not None:
        write_atomic(options.output, result.to_jsonl())
    compared = None if earlier is None else gaps({m.name: m for m in result}, earlier)
    if options.as_json or options.form == "json":
        out.print(as_json(result, compared), markup=False)
    elif options.form in FORMS:
        _print_form(result, options)
    else:
        _print(result, compared, options)
    if options.output is not None:
        err.print(f"numbers: {options.output}", markup=False)
    return 0


def _check_output(output: Path, rows: bool) -> None:
    """Refuse, before anything is measured, a file that cannot be written or whose ending says another form.

    Args:
        output: the file.
        rows: whether rows are written, of classes or pictures; they can be tables.
    """
    if output.is_dir():
        raise ValueError(f"--output: {output} is a folder; expected the name of a file")
    if not output.absolute().parent.is_dir():
        raise ValueError(f"--output: the folder of {output} does not exist; create it first")
    if not rows and (form := TEXTS.get(output.suffix.lower())):
        raise UsageError(
            f"--output: numbers are stored one JSON object a line; expected a name that ends in .jsonl, got {output}. "
            f"For a table: --format {form} > {output}"
        )


def _in_parts(real: Path, fake: Path, options: MeasureOptions) -> int:
    """Measure class by class, or picture by picture."""
    flag = "--by-class" if options.by_class else "--paired"
    unfit = [name for name in ("train", "blank", "floor", "against", "network", "space") if getattr(options, name)]
    unfit += ["paired"] if options.by_class and options.paired else []
    unfit += [name for name in ("metrics", "freckle_style") if options.paired and getattr(options, name)]
    if unfit:
        raise UsageError(f"{flag} and --{unfit[0].replace('_', '-')} cannot be given together")
    make_room()
    if options.paired:
        return say_pairs(real, fake, options)
    return say_by_class(real, fake, options, names_of_metrics(options.metrics))


def _measured(real: Path, fake: Path, options: MeasureOptions) -> Measured:
    names, value_range = names_of_metrics(options.metrics), value_range_of(options.value_range)
    if is_statistics(real):
        return _against_statistics(real, fake, options, names)
    if options.space:
        raise UsageError("--space names the network of a statistics file; REAL is a set of images")
    with _watched() as progress:
        return measure(
            real,
            fake,
            metrics=names,
            train=options.train,
            blank=options.blank,
            floor=options.floor,
            size=options.size,
            resize=options.resize,
            value_range=value_range,
            layout=options.layout,
            on_bad=options.on_bad,
            key=options.key,
            column=options.column,
            networks=options.network,
            freckle_style=options.freckle_style,
            seed=options.seed,
            device=options.device,
            cache=options.cache,
            white=options.white,
            page=options.page,
            progress=progress,
        )


def _against_statistics(real: Path, fake: Path, options: MeasureOptions, names: Sequence[str] | None) -> Measured:
    unused = [name for name in ("train", "blank", "floor") if getattr(options, name)]
    wrong = [name for name in names or () if name not in ("fid", "frechet")]
    if unused or wrong:
        asked = f"--{unused[0]}" if unused else f"--metrics {wrong[0]}"
        raise UsageError(
            f"{real} holds the mean and covariance of features, which give the Fréchet distance alone; {asked} needs "
            "the real images themselves"
        )
    if options.network:
        add_networks(options.network)
    return measure_against(read_statistics(real), fake, options.opening, options.space, options.seed, options.device)


def read_results(source: str) -> list[Measurement]:
    """Return earlier measurements: of a .jsonl file, or of one generation of a run (``RUN@3``, ``RUN@3:1``).

    Raises:
        ValueError: for a line that is not a measurement, or a generation that does not exist; the message names it.
    """
    path = Path(source).expanduser()
    if path.is_file():
        return _kept(path)
    run, _, address = source.rpartition("@")
    generation, _, line = address.partition(":")
    if not run or not generation.isdigit() or (line and not line.isdigit()):
        raise ValueError(f"--against: {source} does not exist; expected a .jsonl file or a generation of a run (RUN@3)")
    where = int(generation), int(line or 0) if int(generation) else -1
    found = [m for m in RunFolder.open(Path(run)).measurements() if (m.generation, m.line) == where]
    if not found:
        raise ValueError(f"--against: {source}: the run has no measurement of that generation and line")
    return found


def _kept(path: Path) -> list[Measurement]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not a text file; expected one measurement per line, as --output writes") from error
    found = []
    for count, line in enumerate(lines, 1):
        try:
            found.append(Measurement.from_json(line))
        except ValueError as error:
            raise ValueError(f"{path}, line {count}: {error}") from error
    if not found:
        raise ValueError(f"{path}: contains no measurement; expected one per line, as --output writes")
    return found


def as_json(result: Measured, compared: Sequence[Gap] | None) -> str:
    """Return the whole result as one JSON object."""
    whole: dict[str, Any] = {
        "imagelab": __version__,
        "real": result.real,
        "fake": result.fake,
        "warnings": result.warnings,
        "notes": result.notes,
        "measurements": [json.loads(m.to_json()) for m in result.measurements],
        "floors": [json.loads(m.to_json()) for m in result.floors],
    }
    if compared is not None:
        whole["differences"] = [
            {**{k: v for k, v in asdict(each).items() if k not in ("now", "earlier")}, "verdict": each.words}
            for each in compared
        ]
    return json.dumps(whole, ensure_ascii=not out.is_unicode, allow_nan=False, indent=1)


def names_of_metrics(metrics: str | None) -> list[str] | None:
    """Return the names that ``--metrics`` gives; None where it is not given."""
    names = [name.strip() for name in (metrics or "").split(",") if name.strip()]
    for name in names:
        try:
            METRICS.find(name)
        except ValueError as error:
            raise UsageError(f"--metrics: {error}") from error
    if metrics is not None and not names:
        raise UsageError(f"--metrics: expected names separated by commas, got {metrics!r}")
    return names or None


def _check_exists(source: str | Path | None) -> None:
    if source and not Path(source).expanduser().exists() and "@" not in str(source):
        raise ValueError(f"{source} does not exist; expected a folder, a file, or a run's generation (RUN@3)")


@contextmanager
def _watched() -> Iterator[Progress]:
    """Show progress on standard error: a status line on a terminal, else a new line every ``STATUS_SECONDS``."""
    now = ["opening the sets"]

    def update(what: str, done: int, total: int) -> None:
        now[0] = f"{what} ({done}/{total})" if total > 1 else what

    if err.is_terminal:
        with err.status(now[0]) as status:
            yield lambda *progress: (update(*progress), status.update(now[0]))[0]
        return
    over = threading.Event()

    def report() -> None:
        printed = ""
        while not over.wait(STATUS_SECONDS):
            if now[0] != printed:
                printed = now[0]
                err.print(printed, markup=False)

    threading.Thread(target=report, daemon=True).start()
    try:
        yield update
    finally:
        over.set()


def _print(result: Measured, compared: Sequence[Gap] | None, options: MeasureOptions) -> None:
    for warning in result.warnings:
        out.print(f"! {warning}", markup=False, style="yellow" if out.is_terminal else None)
    rows = judged(result, options.everything)
    out.print(f"\n{result.title}", markup=False)
    for line in text_table(rows, out.width if out.is_terminal else WIDTH):
        out.print(line, markup=False)
    if sentence := beyond_by_chance(rows):
        out.print(sentence, markup=False)
    hidden = len(result.shown(True)) - len(rows)
    if hidden:
        out.print(f"{hidden} numbers without a direction are not shown; --all shows them", markup=False)
    for reason, names in result.missing().items():
        out.print(f"missing: {', '.join(names)}: {reason}", markup=False)
    for note in result.notes:
        out.print(note, markup=False)
    if compared is None:
        return
    shown = {m.name for m in result.shown(options.everything)}
    both = [each for each in compared if each.gap is not None and each.name in shown]
    head = ("measurement", "now", "earlier", "now - earlier", "± stderr", "", "")
    _print_table(f"against {options.against}", head, [_difference_cells(each) for each in both])
    refused: dict[str, list[str]] = {}
    for each in compared:
        if each.refused:
            refused.setdefault(each.refused, []).append(each.name)
    for reason, names in refused.items():
        out.print(f"not compared: {', '.join(names)}: {reason}", markup=False)


def _print_form(result: Measured, options: MeasureOptions) -> None:
    """Print the table as Markdown, LaTeX or CSV; what has no place in it goes to standard error."""
    rows = judged(result, options.everything)
    notes = [*result.warnings, ERRORS_HOLD, beyond_by_chance(rows), *result.notes]
    notes += [f"missing: {', '.join(names)}: {reason}" for reason, names in result.missing().items()]
    lines = [" ".join(note.split()) for note in notes if note]
    out.print(FORMS[options.form](rows, result.title, lines), markup=False)
    if options.form == "csv":
        for line in lines:
            err.print(line, markup=False)


def _difference_cells(each: Gap) -> tuple[str, ...]:
    values = [figures(m.value) if m else "" for m in (each.now, each.earlier)]
    gap = "" if each.gap is None else f"{each.gap:+.3g}"
    return (each.name, *values, gap, "" if each.sigma is None else f"± {figures(each.sigma, 2)}", each.words, each.note)


def _print_table(title: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    if out.is_terminal:
        table = Table(*head, title=title, title_justify="left", box=None, padding=(0, 1))
        for row in rows:
            table.add_row(*row)
        out.print(table, soft_wrap=False, markup=False)
        return
    out.print(f"\n{title}", markup=False)
    for line in columns(head, rows):
        out.print(line, markup=False)
