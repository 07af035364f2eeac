"""Reports of runs: tables, Markdown, HTML, plots, comparisons."""
