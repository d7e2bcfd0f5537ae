# All that the workflow needs, for machines on which nothing is installed; docs/cluster.md tells how to use it.
#   docker build --tag transferability .
#   docker run --rm --gpus all --user "$(id -u):$(id -g)" --volume "$PWD:/study" transferability --cores all
FROM python:3.12-slim-bookworm

ENV PIP_NO_CACHE_DIR=1 \
    PIP_ROOT_USER_ACTION=ignore \
    HOME=/tmp \
    USER=study \
    XDG_CACHE_HOME=/tmp/cache \
    MPLCONFIGDIR=/tmp/matplotlib

WORKDIR /transferability
COPY . .
RUN pip install --editable '.[workflow,sharing]'

# Nobody; with --user, files belong to whoever runs it, of whom the image knows no name but USER.
USER 65534
WORKDIR /study
ENTRYPOINT ["snakemake", "--snakefile", "/transferability/Snakefile", "--directory", "/study"]
CMD ["--cores", "all"]
