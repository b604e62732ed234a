/**
 * Lines of failure logs and what they mean: data, in order, the first rule that fits decides. Texts are those of
 * torch_npu, CANN, HCCL, Megatron, MindSpeed-LLM and torchrun; `source` says where each was read.
 */

/** What a retry would do about it. */
export type FaultClass = 'user' | 'numeric' | 'hardware' | 'network' | 'environment' | 'leftover' | 'symptom';

export interface FaultRule {
  name: string;
  pattern: RegExp;
  class: FaultClass;
  meaning: string;
  advice: string;
  source: string;
}

const MEGATRON = 'Megatron-LM core_v0.12.1, as run for test/fixtures/golden/logs';
const TORCH_NPU = 'Ascend/pytorch (torch_npu), error texts of the C++ part';
const CANN = 'CANN error code reference; ascend-faultdiag kg-config.json';
const MIND_CLUSTER = 'MindCluster documentation, fault diagnosis';
const TORCH = 'torch.distributed, torchrun and gloo 2.7, as run for test/fixtures/golden/logs';

export const FAULT_RULES: FaultRule[] = [
  {
    name: 'not-a-number',
    pattern: /found NaN|found Inf|Unexpected result (nan|inf)/i,
    class: 'numeric',
    meaning: 'a loss or gradient is no number: data, settings or a device that computes wrongly',
    advice:
      'once more from the checkpoint; at the same iteration again it is data or settings, elsewhere suspect that device',
    source: MEGATRON,
  },
  {
    name: 'memory-error',
    pattern: /HBM MULTI BIT ECC ERROR|UCE ERROR|CQE status is 8\b|SUSPECT MEM ERROR/i,
    class: 'hardware',
    meaning: "a memory error of that node's device",
    advice: 'check the device, replace the node',
    source: TORCH_NPU,
  },
  {
    name: 'link-error',
    pattern: /HCCS LINK ERROR|UB LINK ERROR|SUSPECT REMOTE ERROR|HCCL OP RETRY FAILED/i,
    class: 'hardware',
    meaning: 'the interconnect between devices failed',
    advice: 'check links, replace the node',
    source: TORCH_NPU,
  },
  {
    name: 'device-lost',
    pattern: /device lost heartbea[rt]+|device lost\b/i,
    class: 'hardware',
    meaning: 'the driver lost a device',
    advice: 'replace the node, reset the device',
    source: TORCH_NPU,
  },
  {
    name: 'out-of-memory',
    pattern:
      /NPU out of memory|OutOfMemoryError|EL0004|NPUWorkspaceAllocator tried to allocate|DefaultCPUAllocator: can't allocate memory/i,
    class: 'user',
    meaning: 'the layout needs more memory than a device has',
    advice: 'more tp or pp, a smaller microBatch, or recomputation',
    source: TORCH_NPU,
  },
  {
    name: 'arguments',
    pattern:
      /unrecognized arguments|invalid choice|the following arguments are required|expected (one|at least one) argument/i,
    class: 'user',
    meaning: 'the trainer does not know an argument',
    advice: 'correct train.extraArgs, or mindspeed.release',
    source: MEGATRON,
  },
  {
    name: 'schedule-changed',
    pattern: /OptimizerParamScheduler: class input value/i,
    class: 'user',
    meaning: 'the learning-rate schedule differs from the one in the checkpoint',
    advice: 'restore the old settings, or use another series',
    source: MEGATRON,
  },
  {
    name: 'checkpoint-differs',
    pattern:
      /size mismatch for|value from checkpoint .* is not equal to the input argument|Missing key\(s\) in state_dict|unknown checkpoint format/i,
    class: 'user',
    meaning: 'the checkpoint is of another model or layout',
    advice: 'correct model or parallel, or use another series',
    source: MEGATRON,
  },
  {
    name: 'no-data',
    pattern: /no data loaded, you might give wrong data path|One or both of the \.idx and \.bin files cannot be found/i,
    class: 'environment',
    meaning: 'the dataset is not on that node',
    advice: 'place it again',
    source: MEGATRON,
  },
  {
    name: 'other-data-directory',
    pattern: /the data directory \S+ never saw this launch/,
    class: 'environment',
    meaning: 'the node worker came back with another data directory than it had at the launch',
    advice: 'start it with the PRETRAIN_DATA that it had',
    source: 'activities/never-seen.ts',
  },
  {
    name: 'index-cache',
    pattern: /No such file or directory: '.*GPTDataset-\w+_index\.npy'/i,
    class: 'environment',
    meaning: 'the index cache is on another node only: the launch lacks --no-shared-storage',
    advice: 'set cluster.sharedStorage to "auto"',
    source: MEGATRON,
  },
  {
    name: 'index-cache-damaged',
    pattern: /mmap length is greater than file size|EOFError: No data left in file|EOF: reading (magic|array header)/,
    class: 'environment',
    meaning: 'a file of the index cache beside the dataset is cut off on that node',
    advice: 'launch again: what was never seen whole is removed before, and built anew',
    source: 'numpy.load of a file that is cut off, as Megatron calls it',
  },
  {
    name: 'missing-tracker',
    pattern: /could not find the metadata file|Invalid metadata file/i,
    class: 'environment',
    meaning: 'latest_checkpointed_iteration.txt is missing or unreadable on that node',
    advice: 'restore the checkpoint there',
    source: MEGATRON,
  },
  {
    name: 'unreadable-checkpoint',
    pattern:
      /could not load the checkpoint|PytorchStreamReader failed|No such file or directory: '.*(model_optim_rng|distrib_optim)\.pt'|Unable to load (optimizer|rng state) from checkpoint/i,
    class: 'environment',
    meaning: 'a checkpoint shard is missing or cut off on that node',
    advice: 'restore it from a peer',
    source: MEGATRON,
  },
  {
    name: 'helper-not-compiled',
    pattern: /Failed to compile the C\+\+ dataset helper functions/i,
    class: 'environment',
    meaning: 'the index helper cannot be compiled',
    advice: 'install make, g++ and pybind11',
    source: MEGATRON,
  },
  {
    name: 'library-missing',
    pattern: /lib(hccl|atb|ascendcl|torch_npu)\S*: cannot open shared object file/i,
    class: 'environment',
    meaning: "CANN's environment is not sourced",
    advice: 'source set_env.sh of CANN and nnal',
    source: 'public issues of vllm-ascend and MindSpeed-LLM',
  },
  {
    name: 'driver-not-visible',
    pattern:
      /dcmi mod(ule|el) initiali[sz]ed? failed|DrvMngGetConsoleLogLevel failed|error gathering device information/i,
    class: 'environment',
    meaning: 'the driver or its devices are not visible in this container',
    advice: 'mount driver and device files',
    source: MIND_CLUSTER,
  },
  {
    name: 'cann-incomplete',
    pattern: /\b507033\b|E30006|init env failed|\b500001\b/,
    class: 'environment',
    meaning: "CANN's Python dependencies or its kernels package are missing",
    advice: 'install them (decorator, attrs, psutil, scipy, …)',
    source: CANN,
  },
  {
    name: 'invalid-device',
    pattern: /Invalid device ID|SetDevice failed|set device failed/i,
    class: 'environment',
    meaning: 'more ranks than visible devices',
    advice: 'correct cluster.devicesPerNode or ASCEND_RT_VISIBLE_DEVICES',
    source: 'MindSpeed-LLM docs, FAQ.md',
  },
  {
    name: 'leftover-process',
    pattern: /EJ0001|last training process is running|Address already in use|EADDRINUSE/i,
    class: 'leftover',
    meaning: 'processes of an earlier run hold devices or ports',
    advice: 'end them, wait, start again',
    source: CANN,
  },
  {
    name: 'disk',
    pattern: /No space left on device|the disk is full|ENOSPC|Disk quota exceeded|Read-only file system/i,
    class: 'environment',
    meaning: 'the disk is full or cannot be written',
    advice: 'free space there',
    source: 'POSIX',
  },
  {
    name: 'collective-arguments',
    pattern: /EI000[35]/,
    class: 'user',
    meaning: 'arguments of a collective are wrong or differ between ranks: nodes run different programs',
    advice: 'bring all nodes to the same checkout and data',
    source: CANN,
  },
  {
    name: 'rank-table',
    pattern: /EI0004/,
    class: 'user',
    meaning: 'the rank table is wrong',
    advice: 'take RANK_TABLE_FILE out of the environment',
    source: CANN,
  },
  {
    name: 'rdma',
    pattern: /\[Heartbeat\]\s*cqe error status\[12\]|ERROR CQE/i,
    class: 'network',
    meaning: 'RDMA gave up sending to a peer',
    advice: 'check the link of both devices',
    source: TORCH_NPU,
  },
  {
    name: 'link-set-up',
    pattern: /EI0006|Getting socket times out/i,
    class: 'symptom',
    meaning: 'no link to a peer: it has not started, or network card, port or TLS are wrong',
    advice: 'see why the peer did not come; with no other error compare NIC names, ports and TLS',
    source: CANN,
  },
  {
    name: 'peer-gone',
    pattern: /EI0002|ExceptionType:\[Heartbeat Lost|Heartbeat Lost Occurred|\b507048\b|notify wait timeout/i,
    class: 'symptom',
    meaning: 'a peer stopped; the location in the line is the first suspect',
    advice: 'look at the node that it names',
    source: CANN,
  },
  {
    name: 'forced-stop',
    pattern: /FORCE STOP/,
    class: 'symptom',
    meaning: 'stopped on request of another part',
    advice: 'look at the other nodes',
    source: TORCH_NPU,
  },
  {
    name: 'watchdog',
    pattern: /Watchdog caught collective operation timeout/i,
    class: 'symptom',
    meaning: 'a collective hangs; printed, often not fatal',
    advice: 'look for the rank that is not in the collective',
    source: TORCH_NPU,
  },
  {
    name: 'operator',
    pattern: /E30008|aicore timeout|Aicore kernel execute failed|rtDeviceSynchronize|Device synchronize failed/i,
    class: 'symptom',
    meaning: 'an operator failed earlier; synchronising only brought it up',
    advice: 'look for the earlier error, and at the plog',
    source: CANN,
  },
  {
    name: 'collective-inner',
    pattern: /EI9999|EJ9999|ERR\d\d200|call hccl api failed/i,
    class: 'symptom',
    meaning: 'HCCL failed inside, without a cause',
    advice: 'look at the other nodes and for the earlier error',
    source: TORCH_NPU,
  },
  {
    name: 'connection-lost',
    pattern:
      /Connection (reset|closed|refused|aborted)|Broken pipe|Socket (closed|Timeout)|Timed out waiting|gloo\/transport|Dist(Network|Store|Backend)Error|Rendezvous\w*(Error|Exception)|TCPStore/i,
    class: 'symptom',
    meaning: 'another member ended, or cannot be reached',
    advice: 'look at the other nodes',
    source: TORCH,
  },
  {
    name: 'configuration',
    pattern: /AssertionError|KeyError|NotImplementedError/,
    class: 'user',
    meaning: 'the program refuses its configuration',
    advice: 'read the line; a retry would end the same way',
    source: MEGATRON,
  },
  {
    name: 'unknown-ascend',
    pattern: /ERR99999|\bE[A-Z0-9]9999\b/,
    class: 'symptom',
    meaning: 'an error of Ascend software without more meaning',
    advice: 'look for the earlier error, and at the plog',
    source: CANN,
  },
];

/** The first rule that fits a line. */
export const faultOf = (line: string): FaultRule | undefined => FAULT_RULES.find(({ pattern }) => pattern.test(line));

/** Modules and types in torch_npu's `ERR<module><type>`: they name the layer that failed, never the cause. */
const MODULES = ['torch_npu', 'operators', 'distributed', 'graph', 'profiler'];
const TYPES: Record<string, string> = {
  ...{ '001': 'invalid parameter', '002': 'invalid type', '003': 'invalid value', '004': 'invalid pointer' },
  ...{ '005': 'internal error', '006': 'memory', '007': 'not supported', '008': 'not found', '009': 'not available' },
  ...{ '010': 'system call', '011': 'time-out', '012': 'permission', '100': 'ACL call', '200': 'HCCL call' },
  '300': 'graph engine call',
};

/** The layer that a torch_npu error code names. */
export function layerOf(line: string): string | undefined {
  const code = /\bERR(\d{2})(\d{3})\b/.exec(line);
  if (!code) return undefined;
  if (code[0] === 'ERR99999') return 'unknown';
  return `${MODULES[Number(code[1])] ?? `module ${code[1]}`}: ${TYPES[code[2]!] ?? `type ${code[2]}`}`;
}

/** The node that HCCL suspects when it loses a peer's heartbeat. */
export const suspectOf = (line: string): string | undefined =>
  /Cluster Exception Location\[IP\/ID\]:\[([^\]/]+)/.exec(line)?.[1];

export interface SeenError {
  node: string;
  line: string;
  /** Milliseconds from the error to the look at it, which all nodes take at about the same time: no clock is compared. */
  age?: number;
}

export interface FirstFault extends SeenError {
  rule?: FaultRule;
}

/** Looks are taken this far apart at most, and a watcher reads a line this late: within it nothing came first. */
const TOGETHER_MS = 2_000;

/**
 * Of errors the one to act on: the oldest that is not a mere consequence, else the oldest. On many members time-outs
 * and lost connections are what the others' end looks like from there. Of errors that came together, one that is
 * understood; then the order given decides.
 */
export function firstFault(errors: SeenError[]): FirstFault | undefined {
  const judged = errors.map((error): FirstFault => {
    const rule = faultOf(error.line);
    return { ...error, ...(rule && { rule }) };
  });
  const causes = judged.filter(({ rule }) => rule?.class !== 'symptom');
  const candidates = causes.length > 0 ? causes : judged;
  const oldest = Math.max(...candidates.map(({ age = 0 }) => age));
  const first = candidates.filter(({ age = 0 }) => oldest - age <= TOGETHER_MS);
  return first.find(({ rule }) => rule) ?? first[0];
}
