"""Cluster: SLURM, Snakemake's records, and the hours that networks have cost."""
