# Requires surroundings.smk. Gives `config`: the study's params, checked.

from transferability.errors import InputError
from transferability.study.architectures import describe_architectures
from transferability.study.params import check_networks, check_params
from transferability.study.reading import read_config, read_module, refuse_prefix
from transferability.study.targets import check_target

try:
    # In place of `configfile:`, which would run code that the file may hold, and reads another YAML than DVC writes.
    if TAKEN_IN:
        refuse_prefix(workflow.modifier.path_modifier)
        config = read_module(HERE and HERE / "params.yaml", config)
    else:
        read_config(workflow, next(path for path in [Path("params.yaml"), HERE / "params.yaml"] if path.exists()))
    check_params(config)
    describe_architectures(config)
    check_networks(config)
    # Snakemake tells its targets only after the rules are read; the command line has them now.
    for word in sys.argv[1:] if not TAKEN_IN else ():
        check_target(word, config)
except InputError as error:
    raise refusal(error)
