# The workflow lies where Snakemake's catalogue and other workflows' modules look for it; here is where users start it.
include: "workflow/Snakefile"
