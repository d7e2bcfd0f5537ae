"""The table of docs/architectures.md: the stages of many models of torchvision and timm, and how long they take.

python benchmarks/architectures.py > table.md
python benchmarks/architectures.py --families > families.txt

The second counts how many of timm's families, each by its smallest model, and of torchvision's classifiers are staged,
and says why the others cannot be. It takes half an hour: the parameters of all models of timm are counted.
"""

import os
import signal
import sys
import time
import warnings
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "src"))

import timm
import torch

from transferability.errors import InputError
from transferability.networks.building import library_of
from transferability.networks.description import meta_network
from transferability.networks.stages import LibraryModel
from transferability.networks.staging import seeded, stage
from transferability.networks.torchvision import model_names

TORCHVISION = (
    "alexnet vgg11_bn resnet18 resnet50 resnext50_32x4d wide_resnet50_2 densenet121 mobilenet_v2 mobilenet_v3_small "
    "mobilenet_v3_large mnasnet1_0 shufflenet_v2_x1_0 squeezenet1_1 googlenet inception_v3:299 efficientnet_b0 "
    "efficientnet_v2_s regnet_y_400mf convnext_tiny vit_b_16 swin_t swin_v2_t maxvit_t"
)
TIMM = (
    "resnet18 resnet26d resnetv2_50 res2net50_26w_4s densenet121 dpn68 dla34 xception41 inception_v4:299 "
    "regnety_002 repvgg_a0 efficientnet_b0 tf_efficientnet_lite0 mobilenetv2_100 mobilenetv4_conv_small "
    "mobileone_s0 ghostnet_100 nfnet_l0 convnextv2_atto rdnet_tiny convmixer_768_32 vit_tiny_patch16_224 "
    "deit3_small_patch16_224 deit_tiny_distilled_patch16_224 beit_base_patch16_224 eva02_tiny_patch14_224 "
    "vit_small_patch14_dinov2 vit_small_patch16_dinov3 vit_base_patch16_clip_224 vit_base_patch16_siglip_224 "
    "cait_xxs24_224 xcit_nano_12_p16_224 volo_d1_224 swin_tiny_patch4_window7_224 swinv2_tiny_window8_256:256 "
    "twins_pcpvt_small pvt_v2_b0 levit_128s hiera_tiny_224 maxvit_rmlp_pico_rw_256:256 mobilevit_xxs:256 "
    "edgenext_xx_small:256 davit_tiny focalnet_tiny_srf poolformer_s12 caformer_s18 efficientformer_l1 "
    "fastvit_t8:256 mixer_s32_224 gmlp_s16_224 nasnetalarge:331 coat_tiny crossvit_9_240:240 hrnet_w18_small "
    "cspresnet50 selecsls42"
)


LIMIT = 120
"""Seconds that a model may take where families are counted."""


def row(library: str, name: str, size: int) -> str:
    """A line of the table."""
    shape, times = (3, size, size), [time.process_time()]
    counts = []
    try:
        for granularity in ("block", "stage"):
            architecture = LibraryModel(library, name, granularity=granularity)
            with seeded(0):
                model = library_of(architecture).make(architecture, shape, 1000)
            times.append(time.process_time())
            network = stage(model, architecture, shape)
            times.append(time.process_time())
            counts.append(len(network))
            names = [name for name, _ in network.named_children()]
            if granularity == "block":
                features = network[:-1].to("meta")(torch.empty(2, *shape, device="meta")).shape[1:]
                blocks, grade = names, "linked" if network.linked else "staged"
    except InputError as error:
        return f"| {library} | {name} | – | – | – | {str(error).rpartition(': ')[2]} | | |"
    given, cuts = "×".join(map(str, features)), f"{', '.join(blocks[:-2][:3])} ... {blocks[-2]}"
    return (
        f"| {library} | {name} | {grade} | {counts[0]} | {counts[1]} | {cuts} | {given} | "
        f"{times[1] - times[0]:.1f} + {times[2] - times[1]:.1f} |"
    )


def print_table() -> None:
    """Print the table."""
    print("| library | model | grade | blocks | stages | from the first to the last cut | features there | seconds |")
    print("|---|---|---|---|---|---|---|---|", flush=True)
    for library, models in (("torchvision", TORCHVISION), ("timm", TIMM)):
        for model in models.split():
            name, _, size = model.partition(":")
            print(row(library, name, int(size or 224)), flush=True)


class TooLong(BaseException):
    """A model took more than LIMIT seconds; no Exception, which staging would catch."""


def give_up(*signals: object) -> None:
    """End what is being done."""
    raise TooLong


def parameters(name: str) -> int:
    """How many parameters a model of timm has; those that cannot be built without memory come last."""
    try:
        with torch.device("meta"):
            return sum(parameter.numel() for parameter in timm.create_model(name).parameters())
    except (RuntimeError, NotImplementedError):
        return sys.maxsize


def smallest_models() -> list[str]:
    """Of each module of timm that has models, a family, the one with the fewest parameters."""
    families = [timm.list_models(module=module) for module in timm.list_modules()]
    return [min(names, key=lambda name: (parameters(name), name)) for names in families if names]


def verdict(library: str, name: str) -> str:
    """The grade of a model for images of its usual size, or of 224 pixels; or why it is refused."""
    architecture, sides = LibraryModel(library, name), (library_of(LibraryModel(library, name)).usual_size(name), 224)
    signal.alarm(LIMIT)
    try:
        for side in dict.fromkeys(sides):
            try:
                return "linked" if meta_network(architecture, (3, side, side), 1000).linked else "staged"
            except InputError as error:
                reason = str(error)
        return reason
    except TooLong:
        return f"more than {LIMIT} s"
    finally:
        signal.alarm(0)


def count_families() -> None:
    """Print each model's grade, and how many models of a library have each."""
    signal.signal(signal.SIGALRM, give_up)
    for library, models in (("torchvision", model_names()), ("timm", smallest_models())):
        counts = Counter[str]()
        for name in models:
            grade = verdict(library, name)
            counts[grade if grade in ("staged", "linked") else "refused"] += 1
            print(library, name, grade, sep="\t", flush=True)
        print(f"{library}: {dict(counts)} of {len(models)}", flush=True)


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    if "--families" in sys.argv:
        count_families()
    else:
        print_table()
