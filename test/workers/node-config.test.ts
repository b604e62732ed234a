/** What a node worker is told, what it refuses, and what of it its commands get. */
import { describe, expect, it, test } from 'vitest';
import { demoRunFile } from '../../infra/demo/run-file.js';
import { commandEnvironment, readHubTokens, readNodeConfig, refuseMisspelled } from '../../workers/config.js';
import { parseRunSpec } from '../../workflows/spec.js';

const settings = { PRETRAIN_NODE: 'n1', PRETRAIN_DATA: '/data', PRETRAIN_ADDRESS: '127.0.0.1' };

test('commands get the variables of their tools, and nothing that only the worker is to know', () => {
  const tools = { PATH: '/bin', LD_LIBRARY_PATH: '/lib', ASCEND_HOME_PATH: '/cann', HCCL_CONNECT_TIMEOUT: '1800' };
  const worker = {
    ...{ HF_TOKEN: 'x', MODELSCOPE_API_TOKEN: 'x', AWS_SECRET_ACCESS_KEY: 'x', AWS_SESSION_TOKEN: 'x' },
    ...{ TEMPORAL_API_KEY: 'x', TEMPORAL_TLS_CLIENT_KEY_DATA: 'x', PRETRAIN_TLS_KEY: '/key', GITHUB_TOKEN: 'x' },
  };
  const given = commandEnvironment(readNodeConfig(settings), { ...tools, ...worker, ...settings });
  expect(given).toMatchObject(tools);
  expect(Object.keys(given).filter((name) => name in worker || name in settings)).toEqual([]);
});

/** What the Ascend Operator of MindCluster gives a pod of a PyTorch job with every recovery: env.go of branch_v26.1.0. */
const POD = {
  ...{ MASTER_ADDR: '10.0.0.1', MASTER_PORT: '2222', RANK: '1' },
  ...{ WORLD_SIZE: '8', LOCAL_WORLD_SIZE: '4', LOCAL_RANK: '0,1,2,3' },
  ...{
    MINDX_TASK_ID: '6f1c',
    MINDX_SERVER_IP: '10.96.0.9',
    APP_TYPE: '',
    REPLICA_TYPE: 'Worker',
    HostNetwork: 'false',
  },
  MINDX_SERVER_DOMAIN: 'clusterd-grpc-svc.mindx-dl.svc.cluster.local',
  ...{ PROCESS_RECOVER: 'on', ELASTIC_PROCESS_RECOVER_ENABLE: '1', ENABLE_RESTART_FAULT_PROCESS: 'on' },
  ...{ HIGH_AVAILABILITY: 'dump,recover,retry', HCCL_ASYNC_ERROR_HANDLING: '0' },
  ...{ ASCEND_VISIBLE_DEVICES: '0,1,2,3', HCCL_LOGIC_SUPERPOD_ID: '0' },
};
/** What its guides add in the job or in the script that a pod runs. */
const GUIDES = {
  ...{ RANK_TABLE_FILE: '/user/serverid/devindex/config/hccl.json', XDL_IP: '10.1.0.2', POD_IP: '10.2.0.2' },
  ...{
    TTP_ADDR: '10.0.0.1',
    TTP_PORT: '8000',
    TTP_LOG_PATH: 'logs',
    CONTROLLER_ADDR: '10.2.0.2',
    PROCESSOR_ADDR: '10.0.0.1',
  },
};

