"""How much of this machine's arithmetic training uses, for each ready study's architecture at its image size.

    python benchmarks/peak.py [--studies default tiny-imagenet cifar100] [--precision fp32] [--cores 2]

The peak stands in as the rate of a large matrix product in the same precision, which on a CPU comes near to what its
multiply-add units can do; one thread in as many processes as jobs would run at once, of CPU time, or on a GPU one
process, by the clock. The rate of training is that of a base network's training loop on random images, as
`python -m transferability.study.costs --measure` takes it: batches, augmentation, norms and optimiser are in its
time, but only convolutions and linear layers in its arithmetic. Prints ms an image, FLOP/s and the share of the peak.
Among the studies, imagenet-original and `imagenet-balanced+imagenet-modern` take minutes on a CPU.
"""

import argparse
import subprocess
import sys

from engine import schedules, study_params

from transferability.study.architectures import image_shape
from transferability.study.costs import in_units
from transferability.study.rates import measure_rate
from transferability.study.work import reference_work

PRODUCT = """
import sys, time, torch
device, precision, size = sys.argv[1], sys.argv[2], int(sys.argv[3])
torch.set_num_threads(1)
dtype = torch.bfloat16 if precision == "bf16" else torch.float32
a, b = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
wait, clock = (torch.cuda.synchronize, time.perf_counter) if device == "cuda" else (lambda: None, time.process_time)
a @ b
wait()
rates = []
for _ in range(5):
    started, count = clock(), 0
    while clock() - started < 0.4:
        a @ b
        wait()
        count += 1
    rates.append(count * 2 * size**3 / (clock() - started))
print(max(rates))
"""


def product_rate(device: str, precision: str, cores: int) -> float:
    """The FLOP/s of a large matrix product, the mean over processes that run it at once."""
    size, count = (8192, 1) if device == "cuda" else (1536, cores)
    command = [sys.executable, "-c", PRODUCT, device, precision, str(size)]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(count)]
    return sum(float(process.communicate()[0]) for process in running) / count


def main() -> None:
    parser = argparse.ArgumentParser(description="Tell how much of the machine's arithmetic training uses.")
    parser.add_argument("--studies", nargs="+", default=["default", "tiny-imagenet", "fashion-mnist", "cifar100"])
    parser.add_argument("--precision", choices=["fp32", "bf16"], default="fp32")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--cores", type=int, default=2)
    arguments = parser.parse_args()
    peak = product_rate(arguments.device, arguments.precision, arguments.cores)
    print(f"matrix product, {arguments.precision}: {in_units(peak, 'FLOP/s')} in each of {arguments.cores} processes")
    print(f"{'study':36}{'network':12}{'image':>12}{'ms an image':>13}{'rate':>16}{'of the peak':>13}")
    for name in arguments.studies:
        studies = [] if name == "default" else name.split("+")
        params = study_params(studies, device=arguments.device)
        params["training"] |= schedules(params, None, arguments.precision)
        (architecture,) = params["study"]["architecture"]
        shape = "×".join(map(str, image_shape(params["datasets"][params["study"]["dataset"][0]])))
        milliseconds = measure_rate(params, architecture, arguments.cores)
        rate = 1000 * reference_work(params, architecture).flops / milliseconds
        print(f"{name:36}{architecture:12}{shape:>12}", end="")
        print(f"{milliseconds:13.3f}{in_units(rate, 'FLOP/s'):>16}{rate / peak:13.0%}", flush=True)


if __name__ == "__main__":
    main()
