"""`memory-service verify`: check the data folder."""

from __future__ import annotations

import typer
from rich.progress import Progress
from rich.table import Table

from memory_service.commands.options import DataDir, read_settings
from memory_service.commands.terminal import harmless, stderr, stdout
from memory_service.composition.index_access import open_index
from memory_service.composition.stored_properties import stored_embedder
from memory_service.core.models import Verification
from memory_service.embedders.local import LocalEmbedder
from memory_service.maintenance.verify import Verifier


def verify(data_dir: DataDir = None) -> None:
    """Derive data again from the log and compare it; exits 1 if anything differs."""
    settings = read_settings(data_dir=data_dir, log_level="warning")
    with open_index(settings.data_dir, "memory-service verify") as (log, index):
        embedder = stored_embedder(log)
        verifier = Verifier(
            log,
            # Other embedders may cost money, or need a network.
            LocalEmbedder() if embedder.name == LocalEmbedder.name else None,
            index,
            dimension=embedder.dimension,
            passage_words=settings.passage_words,
            passage_overlap_words=settings.passage_overlap_words,
        )
        with Progress(console=stderr(), transient=True) as progress:
            task = progress.add_task("Comparing conversations", total=None)
            result = verifier.run(lambda: progress.advance(task))
    _report(result)
    if result.findings:
        raise typer.Exit(1)


def _report(result: Verification) -> None:
    console = stdout()
    counts = ", ".join(f"{count:,} {name}" for name, count in result.checked.items()) or "nothing"
    console.print(harmless(f"Compared {counts}."))
    if not result.findings:
        console.print("Everything agrees.")
        return
    table = Table("check", "where", "what")
    for finding in result.findings:
        table.add_row(finding.check, harmless(finding.subject), harmless(finding.message))
    console.print(table)
    console.print(f"{len(result.findings)} findings.")