describe('in a pod of MindCluster', () => {
  const npu = { ...settings, PRETRAIN_PROFILE: 'npu' };

  it('commands get what is so of its devices, and none of its ranks and addresses: each launch has its own', () => {
    const given = commandEnvironment(readNodeConfig(npu), { ...POD, ...GUIDES });
    expect(
      Object.keys(given)
        .filter((name) => name in POD || name in GUIDES)
        .sort(),
    ).toEqual([...['ASCEND_VISIBLE_DEVICES', 'HCCL_LOGIC_SUPERPOD_ID', 'TTP_LOG_PATH', 'TTP_PORT']]);
  });

  it('a watchdog that somebody else has turned off stays off', () => {
    const env = { HCCL_ASYNC_ERROR_HANDLING: '0' };
    expect(commandEnvironment(readNodeConfig(npu), env)).toMatchObject(env);
  });

  it('the node has the devices of the pod, unless it is told otherwise', () => {
    expect(readNodeConfig({ ...npu, ...POD }).devices).toBe(4);
    expect(readNodeConfig({ ...npu, ...POD, PRETRAIN_DEVICES: '2' }).devices).toBe(2);
    expect(readNodeConfig({ ...npu, LOCAL_WORLD_SIZE: '4' }).devices).toBe(8);
    expect(() => readNodeConfig({ ...npu, ...POD, LOCAL_WORLD_SIZE: 'all' })).toThrow('PRETRAIN_DEVICES: ');
  });
});

test.each([
  ['PRETRAIN_SOURCES', 'data/raw', 'absolute paths with ":" between them'],
  ['PRETRAIN_EXPORTS', '/models:out', 'absolute paths with ":" between them'],
  ['PRETRAIN_CHECKOUT', 'abc', '64 hexadecimal digits'],
  ['PRETRAIN_DATA', 'data', 'an absolute path'],
  ['PRETRAIN_NODE', '../n1', 'letters, digits'],
])('a wrong %s is named, with what was expected', (name, value, expected) => {
  const read = () => readNodeConfig({ ...settings, [name]: value });
  expect(read).toThrow(`${name}: ${expected}`);
  expect(read).toThrow(`got ${JSON.stringify(value)}`);
});

test.each([
  ['HF_ENDPOINT', 'https://me:planted@mirror/'],
  ['HF_ENDPOINT', 'me:planted@mirror'],
  ['MODELSCOPE_ENDPOINT', 'http://planted@mirror/'],
  ['MODELSCOPE_DOMAIN', 'me:planted@mirror'],
])('a password in %s is refused, since messages tell the address, and the message does not (%s)', (name, value) => {
  const read = () => readNodeConfig({ ...settings, [name]: value });
  expect(read).toThrow(/(HF|MODELSCOPE)_ENDPOINT: /);
  expect(read).not.toThrow(/planted/);
});

test('run files may name tokens for hubs, and nothing else that a worker is told', () => {
  const tokens = { HF_TOKEN: 'a', HF_TOKEN_TEAM_A: 'b', MODELSCOPE_API_TOKEN_2: 'c' };
  const others = { AWS_SECRET_ACCESS_KEY: 'x', HF_TOKENS: 'x', MY_HF_TOKEN: 'x', HF_TOKEN_: 'x', HF_TOKEN_B: '' };
  expect(readHubTokens({ ...tokens, ...others })).toEqual(tokens);
  const named = (name: string) =>
    JSON.stringify(
      parseRunSpec({ ...demoRunFile('p', { iterations: 2, saveInterval: 1 }), tokens: { huggingface: name } }, 'r'),
    );
  expect(named('HF_TOKEN_TEAM_A')).not.toContain('problems');
  expect(named('AWS_SECRET_ACCESS_KEY')).toContain('tokens.huggingface');
});

test('a setting by nearly the right name is refused with the right one, and what others inject is let be', () => {
  const kubernetes = { PRETRAIN_CONTROL_PORT: 'tcp://10.0.0.1:80', PRETRAIN_CONTROL_SERVICE_HOST: '10.0.0.1' };
  const siblings = { MINDSPEED_MM: '/opt/MindSpeed-MM', MINDSPEED_RL: '/opt/MindSpeed-RL' };
  expect(() => refuseMisspelled({ ...settings, ...kubernetes, ...siblings, MINDSPEED_LLM: '/opt' })).not.toThrow();
  expect(() => refuseMisspelled({ PRETRAIN_DEVICE: '8', PRETRAIN_PROFIL: 'npu', MINDSPEED_LM: '/opt' })).toThrow(
    /PRETRAIN_DEVICE: .*PRETRAIN_DEVICES meant\?\n.*PRETRAIN_PROFIL: .*PRETRAIN_PROFILE meant\?\n.*MINDSPEED_LLM meant/,
  );
});
