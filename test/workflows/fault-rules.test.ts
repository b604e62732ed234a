/** What a line of a failure log means, whose fault it is and what to do. */
import { describe, expect, it } from 'vitest';
import { FAULT_RULES, faultOf, firstFault, layerOf, suspectOf } from '../../workflows/fault-rules.js';
import { deviceFault } from '../../workflows/device-faults.js';

/** Line, class, name of the rule. Texts as torch_npu, CANN, Megatron and torchrun print them. */
const LINES: [line: string, cls: string, name: string][] = [
  [
    'RuntimeError: NPU out of memory. Tried to allocate 2.00 GiB (NPU 3; 60.97 GiB total capacity; 57 GiB already allocated)',
    'user',
    'out-of-memory',
  ],
  ['torch.OutOfMemoryError: allocation failed', 'user', 'out-of-memory'],
  ['EL0004: [PID: 4120] 2026-08-01-10:11:12.100 Failed to allocate memory.', 'user', 'out-of-memory'],
  ['NPUWorkspaceAllocator tried to allocate 3.2 GiB', 'user', 'out-of-memory'],
  ["KeyError: 'optimizer'", 'user', 'configuration'],
  [
    'RuntimeError: Error(s) in loading state_dict: size mismatch for embedding.word_embeddings.weight',
    'user',
    'checkpoint-differs',
  ],
  [
    'AssertionError: num_layers value from checkpoint (36) is not equal to the input argument value (40).',
    'user',
    'checkpoint-differs',
  ],
  ['pretrain_gpt.py: error: unrecognized arguments: --no-such 3', 'user', 'arguments'],
  [
    'AssertionError: OptimizerParamScheduler: class input value 10.0 and checkpointvalue 8.0 for warmup iterations do not match',
    'user',
    'schedule-changed',
  ],
  [
    "RuntimeError: Rank 3, node n07, device 3, iteration 120: Unexpected result nan (message='found NaN in local forward loss calculation')",
    'numeric',
    'not-a-number',
  ],
  ['found Inf in local grad norm for bucket #2 in backward pass', 'numeric', 'not-a-number'],
  ['RuntimeError: HBM MULTI BIT ECC ERROR. time us = 1727', 'hardware', 'memory-error'],
  ['UCE ERROR', 'hardware', 'memory-error'],
  ['The CQE status is 8, sq_id 0', 'hardware', 'memory-error'],
  ['SUSPECT MEM ERROR', 'hardware', 'memory-error'],
  ['HCCS LINK ERROR', 'hardware', 'link-error'],
  ['UB LINK ERROR', 'hardware', 'link-error'],
  ['SUSPECT REMOTE ERROR', 'hardware', 'link-error'],
  ['HCCL OP RETRY FAILED', 'hardware', 'link-error'],
  ['Device lost heartbeat, device id 3', 'hardware', 'device-lost'],
  ['Device lost heartbeart', 'hardware', 'device-lost'],
  ['[Heartbeat]cqe error status[12], rankId 4', 'network', 'rdma'],
  ['HCCL ERROR CQE', 'network', 'rdma'],
  ['EI0002: [PID: 1] The wait execution of the Notify register times out.', 'symptom', 'peer-gone'],
  [
    'Cluster Exception Location[IP/ID]:[10.0.0.7/3], Arrival Time:[x], ExceptionType:[Heartbeat Lost Occurred], Possible Reason:1. Process has exited, 2. Network Disconnected',
    'symptom',
    'peer-gone',
  ],
  ['ACL stream synchronize failed, error code:507048', 'symptom', 'peer-gone'],
  [
    'EI0006: [PID: 1] Getting socket times out. Reason: remote rank 8 did not send the data in time.',
    'symptom',
    'link-set-up',
  ],
  ['EI0003: collective communication parameter is invalid', 'user', 'collective-arguments'],
  ['EI0005: The arguments for collective communication are inconsistent between ranks', 'user', 'collective-arguments'],
  ['EI0004: The ranktable or rank is invalid', 'user', 'rank-table'],
  ['EI9999: Inner Error!', 'symptom', 'collective-inner'],
  [
    'EJ0001: Failed to initialize the HCCP process. Reason: Maybe the last training process is running.',
    'leftover',
    'leftover-process',
  ],
  ['OSError: [Errno 98] Address already in use', 'leftover', 'leftover-process'],
  ['E30008: AI CPU operator execution time out.', 'symptom', 'operator'],
  ['The error from device, aicore timeout, task_id=3', 'symptom', 'operator'],
  ['Aicore kernel execute failed, device_id=3, stream_id=2', 'symptom', 'operator'],
  ['rtDeviceSynchronize execute failed, reason=[the model stream execute failed]', 'symptom', 'operator'],
  ['RuntimeError: Device synchronize failed', 'symptom', 'operator'],
  ['FORCE STOP', 'symptom', 'forced-stop'],
  ['Watchdog caught collective operation timeout: WorkHCCL(SeqNum=5, OpType=ALLREDUCE)', 'symptom', 'watchdog'],
  [
    'error gathering device information while adding custom device "/dev/davinci0"',
    'environment',
    'driver-not-visible',
  ],
  [
    '[ERROR] 2024-03-07-01:31:48 (PID:1, Device:0, RankID:-1) ERR02200 DIST call hccl api failed.',
    'symptom',
    'collective-inner',
  ],
  [
    '[ERROR] 2024-03-07-01:31:48 (PID:1, Device:0, RankID:-1) ERR99999 UNKNOWN application exception',
    'symptom',
    'unknown-ascend',
  ],
  ['EZ9999: Inner Error!', 'symptom', 'unknown-ascend'],
  [
    'ImportError: libhccl.so: cannot open shared object file: No such file or directory',
    'environment',
    'library-missing',
  ],
  [
    'ImportError: libatb.so: cannot open shared object file: No such file or directory',
    'environment',
    'library-missing',
  ],
  ['dcmi module initialize failed. ret is -8005', 'environment', 'driver-not-visible'],
  ['dcmi model initialized failed, because the device is used. ret is -8020', 'environment', 'driver-not-visible'],
  ['DrvMngGetConsoleLogLevel failed. (g_conLogLevel=3)', 'environment', 'driver-not-visible'],
  ['ACL error 507033, E30006', 'environment', 'cann-incomplete'],
  ['RuntimeError: Invalid device ID. SetDevice failed', 'environment', 'invalid-device'],
  ['no data loaded, you might give wrong data path.', 'environment', 'no-data'],
  [
    "FileNotFoundError: [Errno 2] No such file or directory: 'd/cache/GPTDataset_indices/ab-GPTDataset-document_index.npy'",
    'environment',
    'index-cache',
  ],
  ['ValueError: mmap length is greater than file size', 'environment', 'index-cache-damaged'],
  ['EOFError: No data left in file', 'environment', 'index-cache-damaged'],
  ['ValueError: EOF: reading array header, expected 118 bytes got 50', 'environment', 'index-cache-damaged'],
  ['Failed to compile the C++ dataset helper functions', 'environment', 'helper-not-compiled'],
  [
    'WARNING: could not find the metadata file save/latest_checkpointed_iteration.txt',
    'environment',
    'missing-tracker',
  ],
  [
    'n01: the data directory /wrong never saw this launch (generation 1 of r, token 9); is PRETRAIN_DATA right?',
    'environment',
    'other-data-directory',
  ],
  ['could not load the checkpoint', 'environment', 'unreadable-checkpoint'],
  [
    'RuntimeError: [x/gloo/transport/tcp/pair.cc:534] Connection closed by peer [10.0.0.2]:1',
    'symptom',
    'connection-lost',
  ],
  ['OSError: [Errno 28] No space left on device', 'environment', 'disk'],
];

