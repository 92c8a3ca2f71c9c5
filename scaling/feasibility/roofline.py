"""A lower bound on the time of a training step: the slowest of computing, reading memory and communicating.

Each is at the full published speed of the device, and hides behind the others: no real step is as fast. What is counted
is the step of ``scaling.train.step`` under ``scaling.llama.sharding`` with every layer rematerialised: layers computed
again in the backward pass, bf16 communication, activations shared out between tensor devices (2205.05198). A step that
kept some of its layers' activations would compute less.
"""

from dataclasses import dataclass

from scaling.feasibility.topology import NODE, Gpu, Topology
from scaling.llama.config import LlamaConfig
from scaling.llama.counts import count_params, flops_per_token
from scaling.llama.parallelism import CHUNK_LOGITS, Parallelism

_BF16, _FP32 = 2, 4


@dataclass(frozen=True)
class Plan:
    """How a batch is split over devices and in time.

    Attributes:
        parallelism: of the devices as the compiler counts them.
        microbatch: sequences that a tensor group computes at once.
        microbatches: one after another in a step.
    """

    parallelism: Parallelism
    microbatch: int
    microbatches: int

    @property
    def batch(self) -> int:
        """Sequences of a step."""
        return self.parallelism.batch_shards * self.microbatch * self.microbatches


@dataclass(frozen=True)
class Roofline:
    """Seconds that each resource needs for a step, if nothing else took time.

    Attributes:
        compute: every matmul, what a causal mask leaves of attention, and what is computed again.
        memory: of HBM: what no fusion saves, the state, the layers' weights and the stored activations.
        interconnect: between devices.
    """

    compute: float
    memory: float
    interconnect: float

    @property
    def step(self) -> float:
        """The lower bound of a step, seconds: the slowest resource."""
        return max(self.compute, self.memory, self.interconnect)

    @property
    def bound(self) -> str:
        """Name of the resource that sets the lower bound: ``compute``, ``memory`` or ``interconnect``."""
        parts = {"compute": self.compute, "memory": self.memory, "interconnect": self.interconnect}
        return max(parts, key=parts.__getitem__)


def roofline(config: LlamaConfig, topology: Topology, plan: Plan) -> Roofline:
    """The lower bound for one step of a plan; sequences have ``config.seq_len`` tokens."""
    device, per_chip = topology.device, topology.devices_per_chip
    logits = plan.microbatch * config.seq_len * config.vocab // plan.parallelism.tensor
    per_token = flops_per_token(config, config.seq_len, causal=True)
    per_token += recomputed_per_token(config, config.seq_len, logits > CHUNK_LOGITS, causal=True)
    return Roofline(
        compute=plan.batch * config.seq_len * per_token / (topology.chips * device.peak_flops),
        memory=per_chip * _memory_bytes(config, plan) / device.bandwidth,
        interconnect=_tpu_s(config, topology, plan) if topology.gpu is None else _gpu_s(config, topology.gpu, plan),
    )


def recomputed_per_token(config: LlamaConfig, seq_len: int, chunked: bool, causal: bool) -> int:
    """FLOPs per token of the recomputation in the backward pass.

    The forward pass of the layers but for ``down``, whose product nothing in the backward pass reads; and the head,
    where the loss is ``chunked``.
    """
    head = 2 * config.vocab * config.width
    forward = flops_per_token(config, seq_len, causal=causal) // 3
    return forward - 2 * config.depth * config.ffn * config.width - (0 if chunked else head)


def _memory_bytes(config: LlamaConfig, plan: Plan) -> float:
    """Bytes that a device reads and writes in a step, however well its operations are fused."""
    split, params = plan.parallelism, count_params(config)
    tokens = plan.microbatch * config.seq_len / split.tensor
    # The optimizer reads and writes parameters and both moments; every microbatch writes gradients, and they are read.
    state = _FP32 * (3 + 3 + 2 * plan.microbatches) * params.total / split.state_shards
    # Weights are read in all three passes, and written where they were gathered in two.
    weights = _BF16 * (3 + (2 if split.fsdp > 1 else 0)) * config.depth * params.per_layer_matmul / split.tensor
    # What enters a layer is written, and read when the layer is computed again.
    entering = 2 * _BF16 * config.depth * tokens * config.width
    return state + plan.microbatches * (weights + entering)


def _received(config: LlamaConfig, plan: Plan, neighbours: int) -> float:
    """Bytes that so many neighbouring devices together receive from all others in a step, each byte once.

    Neighbours share a tensor group, then shards of the same parameters, then replicas: the order of the mesh.
    """
    split, params = plan.parallelism, count_params(config).total
    tensor = min(neighbours, split.tensor)
    fsdp = min(neighbours / tensor, split.fsdp)
    data = min(neighbours / (tensor * fsdp), split.data)
    # Parameters are gathered in the forward and in the backward pass, and their gradients scattered.
    gathered = 3 * _BF16 * params * tensor / split.tensor * (1 - fsdp / split.fsdp)
    # Of what the neighbours hold, replicas' gradients come in, and their sum.
    reduced = 2 * _BF16 * params * tensor * fsdp / split.state_shards * (1 - data / split.data)
    # Both blocks gather what they read and scatter what they write: forward, backward, and again but for the last.
    stream = plan.microbatch * config.seq_len * config.width * _BF16
    shared = 11 * config.depth * stream * fsdp * data * (1 - tensor / split.tensor)
    return plan.microbatches * (gathered + reduced + shared)


def _tpu_s(config: LlamaConfig, topology: Topology, plan: Plan) -> float:
    """Seconds of communication between chips, over all links of the chip that has fewest."""
    if topology.chips == 1:
        return 0.0
    assert topology.tpu is not None
    return _received(config, plan, topology.devices_per_chip) / (topology.links * topology.tpu.link_bandwidth)


def _gpu_s(config: LlamaConfig, gpu: Gpu, plan: Plan) -> float:
    """Seconds of communication: the slower of NVLink within a node and the network between nodes.

    What a node lacks comes in once, over the networks of all its GPUs, and is handed on within.
    """
    node = min(NODE, plan.parallelism.devices)
    between = _received(config, plan, node) / node
    within = _received(config, plan, 1) - between
    return max(within / gpu.nvlink, between / gpu.network)
