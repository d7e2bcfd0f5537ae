# The workflow lies where Snakemake's catalogue and other workflows' modules look for it; here is where users start it.
include: "workflow/Snakefile"


# An included file sets no default.
if workflow.modifier.is_main_snakefile():
    workflow.default_target = "all"