describe('a fault line is classified', () => {
  it.each(LINES)('%s', (line, cls, name) => {
    const rule = faultOf(line);
    expect([rule?.class, rule?.name]).toEqual([cls, name]);
  });

  it('by every rule there is: none is without a line, and each says where it was read', () => {
    expect(new Set(LINES.map(([, , name]) => name))).toEqual(new Set(FAULT_RULES.map(({ name }) => name)));
    for (const { source, advice } of FAULT_RULES) expect([source, advice]).not.toContain('');
  });

  it('and a line of progress is none', () => {
    expect(faultOf(' [2026-08-01] iteration 3/ 20 | lm loss: 1.0E+00 | grad norm: 0.9 |')).toBeUndefined();
  });
});

describe('of many errors the one to act on', () => {
  it('is the earliest that is not a mere consequence', () => {
    const errors = [
      { node: 'n1', line: 'EI0002: notify wait timeout' },
      { node: 'n2', line: 'Device lost heartbeat' },
      { node: 'n3', line: 'EI0006: Getting socket times out' },
      { node: 'n3', line: 'KeyError: 1' },
    ];
    expect(firstFault(errors)).toMatchObject({ node: 'n2', rule: { name: 'device-lost' } });
    expect(firstFault(errors.filter(({ node }) => node === 'n1'))).toMatchObject({
      node: 'n1',
      rule: { name: 'peer-gone' },
    });
    expect(firstFault([])).toBeUndefined();
  });

  it('may name the node that HCCL suspects', () => {
    expect(suspectOf('Cluster Exception Location[IP/ID]:[10.0.0.7/3], Arrival Time:[x]')).toBe('10.0.0.7');
    expect(suspectOf('EI0002')).toBeUndefined();
  });
});

it.each([
  ['ERR02200 DIST call hccl api failed', 'distributed: HCCL call'],
  ['ERR01006 OPS', 'operators: memory'],
  ['ERR00100 PTA call acl api failed', 'torch_npu: ACL call'],
  ['ERR99999 UNKNOWN', 'unknown'],
  ['no code', undefined],
])('%s names the layer %s, never the cause', (line, layer) => expect(layerOf(line)).toBe(layer));

it.each([
  ['80E18402', 'SeparateNPU'],
  ['80E01801', 'RestartBusiness'],
  ['80FA4E00', 'RestartNPU'],
  ['8107800D', 'RestartRequest'],
  ['80818C06', 'SubHealth'],
  ['81078603', 'NotHandle'],
  ['8C044E00', 'FreeRestartNPU'],
  ['8F180220', 'PreSeparateNPU'],
  ['A2301001', 'SeparateNPU'],
  ['12345678', undefined],
])('the device code %s is of level %s', (code, level) => expect(deviceFault(code).level).toBe(level));
